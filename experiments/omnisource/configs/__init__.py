"""Configs of OmniSource's experiments."""
