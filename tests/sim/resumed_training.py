"""A training that can be killed and resumed; run by test_resume.py in a process of its own.

Arguments: folder, how it is saved (``checkpoint`` or ``backup``), and the epoch to resume from.
Prints number and loss of each epoch.
"""

import sys
from pathlib import Path

import keras
import nengo
import numpy as np

import nengo_dl

EPOCHS = 6


class Report(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        print("epoch", epoch, repr(float(logs["loss"])), flush=True)


def network():
    with nengo.Network(seed=1) as net:
        nengo_dl.configure_settings(dtype="float64")
        x = nengo.Node([0.0], label="x")
        ens = nengo.Ensemble(20, 1, neuron_type=nengo.LIFRate())
        nengo.Connection(x, ens)
        nengo.Connection(ens, ens, synapse=0.01)
        nengo.Probe(ens, synapse=0.01, label="p")
    return net


def main(folder, how, resumed_from):
    keras.utils.set_random_seed(5)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (2, 32, 8, 1))
    with nengo_dl.Simulator(network(), minibatch_size=4, progress_bar=False) as sim:
        sim.compile(keras.optimizers.Adam(0.01), loss="mse")
        if how == "checkpoint":
            path = str(Path(folder) / "{epoch}.weights.h5")
            saving = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
            if resumed_from:
                sim.keras_model.load_weights(path.format(epoch=resumed_from))
        else:
            saving = keras.callbacks.BackupAndRestore(folder)
        sim.fit(
            x,
            {"p": y},
            epochs=EPOCHS,
            initial_epoch=resumed_from if how == "checkpoint" else 0,
            callbacks=[saving, Report()],
            verbose=0,
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
