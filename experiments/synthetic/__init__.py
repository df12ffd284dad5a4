"""A synthetic weakly-labeled web-video world, rendered to real video files."""
