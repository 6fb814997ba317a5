;; Every call on sockets, on the streams and a hundred other descriptors.
;; expect: exited 0
(module
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "sock_accept" (func $sock_accept (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "sock_recv" (func $sock_recv (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "sock_send" (func $sock_send (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "sock_shutdown" (func $sock_shutdown (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\08\00\00\00")
    (data (i32.const 16) "ESCAPED\0a")
    ;; Says so if a call succeeded.
    (func $try (param $error i32)
        (if (i32.eqz (local.get $error)) (then
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))))
    (func (export "_start") (local $fd i32)
        (loop $l
            (call $try (call $sock_accept (local.get $fd) (i32.const 64) (i32.const 64)))
            (call $try (call $sock_recv (local.get $fd) (i32.const 64) (i32.const 64) (i32.const 64) (i32.const 64) (i32.const 64)))
            (call $try (call $sock_send (local.get $fd) (i32.const 64) (i32.const 64) (i32.const 64) (i32.const 64)))
            (call $try (call $sock_shutdown (local.get $fd) (i32.const 64)))
            (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $fd) (i32.const 100))))))
