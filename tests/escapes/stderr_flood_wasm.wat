;; Writes to stderr without end.
;; expect: output_limit
(module
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 4)
    (data (i32.const 0) "\00\00\00\00\00\80\00\00")
    (func (export "_start")
        (loop $l (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))) (br $l))))
