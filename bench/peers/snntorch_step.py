"""snnTorch: products of layers for all steps at once, neurons step by step."""

import math
from importlib.metadata import version

import snntorch
import torch
from common import DT, SIZES, SYNAPSE, TAU_RC
from snntorch import surrogate
from torch_step import linear, serve_torch

BETA, ALPHA = math.exp(-DT / TAU_RC), math.exp(-DT / SYNAPSE)


class Layer(torch.nn.Module):
    """Neurons over all steps of their currents."""

    def __init__(self, neurons):
        super().__init__()
        self.neurons = neurons

    def forward(self, currents):
        state, spikes = self.neurons.reset_mem(), []
        state = state if isinstance(state, tuple) else (state,)
        for current in currents:
            spike, *state = self.neurons(current, *state)
            spikes.append(spike)
        return torch.stack(spikes)


def build(recurrent, weights):
    common = {"reset_mechanism": "zero", "spike_grad": surrogate.fast_sigmoid(1)}
    if recurrent:
        hidden = snntorch.RLeaky(beta=BETA, all_to_all=True, linear_features=SIZES[1], **common)
        with torch.no_grad():
            hidden.recurrent.weight.copy_(weights[2])
    else:
        hidden = snntorch.Leaky(beta=BETA, **common)
    net = torch.nn.Sequential(
        linear(weights[0], 1.0),
        Layer(hidden),
        linear(weights[1], None),
        Layer(snntorch.Synaptic(alpha=ALPHA, beta=BETA, **common)),
    )
    return net, net.parameters()


serve_torch(build, {"snntorch": version("snntorch")})
