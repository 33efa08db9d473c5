"""Train a convolutional network in Keras, then run it with spiking neurons.

The converter makes a Nengo network of the Keras model and tells what became of each layer. From
sample data it finds the scale at which the neurons of each layer fire as often as they are asked
to: fewer spikes are cheaper, more are more exact.

    python docs/examples/keras_to_snn.py --help
"""

import common
import keras
import nengo
import numpy as np
from matplotlib.figure import Figure

import nengo_dl

SHAPE = (8, 8, 1)
MINIBATCH = 36
SYNAPSE = 0.01  # seconds by which spikes are smoothed
STEPS = 80  # of a millisecond each


def keras_model():
    """Two convolutions and a dense layer."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input(SHAPE),
            layers.Conv2D(16, 3, activation="relu", name="conv0"),
            layers.Conv2D(32, 3, strides=2, activation="relu", name="conv1"),
            layers.Flatten(),
            layers.Dense(10, name="classes"),
        ]
    )


def run_spiking(model, sample, target_rate, images):
    """Convert, run all images, and return the decisions over time and the mean rate in Hz."""
    converter = nengo_dl.Converter(
        model,
        swap_activations={keras.activations.relu: nengo.SpikingRectifiedLinear()},
        synapse=SYNAPSE,
        scale_firing_rates="calibrate",
        calibration_data=sample,
        target_rates=target_rate,
    )
    with converter.net:
        nengo_dl.configure_settings(stateful=False)
        neurons = [converter.layers[model.get_layer(name)] for name in ("conv0", "conv1")]
        probes = [nengo.Probe(n) for n in neurons]
    image = converter.inputs[converter.model.inputs[0]]
    output = converter.outputs[converter.model.outputs[0]]
    with nengo_dl.Simulator(converter.net, minibatch_size=MINIBATCH, progress_bar=False) as sim:
        result = sim.predict({image: common.shown(images, STEPS)})
    # a spike is as high as the amplitude, per second
    rates = [
        result[p] / n.ensemble.neuron_type.amplitude for p, n in zip(probes, neurons, strict=True)
    ]
    return converter, result[output], np.mean(np.concatenate(rates, axis=-1))


def draw(path, targets, found, exact, over_time, classes):
    """Accuracy by firing rate, and over time, as a PNG file."""
    fig = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = fig.subplots(1, 2)
    left.plot([rate for _, rate in found], [share for share, _ in found], "o-")
    left.axhline(exact, color="gray", linestyle="--", label="rate network")
    left.set(title=f"accuracy after {STEPS} ms", xlabel="mean firing rate (Hz)", xscale="log")
    left.legend(loc="lower right")
    for target, values in zip(targets, over_time, strict=True):
        right.plot((values.argmax(axis=-1) == classes[:, None]).mean(axis=0), label=f"{target} Hz")
    right.axhline(exact, color="gray", linestyle="--")
    right.set(title="accuracy over time", xlabel="time (ms)")
    right.legend(title="asked for", loc="lower right")
    fig.savefig(path, dpi=80)


def main():
    args = common.arguments(__doc__, "keras_to_snn.png")
    (x, y), (test_x, test_y) = common.digits(args.seed)
    model = keras_model()
    model.compile(
        keras.optimizers.Adam(0.003),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(x.reshape(-1, *SHAPE), y, epochs=5 if args.short else 30, verbose=0)
    exact = model.evaluate(test_x.reshape(-1, *SHAPE), test_y, verbose=0)[1]
    print(f"accuracy of the Keras model: {exact:.1%}")

    targets = [150] if args.short else [10, 25, 50, 100, 150]
    found, over_time = [], []
    for target in targets:
        converter, values, rate = run_spiking(model, x[:360].reshape(-1, *SHAPE), target, test_x)
        if target == targets[0]:
            print(converter.report())
        found.append((common.accuracy(values, test_y), rate))
        over_time.append(values)
        print(
            f"asked for {target} Hz: accuracy with spikes {found[-1][0]:.1%}, "
            f"mean rate {found[-1][1]:.0f} Hz"
        )
    draw(args.output, targets, found, exact, over_time, test_y)
    print(f"picture: {args.output}")


if __name__ == "__main__":
    main()
