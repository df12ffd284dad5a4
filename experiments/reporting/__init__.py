"""Reads a finished or unfinished workdir of `run_pipeline` for the report."""
