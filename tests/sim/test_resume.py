"""A killed training goes on as if it had not been killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "resumed_training.py"


def train(folder, how, resumed_from=0, kill_after=None):
    """Losses by epoch, of a process that is killed once it has reported an epoch."""
    losses = {}
    command = [sys.executable, str(SCRIPT), str(folder), how, str(resumed_from)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        for line in process.stdout:
            word, *numbers = line.split()
            if word != "epoch":
                continue
            losses[int(numbers[0])] = numbers[1]
            if int(numbers[0]) == kill_after:
                process.kill()
                break
        errors = process.communicate()[1]
    assert process.returncode == (0 if kill_after is None else -9), errors
    return losses


@pytest.mark.slow
@pytest.mark.parametrize("how", ["checkpoint", "backup"])
def test_kill_and_resume(tmp_path, how):
    """SIGKILL in the middle: losses after it are, to the last bit, those of a run in one go."""
    whole = train(tmp_path / "whole", how)
    assert list(whole) == list(range(6)) and len(set(whole.values())) == 6
    first = train(tmp_path / "killed", how, kill_after=2)
    second = train(tmp_path / "killed", how, resumed_from=3)
    # a backup may have been written for an epoch that was not reported any more
    assert list(first) == [0, 1, 2] and list(second)[-1] == 5 and min(second) >= 3
    assert (first | second).items() <= whole.items()
