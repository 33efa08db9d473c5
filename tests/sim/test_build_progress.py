"""The progress bar of a build moves with the objects built and with the passes of the planner."""

import nengo
from nengo.utils.progress import ProgressBar

import nengo_dl
from nengo_dl.plan import planner
from nengo_dl.run import progress


class Watch(ProgressBar):
    """Notes what it is told to show."""

    def __init__(self):
        super().__init__()
        self.shown = {}
        self.closed = False

    def update(self, progress):
        """Remember how far what is."""
        self.shown.setdefault(progress.name_during, []).append(progress.progress)

    def close(self):
        """Remember that all is done."""
        self.closed = True


def test_bar_moves_while_building_and_planning(monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL", 0)
    with nengo.Network(seed=0) as net:
        array = nengo.networks.EnsembleArray(10, 6)
        nengo.Connection(array.output, array.input)
    bar = Watch()
    nengo_dl.Simulator(net, progress_bar=bar).close()
    assert list(bar.shown) == ["Building network", "Planning", "Building"]
    built, planned = bar.shown["Building network"], bar.shown["Planning"]
    assert len(built) > 15 and built == sorted(set(built)) and built[-1] == 1
    assert planned == [(i + 1) / len(planner.PASSES) for i in range(len(planner.PASSES))]
    assert bar.closed


def test_bar_is_drawn_now_and_then_only(monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL", 1e9)
    with nengo.Network(seed=0) as net:
        nengo.Ensemble(10, 1)
    bar = Watch()
    nengo_dl.Simulator(net, progress_bar=bar).close()
    assert list(bar.shown) == ["Building"]
