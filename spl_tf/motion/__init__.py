"""How cameras move: homographies between frames, and their statistics."""

from spl_tf.motion.camera_motion import CameraMotion, MotionLaw, camera_path

__all__ = ["CameraMotion", "MotionLaw", "camera_path"]
