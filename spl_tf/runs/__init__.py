"""A run's folder: config, lock, checkpoints, weights, logs."""
