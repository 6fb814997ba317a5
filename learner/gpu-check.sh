#!/usr/bin/env bash
# Takes the learner to a machine with a GPU, and there checks and measures it, in stages of a few minutes.
#
#   learner/gpu-check.sh pack FILE.tar.gz      builds (cuda-build.sh) and packs what the other machine needs: below 60 MiB
#   ./gpu-check.sh run DIR [STAGE...]          there, in the unpacked folder; needs no network, no compiler, no cargo
#
# Stages: kernels (the GPU's results are the CPU's), train, decode (speed), shape7b; all of them if none is named, 8 minutes
# each at most. DIR gets a file of JSON lines for each, every line as soon as it is measured; what is there already and right
# is not measured again, so a run that was cut goes on where it was. Exit codes: 0 all is measured and right, 1 something is
# wrong, 4 time was up before all was measured: run it again.
#
# There it takes a driver (libcuda.so.1) and NVIDIA's libcublas.so.13, libcublasLt.so.13 and libcurand.so.10, from a toolkit or
# from Python's packages.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

pack() {
    local file=$1 bin
    bin=$("$here/cuda-build.sh")
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    mkdir "$folder/assay-gpu"
    cp "$bin/assay-train-cuda" "$bin/assay-train" "$here/gpu-check.sh" "$folder/assay-gpu"
    tar -C "$folder" -cf - assay-gpu | gzip -9 >"$file"
    local bytes
    bytes=$(stat -c %s "$file")
    [ "$bytes" -le $((60 * 1024 * 1024)) ] || { echo "gpu-check: $file has $bytes bytes, more than 60 MiB" >&2; exit 1; }
    echo "$file, $bytes bytes"
}

# Folders that may hold NVIDIA's libraries; the loader has its own besides.
libraries() {
    printf '%s\n' "${CUDA_HOME:-/usr/local/cuda}/lib64" /usr/local/nvidia/lib64
    python3 -c 'import glob, sys
for folder in sys.path:
    for name in glob.glob(folder + "/nvidia/*/lib"): print(name)' 2>/dev/null || true
}

run() {
    local out=$1 why stage code failed=0 left=0
    shift
    [ $# -gt 0 ] || set -- kernels train decode shape7b
    mkdir -p "$out"
    LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$(libraries | paste -sd:)
    export LD_LIBRARY_PATH
    if ! why=$("$here/assay-train-cuda" device --device cuda 2>&1); then
        why=${why##*error while loading shared libraries: }
        echo "gpu-check: no GPU can be used here: ${why##*--device cuda: }" >&2
        exit 1
    fi
    echo "$why"
    for stage in "$@"; do
        code=0
        timeout -k 9 480 "$here/assay-train-cuda" gpu-check "$stage" --out "$out" ${GPU_CHECK_SMALL:+--small} || code=$?
        case $code in
        0) ;;
        # The check's own word for it, and what timeout ends with when it had to end the check.
        4 | 124 | 137) left=1 ;;
        *) failed=1 ;;
        esac
    done
    [ "$failed" = 0 ] || exit 1
    [ "$left" = 0 ] || { echo "gpu-check: time was up before all was measured; run it again, and it goes on" >&2; exit 4; }
    exit 0
}

case ${1:-} in
pack) [ $# -eq 2 ] && pack "$2" && exit ;;
run) [ $# -ge 2 ] && run "${@:2}" ;;
esac
sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2
exit 2
