"""A trained network at work on a dataset."""
