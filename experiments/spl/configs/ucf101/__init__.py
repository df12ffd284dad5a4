"""UCF-101 after pre-training on WebK200 (section 4.4)."""
