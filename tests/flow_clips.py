"""Clips with optical flow, put into records by the protobuf library alone."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

from spl_tf import clips
from tests.training.finished_run import textured_clip

FLOW = "FORWARD_FLOW/image/encoded"


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg_444(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=98, subsampling=0)
    return buffer.getvalue()


def smooth_flow(number, frames, size):
    """Images of flow as they are stored, uint8 [T, H, W, 3], which differ by number."""
    rng = np.random.default_rng([number, 1])
    images = []
    for _ in range(frames):
        coarse = rng.integers(0, 256, (3, 5, 3), np.uint8)
        image = Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)
        images.append(np.asarray(image))
    flow = np.stack(images)
    flow[..., 2] = 128
    return flow


def with_flow(clip, images):
    """The record of a clip, with encoded images of flow."""
    example = tf.train.SequenceExample.FromString(clips.encode_clip(clip))
    steps = example.feature_lists.feature_list[FLOW]
    for image in images:
        steps.feature.add().bytes_list.value.append(image)
    return example.SerializeToString()


def write_records(directory, records, class_names):
    """Writes (clip, serialized record) pairs to a finished dataset, and opens it."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = [(data, len(clip.frames), clip.label_index, -1) for clip, data in records]
    name = clips.shard_name(0, 1)
    summary = clips.write_shard(directory, name, rows)
    clips.finish_dataset(directory, [summary], class_names, "clean", {"tool": "test"})
    return clips.ClipDataset(directory)


def flow_dataset(directory, count=6, names="abc", frames=8, size=(20, 36), encode=png):
    """Clips n of class n modulo their number, with the flow of `smooth_flow`."""
    records = []
    for n in range(count):
        clip = textured_clip(n, n % len(names), names, frames, size)
        images = smooth_flow(n, frames, size)
        records.append((clip, with_flow(clip, map(encode, images))))
    return write_records(directory, records, list(names))
