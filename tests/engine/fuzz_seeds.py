"""Write the seeds of the fuzzer: small programs of every op kind, each with data for a run.

Usage: python fuzz_seeds.py DIRECTORY
"""

import sys
from pathlib import Path

import numpy as np

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "contract")]

from contract_cases import LAYOUTS, CaseBuilder  # noqa: E402
from contract_chains import Chain  # noqa: E402
from contract_kinds import MAKERS, make_subject  # noqa: E402
from contract_neurons import make_neurons_of  # noqa: E402

from nengo_dl.ir.neuron_kinds import NEURONS  # noqa: E402
from nengo_dl.ir.program import to_bytes  # noqa: E402

TRAILER = 16  # bytes behind the program, as in cpp/fuzz/fuzz.h


def seeds():
    """Yield (name, bytes)."""
    makers = {kind: lambda rng, kind=kind: make_subject(kind, rng) for kind in MAKERS}
    makers |= {name: lambda rng, name=name: make_neurons_of(name, rng) for name in NEURONS}
    for i, (name, make) in enumerate(makers.items()):
        for k in range(4):
            rng = np.random.RandomState(100 * i + k)
            builder = CaseBuilder(rng, ["float64", "float32"][k % 2], LAYOUTS[(i + k) % 4], 1, 1)
            builder.add(make(rng))
            yield f"{name}-{k}", to_bytes(builder.build().program) + rng.bytes(TRAILER)
    for seed in range(8):
        rng = np.random.RandomState(seed)
        program = Chain(rng, "float32", 1, 1, bool(seed % 2)).build().program
        yield f"chain-{seed}", to_bytes(program) + rng.bytes(TRAILER)


def main():
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in seeds():
        (directory / name).write_bytes(data)


if __name__ == "__main__":
    main()
