"""Neuron types: Nengo's classes and their native forms."""
