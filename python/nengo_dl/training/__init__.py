"""Training and the other calls of Keras: data, targets, losses, results."""
