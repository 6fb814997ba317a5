;; Raises SIGSTOP: the host must not get it.
;; expect: exited 28
(module
    (import "wasi_snapshot_preview1" "proc_raise" (func $proc_raise (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") (call $exit (call $proc_raise (i32.const 19)))))
