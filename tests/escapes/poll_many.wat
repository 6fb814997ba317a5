;; Polls four thousand million subscriptions.
;; expect: cpu_time_limit
(module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (drop (call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 128)))
        (loop $l (drop (call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const 1300) (i32.const 128))) (br $l))))
