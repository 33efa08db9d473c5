#!/bin/sh
# Builds the fuzzer and runs it: run.sh [seconds] [build directory]. Findings are left in the build directory; an input
# that takes ten seconds is one.
# Needs clang with libFuzzer, CMake and a Python that can import nengo_dl (for the seeds).
set -eu
seconds=${1:-600}
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${2:-$root/build/fuzz}
python=${PYTHON:-python3}
clang=${CLANGXX:-$(command -v clang++ || command -v clang++-14)}

cmake -S "$root" -B "$build" -DCMAKE_CXX_COMPILER="$clang" -DCMAKE_BUILD_TYPE=Release -DNENGO_DL_FUZZ=ON \
  -DNENGO_DL_PYTHON=OFF -DNENGO_DL_TENSORFLOW=OFF -DNENGO_DL_ONLY_BASELINE=ON ${GENERATOR:+-G "$GENERATOR"}
cmake --build "$build" --target fuzz_program -j 2
"$python" "$root/tests/engine/fuzz_seeds.py" "$build/seeds"
mkdir -p "$build/corpus" "$build/findings"
exec "$build/fuzz_program" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=4096 \
  -artifact_prefix="$build/findings/" -print_final_stats=1 "$build/corpus" "$build/seeds" "$root/tests/corpus"
