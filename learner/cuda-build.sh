#!/usr/bin/env bash
# Builds assay-train for NVIDIA GPUs, from a fresh clone, on a machine that needs neither a GPU nor a driver nor root.
#
#   learner/cuda-build.sh [--whole]     prints the folder with assay-train and, beside it, assay-train-cuda
#
# It needs what the ordinary build needs, and python3 with pip for the compiler, which cuda-toolkit.sh fetches. What it makes
# lies in target/cuda (CARGO_TARGET_DIR is obeyed), which git ignores.
#
# Theory of operation. candle links libcuda, libcublas and libcurand; to link, it is enough that libraries of these names have
# the functions, so they are made here from the names in cudarc's own bindings, each function a failure. Where the program
# runs, the driver and NVIDIA's libraries must be found. candle-kernels compiles matrix products of GGUF's quantised formats,
# which the learner never asks for and which take the compiler most of an hour: `nvcc` is a script here that gives it empty
# results for those files, and the compiler's for all others. --whole compiles them too.
set -euo pipefail
cd "$(dirname "$0")/.."
whole=${1:-}
[ -z "$whole" ] || [ "$whole" = --whole ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "${CARGO_TARGET_DIR:-target}/cuda"
cuda=$(cd "${CARGO_TARGET_DIR:-target}/cuda" && pwd)
CARGO_TARGET_DIR=$(dirname "$cuda")
export CARGO_TARGET_DIR
# Built once, for use: what would make a second build shorter makes this one longer.
export CARGO_INCREMENTAL=0
toolkit=$(learner/cuda-toolkit.sh "$cuda")
toolkit=$(cd "$toolkit" && pwd)

# A CUDA_HOME: the toolkit, but for the compiler's name and the libraries.
home=$cuda/home
rm -rf "$home"
mkdir -p "$home/bin" "$home/lib64"
ln -s "$toolkit"/bin/* "$home/bin"
ln -s "$toolkit/include" "$toolkit/nvvm" "$home"
if [ "$whole" != --whole ]; then
    rm "$home/bin/nvcc"
    cat >"$home/bin/nvcc" <<EOF
#!/usr/bin/env bash
case \${!#} in
src/moe/*.cu | src/mmq_gguf/*.cu | src/mmvq_gguf.cu)
    while [ "\$1" != -o ]; do shift; done
    exec gcc -c -x c -o "\$2" /dev/null ;;
*) exec "$toolkit/bin/nvcc" "\$@" ;;
esac
EOF
    chmod +x "$home/bin/nvcc"
fi

# A library that has every function of one of cudarc's bindings; 100 is CUDA_ERROR_NO_DEVICE.
bindings=$(cargo metadata --format-version 1 --locked --features assay-learner/cuda |
    python3 -c 'import json, os, sys
for package in json.load(sys.stdin)["packages"]:
    if package["name"] == "cudarc": print(os.path.dirname(package["manifest_path"]))')
stub() {
    local binding=$1 soname=$2 link=$3
    grep -oE 'pub unsafe fn (cu|nvrtc)[A-Za-z0-9_]+' "$bindings/src/$binding/sys/mod.rs" | awk '{ print $4 }' | sort -u |
        sed 's/.*/int &(void) { return 100; }/' >"$home/lib64/$binding.c"
    gcc -shared -o "$home/lib64/$soname" -Wl,-soname,"$soname" "$home/lib64/$binding.c"
    ln -sf "$soname" "$home/lib64/$link"
}
stub driver libcuda.so.1 libcuda.so
stub cublas libcublas.so.13 libcublas.so
stub cublaslt libcublasLt.so.13 libcublasLt.so
stub curand libcurand.so.10 libcurand.so
stub nvrtc libnvrtc.so.13 libnvrtc.so
ln -s "$toolkit"/lib/libcudart.so.* "$home/lib64/libcudart.so"

# candle's own kernels as PTX for 8.0, which every newer GPU compiles when it loads them; the learner launches none of them.
CUDA_HOME=$home CUDA_PATH=$home CUDA_ROOT=$home PATH=$home/bin:$PATH CUDA_COMPUTE_CAP=80 \
    cargo build -p assay-learner --locked --features cuda --bin assay-train >&2
mkdir -p "$cuda/bin"
strip -o "$cuda/bin/assay-train-cuda" "$CARGO_TARGET_DIR/debug/assay-train"
cargo build -p assay-learner --locked --bin assay-train >&2
strip -o "$cuda/bin/assay-train" "$CARGO_TARGET_DIR/debug/assay-train"
echo "$cuda/bin"
