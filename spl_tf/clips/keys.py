"""The keys of a clip record: MediaSequence's names, defined here and nowhere else."""

# Feature lists: one entry per frame.
IMAGE_ENCODED = "image/encoded"
IMAGE_TIMESTAMP = "image/timestamp"
FLOW_ENCODED = "FORWARD_FLOW/image/encoded"
TEACHER_IMAGE_INDEX = "TEACHER/image/label/index"
TEACHER_IMAGE_CONFIDENCE = "TEACHER/image/label/confidence"

# Context: one value per clip.
IMAGE_FORMAT = "image/format"
IMAGE_FRAME_RATE = "image/frame_rate"
IMAGE_HEIGHT = "image/height"
IMAGE_WIDTH = "image/width"
EXAMPLE_ID = "example/id"
MEDIA_ID = "clip/media_id"
DATA_PATH = "clip/data_path"
START_TIMESTAMP = "clip/start/timestamp"
END_TIMESTAMP = "clip/end/timestamp"
LABEL_INDEX = "clip/label/index"
LABEL_STRING = "clip/label/string"
LABEL_TEXT = "clip/label/text"  # DMVR's name for what MediaSequence calls string.
TEACHER_INDEX = "TEACHER/clip/label/index"
TEACHER_CONFIDENCE = "TEACHER/clip/label/confidence"
