;; Host work for little guest code: fills all memory again and again.
;; expect: cpu_time_limit
(module
    (memory (export "memory") 16)
    (func (export "_start")
        (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 1048576)) (br $l))))
