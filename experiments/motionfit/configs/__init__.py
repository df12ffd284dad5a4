"""Configs of MotionFit's experiments."""
