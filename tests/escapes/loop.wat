;; A loop without end.
;; expect: cpu_time_limit
(module
    (memory (export "memory") 1)
    (func (export "_start") (loop $l (br $l))))
