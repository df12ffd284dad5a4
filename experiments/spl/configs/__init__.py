"""Configs of the experiments, one module each."""
