;; Grows page by page, touches every page, traps when there is no more.
;; expect: memory_limit
(module
    (memory (export "memory") 1)
    (func (export "_start") (local $page i32)
        (loop $l
            (local.set $page (memory.grow (i32.const 1)))
            (if (i32.eq (local.get $page) (i32.const -1)) (then unreachable))
            (i32.store8 (i32.mul (local.get $page) (i32.const 65536)) (i32.const 1))
            (br $l))))
