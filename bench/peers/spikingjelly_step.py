"""SpikingJelly: multi-step layers, the recurrent one step by step."""

import math
from importlib.metadata import version

import torch
from common import DT, SYNAPSE, TAU_RC
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch_step import linear, serve_torch

TAU = 1 / (1 - math.exp(-DT / TAU_RC))  # of its equation v += (x - v) / tau
FILTER = 1 / (1 - math.exp(-DT / SYNAPSE))


def lif(mode):
    return neuron.LIFNode(
        tau=TAU, v_reset=0.0, detach_reset=True, surrogate_function=surrogate.ATan(), step_mode=mode
    )


def synapse(mode):
    return layer.SynapseFilter(tau=FILTER, learnable=False, step_mode=mode)


class Recurrent(torch.nn.Module):
    """Neurons with weights among themselves, a filter and a delay of one step."""

    def __init__(self, weights):
        super().__init__()
        self.neurons, self.weights, self.filter = lif("s"), linear(weights, None), synapse("s")

    def forward(self, currents):
        filtered, spikes = torch.zeros_like(currents[0]), []
        for current in currents:
            spikes.append(self.neurons(current + filtered))
            filtered = self.filter(self.weights(spikes[-1]))
        return torch.stack(spikes)


def build(recurrent, weights):
    net = torch.nn.Sequential(
        linear(weights[0], 1.0),
        Recurrent(weights[2]) if recurrent else lif("m"),
        linear(weights[1], None),
        synapse("m"),
        lif("m"),
        synapse("m"),
    )

    def run(x):
        functional.reset_net(net)
        return net(x)

    return run, net.parameters()


serve_torch(build, {"spikingjelly": version("spikingjelly")})
