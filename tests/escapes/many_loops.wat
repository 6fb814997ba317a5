;; Ten thousand loops in a row: a pass of the compiler is quadratic in their number.
;; expect: refused
(module
    (func (export "_start") (local i32)
        <<10000: loop (local.set 0 (i32.const 1)) (br_if 0 (local.get 0)) end>>))
