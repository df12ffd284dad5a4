"""Sub-Pseudo Labels: the paper's experiments."""
