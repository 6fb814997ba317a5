;; More tables than a pool slot has.
;; expect: refused
(module
    <<100: (table 1 funcref)>>
    (func (export "_start")))
