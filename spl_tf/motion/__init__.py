"""How cameras move: homographies between frames, and their statistics."""

from spl_tf.motion.camera_motion import CameraMotion, MotionLaw, camera_path
from spl_tf.motion.homographies import fit_camera_motion, measure_homography

__all__ = [
    "CameraMotion",
    "MotionLaw",
    "camera_path",
    "fit_camera_motion",
    "measure_homography",
]
