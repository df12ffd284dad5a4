"""Frames out of video and image files, and JPEGs of them."""
