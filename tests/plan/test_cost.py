"""What steps are predicted to take: the better side is found for the networks that were measured.

What loops take on the GPU is said by the CUDA backend, here as plain C++. Figures of the GPU are
those of bench/README.md, an H100, 1000 steps; of the CPU those of the engine that this file was
written with, one thread of a Zen 4 with AVX-512 (bench/gpu/run.py).
"""

import functools
import importlib.util
from pathlib import Path

import nengo
import numpy as np
import planned
import pytest
from gpus import GPU, ways

from nengo_dl import _engine
from nengo_dl.ir.program import to_bytes
from nengo_dl.plan import cost

pytestmark = pytest.mark.usefixtures("gpu_library")

# microseconds of a step of one item: CPU, GPU
MEASURED = {
    "convolution-64x50": (6.94, 0.56),
    "convolution-128x100": (28.7, 1.2),
    "feedforward-784-256-10": (4.42, 0.84),
    "chain-10x500": (3.62, 3.2),
    "integrator-100": (0.26, 5.9),
    "integrators-128x100": (9.89, 5.1),
    "sparse-2000": (10.4, 18),
    "dense-2000": (22.7, 29),
    "random-20x8": (30.8, 29),
    "pes-32": (17.1, 61),
    "basal-ganglia-32x64": (8.33, 56),
}
# of 512 items: GPU
MANY = {"integrators-128x100": 377, "random-20x8": 909, "basal-ganglia-32x64": 293}
CLEARLY = 1.5


def load_networks():
    """bench/networks.py, whose name here is another file's."""
    path = Path(__file__).parents[2] / "bench" / "networks.py"
    spec = importlib.util.spec_from_file_location("bench_networks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.NETWORKS


def program_of(net, dtype="float32"):
    """The program of a network; nothing here depends on its decoders, which take long to find."""
    rng = np.random.RandomState(0)
    for conn in net.all_connections:
        if isinstance(conn.pre_obj, nengo.Ensemble):
            values = rng.standard_normal((conn.pre_obj.n_neurons, conn.size_mid))
            conn.solver = nengo.solvers.NoSolver(values)
    model = planned.build(net)
    sources = [node for node in net.all_nodes if node.size_in == 0]
    inputs = [(f"input {i}", model.sig[node]["out"]) for i, node in enumerate(sources)]
    return planned.plan(model, inputs, dtype=dtype, verify=False).only_program()


@functools.cache
def benchmark(name):
    return program_of(load_networks()[name]()[0])


def predict(program, items, threads, backend=GPU):
    loops = _engine.Compiled(to_bytes(program), backend).loops(items)
    return cost.predict(program, items, threads, {region: taken for region, _, taken in loops})


def microseconds(name, items, threads=1):
    return 1e6 * np.array(predict(benchmark(name), items, threads))


@pytest.mark.parametrize("name", MEASURED)
def test_within_twice_of_what_was_measured(name):
    ratios = microseconds(name, 1) / MEASURED[name]
    assert np.all((ratios > 0.5) & (ratios < 2)), ratios
    if name in MANY:
        assert 0.5 < microseconds(name, 512)[1] / MANY[name] < 2


def test_the_better_side():
    """Wherever it was better by more than twice; 512 items take the CPU 512 times as long."""
    clear = []
    for items, threads in ((1, 1), (512, 2), (512, 16)):
        for name, (cpu, gpu) in MEASURED.items():
            if items > 1 and name not in MANY:
                continue
            due = (items * cpu / threads, MANY[name]) if items > 1 else (cpu, gpu)
            got = microseconds(name, items, threads)
            if max(due) < 2 * min(due):
                continue
            clear.append((name, items))
            assert (CLEARLY * got[1] <= got[0]) == (due[1] < due[0]), (name, items, due, got)
    assert len(clear) == 9, clear


@pytest.mark.parametrize("name", ["feedforward-784-256-10", "pes-32", "integrators-128x100"])
def test_more_work_takes_longer(name):
    """More items than before, and fewer threads, take as long or longer."""
    for threads in (1, 2, 16):
        times = [
            microseconds(name, items, threads) for items in (1, 2, 7, 16, 17, 100, 256, 257, 512)
        ]
        assert np.all(np.diff(times, axis=0) >= 0)
        assert np.all(np.diff(times, axis=0)[:, 1] > 0)
    for items in (1, 17, 512):
        few, many = microseconds(name, items, 2), microseconds(name, items, 16)
        assert many[0] <= few[0] and many[1] == few[1]


def layers(neuron_type, n, dtype="float32"):
    """Two layers of neurons with dense weights between them, the second recurrent."""
    with nengo.Network(seed=0) as net:
        inp = nengo.Node(np.zeros(n))
        first, second = (nengo.Ensemble(n, 1, neuron_type=neuron_type).neurons for _ in range(2))
        weights = np.random.RandomState(0).standard_normal((n, n))
        for pre, post in ((inp, first), (first, second), (second, second)):
            nengo.Connection(pre, post, transform=weights, synapse=0.005)
        nengo.Probe(second)
    return program_of(net, dtype)


def test_what_makes_a_difference():
    """Sizes, precision, spikes and random numbers."""
    base = predict(layers(nengo.LIF(), 300), 20, 1)
    assert predict(layers(nengo.LIF(), 400), 20, 1) > base
    double = predict(layers(nengo.LIF(), 300, "float64"), 20, 1)
    assert base.cpu < double.cpu and base.gpu < double.gpu
    rates = predict(layers(nengo.LIFRate(), 300), 20, 1)
    assert rates.cpu > 1.2 * base.cpu
    drawn = predict(layers(nengo.PoissonSpiking(nengo.LIFRate()), 300), 20, 1)
    assert drawn.cpu > base.cpu and drawn.gpu > base.gpu


def test_convolutions_are_counted():
    """Every filter at every place, for every channel: 13 x 13 of them."""
    with nengo.Network(seed=0) as net:
        image = nengo.Node(np.zeros(28 * 28 * 3))
        made = nengo.Convolution(8, (28, 28, 3), kernel_size=(4, 4), strides=(2, 2))
        out = nengo.Node(size_in=made.output_shape.size)
        nengo.Connection(image, out, transform=made, synapse=None)
        nengo.Probe(out)
    products = 13 * 13 * 8 * 4 * 4 * 3
    program = program_of(net)
    cpu, gpu = predict(program, 100, 1)
    assert 1 < cpu / (100 * products * cost.PRODUCT) < 1.5
    copies = 4 * 100 * (28 * 28 * 3 + 13 * 13 * 8) * cost.GPU_BUS
    assert 1 < (gpu - copies) / (100 * products * cost.GPU_NUMBER) < 1.5


def test_the_way_of_a_loop():
    """Dense weights, many items: teams of blocks have what each block's memory gives them."""
    dense = _engine.Compiled(to_bytes(benchmark("dense-2000")), GPU)
    ((region, one, _),), ((_, many, taken),) = dense.loops(1), dense.loops(512)
    assert (one, many) == ("op by op", "team") and ways(dense) == [one]
    assert benchmark("dense-2000").regions[region].kind == "loop"
    assert taken < microseconds("dense-2000", 512)[1] * 1e-6


def test_a_loop_of_many_kernels():
    """An op is a kernel that is started in every step, whatever the items."""
    program = benchmark("integrators-128x100")
    (loop,) = (region for region in program.regions if region.kind == "loop")
    one, many = (cost.predict(program, items, 1, {}).gpu for items in (1, 512))
    each = cost.GPU_STEP_OP * len(loop.ops)
    assert each < one < 2 * each and one < many
