;; A memory of 64-bit addresses.
;; expect: refused
(module
    (memory (export "memory") i64 1)
    (func (export "_start")))
