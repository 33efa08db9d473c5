"""For CMake: print the installed TensorFlow as version;compile flags;link flags."""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
try:
    import tensorflow as tf
except ImportError as e:
    sys.exit(f"tensorflow can't be imported: {e}")
if not tf.__version__.startswith("2.21."):
    sys.exit(f"tensorflow {tf.__version__} is installed, 2.21.* is due")
flags = (tf.sysconfig.get_compile_flags(), tf.sysconfig.get_link_flags())
print(tf.__version__, *(" ".join(f) for f in flags), sep=";")
