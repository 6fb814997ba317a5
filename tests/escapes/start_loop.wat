;; A start function without end: it runs before any export is called.
;; expect: cpu_time_limit
(module
    (func $start (loop $l (br $l)))
    (start $start)
    (func (export "_start")))
