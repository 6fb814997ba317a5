;; Thirty thousand functions to compile.
;; expect: exited 0 | refused
(module
    <<30000: (func (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))>>
    (func (export "_start")))
