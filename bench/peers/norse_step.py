"""Norse: LIF neurons whose currents are filtered, as its own are; over all steps in its modules."""

from importlib.metadata import version

import norse.torch as norse
import torch
from common import DT, SIZES, SYNAPSE, TAU_RC
from torch_step import linear, serve_torch

NEURONS = norse.LIFParameters(
    tau_syn_inv=torch.tensor(1 / SYNAPSE),
    tau_mem_inv=torch.tensor(1 / TAU_RC),
    method="super",
    alpha=torch.tensor(1.0),
)


def build(recurrent, weights):
    n_in, n_hidden, _ = SIZES
    if recurrent:
        hidden = norse.LIFRecurrent(n_in, n_hidden, p=NEURONS, dt=DT)
        with torch.no_grad():
            hidden.input_weights.copy_(weights[0])
            hidden.recurrent_weights.copy_(weights[2])
        layers = [hidden]
    else:
        layers = [linear(weights[0], 1.0), norse.LIF(p=NEURONS, dt=DT)]
    readout = norse.LI(p=norse.LIParameters(tau_syn_inv=torch.tensor(1 / DT)), dt=DT)  # no filter
    net = norse.SequentialState(
        *layers, linear(weights[1], None), norse.LIF(p=NEURONS, dt=DT), readout
    )
    return lambda x: net(x)[0], net.parameters()


serve_torch(build, {"norse": version("norse")})
