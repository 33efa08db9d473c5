"""What all tests share."""

import os

import hypothesis

# Before TensorFlow is imported: its start-up messages would fill the reports of failing tests.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

# Machines that run tests are shared and slow at times; an example's duration says nothing.
hypothesis.settings.register_profile("shared-machine", deadline=None)
hypothesis.settings.load_profile("shared-machine")
