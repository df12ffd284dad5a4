"""Clothing1M (section 4.6)."""
