;; Sleeps for ten hours.
;; expect: wall_time_limit
(module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    ;; One subscription: the monotonic clock, relative.
    (data (i32.const 16) "\01")
    (func (export "_start")
        (i64.store (i32.const 24) (i64.const 36000000000000))
        (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))
