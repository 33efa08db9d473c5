"""`nengo_dl`: its compiled train step of constant data, and `fit` of data in memory."""

from common import NETWORKS, Channel, timed

MINIBATCHES = 20  # of a call of `fit`


class Ours:
    """A simulator that trains the network that was asked for last."""

    def __init__(self):
        self.sim = self.calls = None

    def load(self, network):
        """Build it, and train once in each way."""
        import keras
        from train_worker import targets_and_inputs, train_step
        from training_networks import NETWORKS

        import nengo_dl

        if self.sim is not None:
            self.sim.close()
        keras.utils.set_random_seed(0)
        net = NETWORKS[OURS[network]]()
        x, y = targets_and_inputs(net, MINIBATCHES)
        self.sim = sim = nengo_dl.Simulator(net, minibatch_size=net.batch, progress_bar=False)
        sim.compile(keras.optimizers.Adam(1e-9), loss={net.p: "mse"})
        each = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)

        def fit(*callbacks):
            return lambda: sim.fit({net.inp: x}, {net.p: y}, verbose=0, callbacks=list(callbacks))

        self.calls = {"step": train_step(sim, net, x, y), "fit": fit(), "fit, callback": fit(each)}
        loss = self.calls["step"]()
        for call in self.calls.values():
            call()
        return {"loss": float(loss)}

    def time(self, name, repeat):
        """Seconds of a training step."""
        if name == "step":
            return timed(self.calls[name], repeat)[0]
        return {clock: took / MINIBATCHES for clock, took in timed(self.calls[name])[0].items()}


OURS = dict(zip(NETWORKS, ("surrogate-784-256-10", "surrogate-recurrent"), strict=True))


def main():
    channel = Channel()
    import nengo_dl

    channel.answer(versions={"nengo_dl": nengo_dl.__version__})
    ours = Ours()
    channel.serve({"load": ours.load, "time": ours.time})


if __name__ == "__main__":
    main()
