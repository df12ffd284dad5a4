"""Sub-Pseudo Labels: pre-train video models on weakly-labeled web video.

Import the room you need (`spl_tf.labels`, `spl_tf.clips`, `spl_tf.data`,
`spl_tf.models`, `spl_tf.training`, ...). This package itself imports nothing, so that
the label code works where TensorFlow is not wanted.
"""

__version__ = "0.1.0"
