"""HMDB-51 after pre-training on WebK200 (section 4.4)."""
