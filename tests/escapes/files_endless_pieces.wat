;; With files shown: one read of four thousand million pieces.
;; expect: cpu_time_limit
;; files: answer=forty-two
(module
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 64) "answer")
    (func (export "_start")
        (drop (call $path_open (i32.const 3) (i32.const 1) (i32.const 64) (i32.const 6) (i32.const 0)
            (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 128)))
        (drop (call $fd_read (i32.const 4) (i32.const 0) (i32.const -1) (i32.const 128)))))
