"""Training with differential privacy: samples, clipping, noise."""
