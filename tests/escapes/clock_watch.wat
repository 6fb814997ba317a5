;; Watches all clocks while it works, and prints what they said: a stopwatch would tell of the host.
;; expect: exited 0
(module
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\00\04\00\00\00\04\00\00")
    (func (export "_start") (local $i i32)
        (loop $l
            (drop (call $clock_time_get (i32.and (local.get $i) (i32.const 3)) (i64.const 1)
                (i32.add (i32.const 1024) (i32.mul (local.get $i) (i32.const 8)))))
            (memory.fill (i32.const 32768) (local.get $i) (i32.const 30000))
            (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 128))))
        (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
