;; With files shown: opens, lists and closes for ever.
;; expect: cpu_time_limit
;; files: answer=forty-two
(module
    (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_readdir" (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_filestat_get" (func $path_filestat_get (param i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 64) "./box/./answer")
    (func (export "_start")
        (loop $l
            (drop (call $path_open (i32.const 3) (i32.const 1) (i32.const 64) (i32.const 14) (i32.const 0)
                (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 128)))
            (drop (call $path_filestat_get (i32.const 3) (i32.const 1) (i32.const 64) (i32.const 4096) (i32.const 256)))
            (drop (call $fd_readdir (i32.const 3) (i32.const 1024) (i32.const 4096) (i64.const 0) (i32.const 128)))
            (drop (call $fd_close (i32.const 4)))
            (br $l))))
