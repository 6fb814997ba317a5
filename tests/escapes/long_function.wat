;; A function longer than the compiler is given.
;; expect: refused
(module
    (func (export "_start") <<90000: (drop (i32.const 0))>>))
