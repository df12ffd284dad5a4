"""Binaries and configs that run Sub-Pseudo Label experiments from end to end."""
