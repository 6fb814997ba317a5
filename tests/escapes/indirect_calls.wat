;; Two functions call each other in place through a table for ever.
;; expect: cpu_time_limit
(module
    (memory (export "memory") 1)
    (type $nothing (func))
    (table 2 2 funcref)
    (elem (i32.const 0) $a $b)
    (func $a (return_call_indirect (type $nothing) (i32.const 1)))
    (func $b (return_call_indirect (type $nothing) (i32.const 0)))
    (func (export "_start") (call $a)))
