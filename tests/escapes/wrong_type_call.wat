;; Calls through a table by another type.
;; expect: signaled 4
(module
    (type $other (func (param i64) (result i64)))
    (table 1 funcref)
    (elem (i32.const 0) $f)
    (func $f (param i32))
    (func (export "_start") (drop (call_indirect (type $other) (i64.const 1) (i32.const 0)))))
