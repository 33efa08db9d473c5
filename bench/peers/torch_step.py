"""What the libraries on PyTorch share: a training step with Adam."""

import torch
from common import arrays, serve


def serve_torch(build, versions):
    """Serve training steps of a network.

    Parameters
    ----------
    build : callable
        ``build(recurrent, weights)`` returns a function from inputs ``(steps, batch, 784)`` to
        outputs ``(steps, batch, 10)``, and its parameters.
    versions : dict
        Of the library.
    """

    def make(recurrent):
        x, y, weights = arrays()
        x, y = torch.from_numpy(x), torch.from_numpy(y)
        weights = [torch.from_numpy(w.T.copy()) for w in weights]
        run, parameters = build(recurrent, weights)
        optimizer = torch.optim.Adam(parameters, lr=1e-9)

        def step():
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(run(x), y)
            loss.backward()
            optimizer.step()
            return loss.item()

        return step

    serve(make, {"torch": torch.__version__, **versions})


def linear(weight, bias=0.0):
    """A dense layer of given weights with a trained bias, or none if that is None."""
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.fill_(bias)
    return layer
