;; Recursion whose every frame has forty thousand locals: a guard page is jumped over with ease.
;; expect: signaled 11
(module
    (memory (export "memory") 1)
    (func $down (param $n i32) (result i64) (local <<40000: i64>>)
        (local.set 39999 (i64.load (i32.const 0)))
        (i64.add (call $down (i32.add (local.get $n) (i32.const 1))) (local.get 39999)))
    (func (export "_start") (drop (call $down (i32.const 0)))))
