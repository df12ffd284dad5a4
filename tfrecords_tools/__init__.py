"""Binaries that make, check and show TFRecords of clips."""
