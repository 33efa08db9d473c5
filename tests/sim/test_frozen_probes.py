"""Probes of Ensembles in a frozen network decode as they did in the simulator."""

import nengo
import numpy as np


def test_decoders_of_probes(Sim):
    """Nengo would solve for them anew, with the tuning curves that were trained."""
    with nengo.Network(seed=0) as net:
        given = nengo.Node([0.9])
        ensemble = nengo.Ensemble(50, 1, neuron_type=nengo.RectifiedLinear())
        nengo.Connection(given, ensemble, synapse=None)
        decoded, neurons = nengo.Probe(ensemble), nengo.Probe(ensemble.neurons)
        filtered = nengo.Probe(ensemble, synapse=0.01)
    sim = Sim(net)
    before = sim.get_nengo_params(ensemble)["bias"]
    values = sim.keras_model.get_weights()
    sim.keras_model.set_weights([1.1 * value for value in values])
    sim.freeze_params(net)
    assert np.abs(ensemble.bias - before).max() > 0.01
    sim.run_steps(20)
    with nengo.Simulator(net, progress_bar=False) as nengo_sim:
        nengo_sim.run_steps(20)
    for probe in (decoded, neurons, filtered):
        np.testing.assert_allclose(nengo_sim.data[probe], sim.data[probe], rtol=1e-5, atol=1e-7)
    again = Sim(net)
    again.run_steps(20)
    np.testing.assert_allclose(again.data[decoded], sim.data[decoded], rtol=1e-5)
