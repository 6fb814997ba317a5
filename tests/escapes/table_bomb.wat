;; Grows a table until there is no more, then traps.
;; expect: memory_limit
(module
    (memory (export "memory") 1)
    (table $t 1 funcref)
    (func (export "_start")
        (loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 65536)) (i32.const -1))))
        unreachable))
