;; With files shown: opens one until it is refused, twice; the number is the limit less the streams and the root.
;; expect: exited 60
;; files: answer=forty-two
(module
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\08\00\00\00")
    (data (i32.const 16) "ESCAPED\0a")
    ;; Says so if a call succeeded.
    (func $try (param $error i32)
        (if (i32.eqz (local.get $error)) (then
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))))
    (data (i32.const 64) "answer")
    (func $flood (result i32) (local $count i32)
        (loop $l
            (if (i32.eqz (call $path_open (i32.const 3) (i32.const 1) (i32.const 64) (i32.const 6) (i32.const 0)
                    (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 128))) (then
                (br_if $l (i32.lt_u (local.tee $count (i32.add (local.get $count) (i32.const 1))) (i32.const 1000))))))
        (local.get $count))
    (func (export "_start") (local $count i32) (local $fd i32)
        (local.set $count (call $flood))
        (if (call $flood) (then (call $try (i32.const 0))))
        (local.set $fd (i32.const 4))
        (loop $l
            (drop (call $fd_close (local.get $fd)))
            (br_if $l (i32.lt_u (local.tee $fd (i32.add (local.get $fd) (i32.const 1))) (i32.const 64))))
        (if (i32.ne (call $flood) (local.get $count)) (then unreachable))
        (call $exit (local.get $count))))
