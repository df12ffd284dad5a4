"""Videos whose frames are known, and reading them back."""

import io

import av
import numpy as np
from PIL import Image

from tests.conftest import counting_images
from tfrecords_tools.decoding import video


def encode(path, start=0, end=None, short_side=0, **changes):
    """The frames of a span, of the whole video by default."""
    if end is None:
        end = video.probe(path).duration
    arguments = {"scale": short_side, "fps": 0, "jpeg_quality": 95, "threads": 1}
    return list(video.encode_frames(path, start, end, **arguments | changes))


def pixels(frame):
    return np.asarray(Image.open(io.BytesIO(frame.jpeg)))


def numbers(frames):
    """Which of `counting_images` the frames show."""
    return [round((pixels(frame).mean() - 10) / 5) for frame in frames]


def write_frames(path, frames, codec="libx264", setup=None, **options):
    """Encodes `av.VideoFrame`s with timestamps (in 1/10 s) of their own."""
    with av.open(str(path), "w", options=options.pop("container", {})) as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height = frames[0].width, frames[0].height
        stream.pix_fmt = frames[0].format.name
        if setup:
            setup(stream)
        for frame in frames:
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def grey_frames(times, height=48, width=64):
    frames = []
    for image, time in zip(
        counting_images(len(times), height, width), times, strict=True
    ):
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
            format="yuv420p"
        )
        frame.pts = time
        frames.append(frame)
    return frames
