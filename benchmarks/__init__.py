"""Speed and memory, each against a named rival, in one run."""
