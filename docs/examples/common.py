"""What several examples need: their arguments, handwritten digits, accuracy.

It is imported before TensorFlow, which reads the environment variable when it is imported.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402


def arguments(description, picture=None):
    """Read the command line of an example and seed NumPy, TensorFlow and Keras.

    Parameters
    ----------
    description : str
        What the example is about; the first line is shown by ``--help``.
    picture : str, optional
        Name of the file that it draws.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="train less, so that it ends soon")
    parser.add_argument("--seed", type=int, default=0, help="of everything (%(default)s)")
    if picture:
        parser.add_argument(
            "--output", type=Path, default=Path(picture), help="picture (%(default)s)"
        )
    args = parser.parse_args()
    keras.utils.set_random_seed(args.seed)
    return args


def digits(seed, whole=1):
    """The digits of scikit-learn, 64 pixels from 0 to 1 each: (train, test) of (images, classes).

    Of those to train with there are a multiple of ``whole``.
    """
    images, classes = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        images / 16, classes, test_size=0.2, random_state=seed, stratify=classes
    )
    kept = len(train_x) // whole * whole
    return (train_x[:kept], train_y[:kept]), (test_x, test_y)


def shown(values, steps=1):
    """Values, each given for some steps: ``(items, steps, size)``."""
    return np.repeat(values.reshape(len(values), 1, -1), steps, axis=1)


def accuracy(values, classes):
    """Share of items whose highest value in the last step is that of their class."""
    return np.mean(values[:, -1].argmax(axis=-1) == classes)
