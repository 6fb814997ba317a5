;; Calls itself in place for ever: no loop, no stack.
;; expect: cpu_time_limit
(module
    (memory (export "memory") 1)
    (func $again (return_call $again))
    (func (export "_start") (call $again)))
