"""The parts of the Keras layer: the compiled op, its gradient, weights and state."""
