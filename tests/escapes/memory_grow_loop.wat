;; Asks for four gigabytes without end, living with each refusal.
;; expect: cpu_time_limit
(module
    (memory (export "memory") 1)
    (func (export "_start") (loop $l (drop (memory.grow (i32.const 65535))) (br $l))))
