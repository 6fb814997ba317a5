;; A start function that traps.
;; expect: signaled 4
(module
    (func $start unreachable)
    (start $start)
    (func (export "_start")))
