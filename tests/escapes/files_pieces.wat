;; With files shown: reads into thousands of pieces that are all the whole memory, their own list included, again and again.
;; expect: cpu_time_limit
;; files: answer=forty-two
(module
    (import "wasi_snapshot_preview1" "fd_pread" (func $fd_pread (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start") (local $i i32)
        (loop $more
            (local.set $i (i32.const 0))
            (loop $l
                (i32.store (local.get $i) (i32.const 0))
                (i32.store offset=4 (local.get $i) (i32.const 65536))
                (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8))) (i32.const 65000))))
            ;; answer
            (i64.store (i32.const 65000) (i64.const 0x726577736e61))
            (drop (call $path_open (i32.const 3) (i32.const 1) (i32.const 65000) (i32.const 6) (i32.const 0)
                (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 65100)))
            (drop (call $fd_pread (i32.const 4) (i32.const 0) (i32.const 8000) (i64.const 0) (i32.const 65104)))
            (drop (call $fd_read (i32.const 4) (i32.const 0) (i32.const 8000) (i32.const 65104)))
            (drop (call $fd_seek (i32.const 4) (i64.const 0) (i32.const 0) (i32.const 65104)))
            (br $more))))
