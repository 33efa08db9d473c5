"""Examples of docs/examples run, in a short form and a process each, and find what they should."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "examples"
HELPERS = {"common.py", "vectors.py"}
ELSEWHERE = {"digits.py"}  # .ci/run runs it in full


def printed(name, tmp_path):
    """What an example prints in its short form; it draws and writes into a folder of its own."""
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:__main__", FOLDER / name, "--short"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # where TensorFlow prints
        text=True,
    )
    assert done.returncode == 0, done.stdout
    picture = re.search(r"picture: (.+)", done.stdout)
    assert picture is None or (tmp_path / picture[1]).stat().st_size > 1000
    return done.stdout


def numbers(pattern, text):
    """The numbers in the first place that has the pattern, where they are `#`; % are shares."""
    number = r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
    found = re.search(re.escape(pattern).replace(r"\#", number), text)
    assert found, f"{pattern!r} is not in\n{text}"
    return [float(n) for n in found.groups()]


def from_nengo(text):
    """D-01."""
    assert numbers("the simulators differ by #", text)[0] < 1e-10
    assert "output of shape (3, 1000, 1)" in text
    before, after = numbers("with spikes: #, after training of encoders and biases: #", text)
    assert after < 0.95 * before
    assert numbers("equal to #", text)[0] < 1e-5


def from_tensorflow(text):
    """D-02."""
    (means,) = numbers("loss of an image of means: #", text)
    (in_keras,) = numbers("loss in Keras: #", text)
    (rates,) = numbers("loss in Nengo, rates: #", text)
    (spikes,) = numbers("loss in Nengo, spikes: #", text)
    (filtered,) = numbers("loss in Nengo, filtered: #", text)
    assert in_keras < 0.6 * means and abs(rates - in_keras) < 0.2 * in_keras
    assert filtered < 1.5 * rates < means < spikes
    mean, variance = numbers("after batch normalisation: mean #, variance #", text)
    assert abs(mean) < 0.02 and 0.9 < variance < 1.05
    assert "a minibatch of shape [36 64]" in text


def keras_to_snn(text):
    """D-03: within 1 % of the rate network, below 200 Hz."""
    (exact,) = numbers("accuracy of the Keras model: #", text)
    spiking, rate = numbers("accuracy with spikes #%, mean rate # Hz", text)
    assert exact > 85 and spiking > exact - 1
    assert 100 < rate < 200
    assert re.search(r"conv1 +Conv2D +128 SpikingRectifiedLinear.* approximate", text)


def lmu(text):
    """D-04."""
    first, last = numbers("loss in the first epoch #, in the last one #", text)
    assert last < 0.5 * first
    assert numbers("accuracy after 64 steps: #", text)[0] > 70
    first, last = numbers("with a hidden layer in TensorFlow, loss #, then #", text)
    assert last < 0.9 * first


def spa_retrieval(text):
    """D-05."""
    (ideal,) = numbers("recognised without neurons: #", text)
    before, untrained = numbers("before training: loss #, recognised #", text)
    after, trained = numbers("after training: loss #, recognised #", text)
    assert after < 0.5 * before and untrained + 5 < trained < ideal
    assert numbers("in a single step: recognised #", text)[0] > untrained


def spa_memory(text):
    """D-06."""
    before, after = numbers("memory: loss #, after training #", text)
    assert after < 0.8 * before
    for part in ("binding", "memory", "answer"):
        first, last = numbers(f"{part}: loss # in the first epoch, # in the last one", text)
        assert last < 0.9 * first
    (before,) = numbers("recognised before training: #", text)
    (after,) = numbers("recognised after training: #", text)
    assert after > before + 10


def spiking_digits(text):
    """D-07."""
    assert numbers("accuracy with spikes before training: #", text)[0] < 30
    assert numbers("accuracy with spikes after training as rates: #", text)[0] > 75


def tensorflow_models(text):
    """D-08."""
    assert numbers("error of the represented sine: #", text)[0] < 0.1
    (expected,) = numbers("accuracy of the Keras model: #", text)
    assert expected > 80
    for way in ("whole_model", "layer_by_layer", "pure_nengo", "converted"):
        found, difference = numbers(f"{way}: accuracy #%, differs from Keras by #", text)
        assert abs(found - expected) < 0.5 and difference < 1e-4


SLOW = (lmu, spa_memory)  # those that take longest
CHECKS = [
    from_nengo,
    from_tensorflow,
    keras_to_snn,
    lmu,
    spa_retrieval,
    spa_memory,
    spiking_digits,
    tensorflow_models,
]


@pytest.mark.parametrize(
    "check",
    [pytest.param(c, marks=pytest.mark.slow if c in SLOW else (), id=c.__name__) for c in CHECKS],
)
def test_examples_find_what_they_should(check, tmp_path):
    check(printed(check.__name__ + ".py", tmp_path))


def test_every_example_is_checked_and_listed():
    names = {path.name for path in FOLDER.glob("*.py")} - HELPERS
    assert {check.__name__ + ".py" for check in CHECKS} == names - ELSEWHERE
    listed = (FOLDER / "README.md").read_text()
    assert [name for name in names if f"]({name})" not in listed] == []
