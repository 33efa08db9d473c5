"""A run of a built model: its inputs, random numbers, Python functions, progress."""
