;; A second memory, which a pool slot has no place for.
;; expect: refused
(module
    (memory (export "memory") 1)
    (memory 1)
    (func (export "_start")))
