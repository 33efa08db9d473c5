"""A stand-in for a GPU in TensorFlow, for a process of its own: there before TensorFlow starts.

The environment says which libraries to load (`environment`). Used as a plugin of pytest.
"""

import ctypes
import os

VARIABLE = "NENGO_DL_TEST_TF_GPU"  # name of the backend, its library, the device's and its ops'
NAME, *_LIBRARIES = os.environ.get(VARIABLE, "").split(os.pathsep)


def environment(base, name, backend, device, ops):
    """That of a process that has the device: `backend` is the library of backend `name`."""
    path = os.pathsep.join([os.path.dirname(__file__), *filter(None, [base.get("PYTHONPATH")])])
    libraries = os.pathsep.join([name, *map(str, (backend, device, ops))])
    return {**base, "PYTHONPATH": path, VARIABLE: libraries}


def load_backend():
    """The backend's library."""
    if NAME == "cuda":  # of the package itself
        from nengo_dl import _engine

        _engine.load_cuda()
    return ctypes.CDLL(_LIBRARIES[0])


def pytest_configure():
    """Load the backend, and the device, whose memory is the backend's."""
    from tensorflow.python.framework import load_library

    backend, device = load_backend(), _LIBRARIES[1]
    load_library.load_pluggable_device_library(device)
    backend.far_gpu_streams(ctypes.CDLL(device).far_gpu_wait)
    ops()  # with updates of variables


def ops():
    """TensorFlow's ops of the device's library."""
    import tensorflow as tf

    return tf.load_op_library(_LIBRARIES[2])


def visits():
    """How often the engine began to work on TensorFlow's GPU, and how often that ended."""
    backend = load_backend()
    return backend.far_gpu_visits(0), backend.far_gpu_visits(1)


def engine_bytes():
    """Bytes that came from the host's memory, sent by the engine."""
    count = load_backend().bytes_received
    count.restype = ctypes.c_int64
    return count()
