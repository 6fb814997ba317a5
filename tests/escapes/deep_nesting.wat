;; Fifty thousand blocks in each other.
;; expect: exited 0 | refused
(module
    (func (export "_start")
        <<50000: block>> <<50000: end>>))
