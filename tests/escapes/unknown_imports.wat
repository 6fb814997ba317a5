;; Imports what is not there.
;; expect: refused
(module
    (import "env" "system" (func (param i32) (result i32)))
    (func (export "_start")))
