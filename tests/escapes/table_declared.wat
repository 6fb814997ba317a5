;; A table of ten million elements from the start.
;; expect: memory_limit
(module
    (table 10000000 funcref)
    (func (export "_start")))
