;; With files shown: reads behind the end, before the start and at the largest numbers; no byte may come.
;; expect: exited 0
;; files: answer=forty-two
(module
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pread" (func $fd_pread (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\08\00\00\00")
    (data (i32.const 16) "ESCAPED\0a")
    ;; Says so if a call succeeded.
    (func $try (param $error i32)
        (if (i32.eqz (local.get $error)) (then
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))))
    (data (i32.const 64) "answer")
    (data (i32.const 96) "\00\01\00\00\00\10\00\00")
    ;; A read that succeeds with anything is an escape.
    (func $none (param $error i32)
        (if (i32.eqz (local.get $error)) (then
            (if (i32.load (i32.const 8)) (then (call $try (i32.const 0)))))))
    (func $at (param $where i64)
        (call $none (call $fd_pread (i32.const 4) (i32.const 96) (i32.const 1) (local.get $where) (i32.const 8)))
        (drop (call $fd_seek (i32.const 4) (i64.const 9) (i32.const 0) (i32.const 128)))
        (drop (call $fd_seek (i32.const 4) (local.get $where) (i32.const 0) (i32.const 128)))
        (call $none (call $fd_read (i32.const 4) (i32.const 96) (i32.const 1) (i32.const 8)))
        ;; From there on and from the end on, to where numbers end.
        (drop (call $fd_seek (i32.const 4) (i64.and (local.get $where) (i64.const 0x7fffffffffffffff)) (i32.const 1) (i32.const 128)))
        (call $none (call $fd_read (i32.const 4) (i32.const 96) (i32.const 1) (i32.const 8)))
        (drop (call $fd_seek (i32.const 4) (i64.const 9) (i32.const 0) (i32.const 128)))
        (drop (call $fd_seek (i32.const 4) (i64.and (local.get $where) (i64.const 0x7fffffffffffffff)) (i32.const 2) (i32.const 128)))
        (call $none (call $fd_read (i32.const 4) (i32.const 96) (i32.const 1) (i32.const 8))))
    (func (export "_start")
        (drop (call $path_open (i32.const 3) (i32.const 1) (i32.const 64) (i32.const 6) (i32.const 0)
            (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 128)))
        (call $at (i64.const 9))
        (call $at (i64.const 10))
        (call $at (i64.const 0xffffffff))
        (call $at (i64.const 0x100000000))
        (call $at (i64.const 0x7fffffffffffffff))
        (call $at (i64.const 0x8000000000000000))
        (call $at (i64.const -1))
        (call $at (i64.const -10))
        (call $try (call $fd_seek (i32.const 4) (i64.const -10) (i32.const 2) (i32.const 128)))
        (call $try (call $fd_seek (i32.const 4) (i64.const 0) (i32.const 3) (i32.const 128)))
        (call $try (call $fd_seek (i32.const 3) (i64.const 0) (i32.const 0) (i32.const 128)))
        (call $try (call $fd_read (i32.const 3) (i32.const 96) (i32.const 1) (i32.const 8)))
        (call $try (call $fd_pread (i32.const 3) (i32.const 96) (i32.const 1) (i64.const 0) (i32.const 8)))))
