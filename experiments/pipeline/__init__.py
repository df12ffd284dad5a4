"""A whole experiment in stages, each in a process of its own, run once and kept."""
