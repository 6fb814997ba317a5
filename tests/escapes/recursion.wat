;; Recursion without end.
;; expect: signaled 11
(module
    (memory (export "memory") 1)
    (func $down (param i64) (call $down (local.get 0)) (drop (i64.load (i32.const 0))))
    (func (export "_start") (call $down (i64.const 1))))
