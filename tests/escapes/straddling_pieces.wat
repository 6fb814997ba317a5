;; Pieces that begin inside its memory and end outside, or wrap around.
;; expect: exited 0
(module
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\08\00\00\00")
    (data (i32.const 16) "ESCAPED\0a")
    ;; Says so if a call succeeded.
    (func $try (param $error i32)
        (if (i32.eqz (local.get $error)) (then
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))))
    (func $all (param $at i32) (param $length i32)
        (i32.store (i32.const 32) (local.get $at))
        (i32.store (i32.const 36) (local.get $length))
        (call $try (call $fd_write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 40))))
    (func (export "_start")
        (call $all (i32.const 65535) (i32.const 2))
        (call $all (i32.const 0) (i32.const 65537))
        (call $all (i32.const 1) (i32.const -1))
        (call $all (i32.const -1) (i32.const 2))
        (call $all (i32.const 0x80000000) (i32.const 0x80000000))
        (call $try (call $fd_write (i32.const 1) (i32.const 65532) (i32.const 1) (i32.const 40)))
        (call $try (call $fd_write (i32.const 1) (i32.const -8) (i32.const 2) (i32.const 40)))))
