;; Shared memory, which only threads need.
;; expect: refused
(module
    (memory (export "memory") 1 65536 shared)
    (func (export "_start")))
