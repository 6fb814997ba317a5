#!/usr/bin/env bash
# Fetches NVIDIA's compiler from PyPI into a folder, once: 270 MB, no GPU, no driver, no root.
#
#   learner/cuda-toolkit.sh FOLDER     prints the CUDA_HOME, which has bin/nvcc, include and nvvm
#
# The first four packages are all that compiles our kernels, the last is for candle's. The CUDA 12 packages hold no nvcc.
set -euo pipefail
folder=${1:?which folder shall the toolkit go to?}
home=$folder/nvidia/cu13
# A fetch that was cut off leaves no home: it goes beside and is renamed when it is whole.
if [ ! -x "$home/bin/nvcc" ]; then
    mkdir -p "$folder"
    beside=$(mktemp -d "$folder/fetch.XXXXXX")
    trap 'rm -rf "$beside"' EXIT
    python3 -m pip install --quiet --no-deps --disable-pip-version-check --root-user-action ignore --target "$beside" \
        nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-cuda-runtime==13.0.96 \
        nvidia-cuda-cccl==13.0.85 >&2
    rm -rf "$folder/nvidia"
    mv "$beside/nvidia" "$folder/nvidia"
fi
echo "$home"
