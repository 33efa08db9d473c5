#!/usr/bin/env bash
# check.sh FOLDER: what a GPU has to show, in some five minutes. FOLDER holds the programs of bench/gpu/save.py.
# Run at the top of a checkout whose python/nengo_dl holds the built libraries (bench/README.md, "A GPU machine without
# TensorFlow"). Every part has a time limit, should it hang, and a part that fails does not end the others.
set -uo pipefail
folder=$1
export PYTHONPATH=${PYTHONPATH:+$PYTHONPATH:}$PWD/python PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 NENGO_DL_TEST_BACKENDS=cuda PYTHONUNBUFFERED=1
failed=()

part() { # part NAME SECONDS COMMAND...
  local name=$1 limit=$2 start=$SECONDS
  shift 2
  printf '\n== %s\n' "$name"
  timeout "$limit" "$@" || failed+=("$name")
  printf '== %s: %d s\n' "$name" $((SECONDS - start))
}

parallel=()
python3 -c 'import xdist' 2>/dev/null && parallel=(-p xdist.plugin -n 12)
pytest=(python3 -m pytest -q -p no:cacheprovider)
part 'numbers, bits and times' 90 python3 bench/gpu/run.py "$folder" --batch 1
part '512 items' 20 python3 bench/gpu/run.py "$folder" --batch 512 --only integrators-128x100
part 'training in TF32' 20 python3 bench/gpu/run.py "$folder" --tf32 --only train-layer-512 train-surrogate
part '16384 neurons, TF32' 40 python3 bench/gpu/run.py "$folder/large" --no-cpu --plain-steps 2 --tf32
part '16384 neurons, float32' 40 python3 bench/gpu/run.py "$folder/large" --no-cpu --plain-steps 2
part 'loops by ensembles' 30 env NENGO_DL_LOOP_WAY=ensembles python3 bench/gpu/run.py "$folder" --only integrators-128x100 --batch 1
part 'the same, 512 items' 30 env NENGO_DL_LOOP_WAY=ensembles python3 bench/gpu/run.py "$folder" --only integrators-128x100 --batch 512
part 'wide loops' 30 env NENGO_DL_LOOP_WAY=wide python3 bench/gpu/run.py "$folder" --only dense-2000 sparse-2000 pes-32
part 'coupled ensembles' 30 env NENGO_DL_LOOP_WAY=coupled python3 bench/gpu/run.py "$folder" --only random-20x8 basal-ganglia-32x64 --batch 1 512
part 'convolutions in tiles' 60 "${pytest[@]}" "${parallel[@]}" tests/engine/test_conv_tiles.py
part 'the same, not in tiles' 30 env NENGO_DL_CONV_TILES=0 python3 bench/gpu/run.py "$folder" --only convolutions train-convolutions
part 'kernels' 40 python3 bench/gpu/kernels.py "$folder" --rows 6
part 'contract' 100 "${pytest[@]}" "${parallel[@]}" tests/contract tests/engine/test_turned.py
for tool in memcheck racecheck; do
  part "$tool" 40 compute-sanitizer --tool "$tool" --error-exitcode 1 "${pytest[@]}" tests/contract/test_contract.py \
    -k 'copy or lowpass or max_pool'
done
printf '\nfailed: %s\n' "${failed[*]:-nothing}"
[ ${#failed[@]} -eq 0 ]
