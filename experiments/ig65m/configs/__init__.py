"""Configs of the experiments of IG-65M."""
