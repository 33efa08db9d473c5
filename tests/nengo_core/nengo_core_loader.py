"""What Nengo's own test suite asks for the simulator under test.

``nengo_simloader`` in ``nengo.ini`` names :func:`load_simulator`. Setting it makes Nengo's pytest
plugin collect only the tests that use its ``Simulator`` fixture.
"""

import os


def load_simulator(request):
    """The class that Nengo's tests build as ``Simulator(network, ...)``.

    ``NENGO_CORE_SIMULATOR=nengo.Simulator`` in the environment runs the same tests against Nengo's
    own simulator, to tell a defect of ours from one of the suite or of its environment.
    """
    chosen = os.environ.get("NENGO_CORE_SIMULATOR", "nengo_dl.Simulator")
    if chosen == "nengo.Simulator":
        import nengo

        return nengo.Simulator
    if chosen != "nengo_dl.Simulator":
        raise ValueError(
            f"NENGO_CORE_SIMULATOR is {chosen!r}; it can be 'nengo_dl.Simulator' or "
            "'nengo.Simulator'"
        )
    import nengo_dl

    return nengo_dl.Simulator
