;; A data segment beyond the end of memory.
;; expect: signaled 11
(module
    (memory (export "memory") 1)
    (data (i32.const 65530) "overflow")
    (func (export "_start")))
