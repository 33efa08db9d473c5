#!/bin/sh
# Builds the engine with other flags or another compiler (CXX) and runs its tests with it, without TensorFlow:
#   run_built.sh BUILD_DIRECTORY 'COMPILER FLAGS' [pytest arguments]
# TESTS in the environment chooses which. By default those of products: their bits must not depend on what a compiler
# likes to fuse or to reorder.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$1
flags=$2
shift 2
products="tests/engine/test_dense.py tests/engine/test_dense_grad.py tests/engine/test_kernels_weights.py"
products="$products tests/contract/test_contract.py"
python=${PYTHON:-python3}

cmake -S "$root" -B "$build" -DCMAKE_CXX_COMPILER="${CXX:-g++}" -DCMAKE_CXX_FLAGS="$flags" -DNENGO_DL_TENSORFLOW=OFF \
  -DNENGO_DL_CUDA=OFF -DPython_EXECUTABLE="$(command -v "$python")" \
  -DCMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF ${GENERATOR:+-G "$GENERATOR"} # the module would be linked for a minute
cmake --build "$build" -j "${CMAKE_BUILD_PARALLEL_LEVEL:-2}"

# the package as it is, with these libraries in place of any others
rm -rf "$build/package"
mkdir -p "$build/package"
cp -r "$root/python/nengo_dl" "$build/package/"
find "$build/package" -name '*.so*' -delete
cmake --install "$build" --prefix "$build/package"

cd "$root"
PYTHONPATH="$build/package" "$python" -m pytest -q -p no:cacheprovider ${TESTS:-$products} "$@"
