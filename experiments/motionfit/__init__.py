"""MotionFit: labels from motion for videos without any."""
