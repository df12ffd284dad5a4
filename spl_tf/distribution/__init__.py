"""Devices and processes of a run, and what ends them."""
