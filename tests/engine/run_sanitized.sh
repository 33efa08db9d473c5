#!/bin/sh
# Builds the engine with AddressSanitizer and UndefinedBehaviorSanitizer and runs its tests, first the C++ ones:
#   run_sanitized.sh [build directory] [pytest arguments]
# Python itself is not built so: the sanitizer's library is preloaded. It would report what Python keeps until the end as
# leaks; they are looked for by the C++ tests, one of which plants one, and by the fuzzer (cpp/fuzz/run.sh).
# Only the C++ tests, with other sanitizers, here ThreadSanitizer:
#   cmake -S . -B build/tsan -DNENGO_DL_SANITIZE=thread -DNENGO_DL_TESTS=ON -DNENGO_DL_PYTHON=OFF -DNENGO_DL_TENSORFLOW=OFF
#   cmake --build build/tsan && (cd build/tsan && ctest --output-on-failure)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$root/build/sanitized}
[ $# -gt 0 ] && shift
python=${PYTHON:-python3}
compiler=${CXX:-g++}

cmake -S "$root" -B "$build" -DCMAKE_CXX_COMPILER="$compiler" -DNENGO_DL_SANITIZE=address,undefined -DNENGO_DL_TESTS=ON \
  -DNENGO_DL_TENSORFLOW=OFF -DPython_EXECUTABLE="$(command -v "$python")" \
  -DCMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF ${GENERATOR:+-G "$GENERATOR"} # the module would be linked for a minute
cmake --build "$build" -j 2
(cd "$build" && ctest --output-on-failure)

# the package as it is, with the sanitized libraries in place of any others
rm -rf "$build/package"
mkdir -p "$build/package"
cp -r "$root/python/nengo_dl" "$build/package/"
find "$build/package" -name '*.so*' -delete
cmake --install "$build" --prefix "$build/package"

preload=$("$compiler" -print-file-name=libasan.so):$("$compiler" -print-file-name=libubsan.so)
# left out: test_no_alloc brings an allocator of its own, which the sanitizer's excludes
cd "$root"
PYTHONPATH="$build/package" LD_PRELOAD="$preload" ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
  UBSAN_OPTIONS=print_stacktrace=1 "$python" -m pytest -q -p no:cacheprovider \
  tests/contract tests/engine --ignore tests/engine/test_no_alloc.py "$@"
