"""Kinetics-200 and WebK200 (section 4.3)."""
