"""Real video files and clip datasets that tests share."""

import contextlib
import io
import os
import subprocess

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import av
import numpy as np
import pytest
from PIL import Image

from spl_tf import clips


def write_video(path, images, rate=8, codec="libx264", pix_fmt="yuv420p", options=None):
    """Encodes uint8 [T, H, W, 3] RGB images to a video file."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = pix_fmt
        for image in images:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@contextlib.contextmanager
def small_disk(directory, size):
    """Mounts a file system of that size there; gives a function that enlarges it."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    larger = ["mount", "-o", "remount,size=99m", str(directory)]
    try:
        yield lambda: subprocess.run(larger, check=True)
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def counting_images(count, height=48, width=64):
    """Images whose grey level tells their number: image i is 10 + 5 * i."""
    levels = 10 + 5 * np.arange(count, dtype=np.uint8)
    return np.broadcast_to(
        levels[:, None, None, None], (count, height, width, 3)
    ).copy()


def jpeg(image, quality=95):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def make_clip(number, label, *, frames=8, size=(32, 40), teacher=(), names="abcdef"):
    """A clip whose frame t is grey level 8 * number + t, mod 256."""
    images = [
        np.full((*size, 3), (8 * number + t) % 256, np.uint8) for t in range(frames)
    ]
    return clips.Clip(
        id=f"video{number}@0-1000000",
        frames=tuple(jpeg(image) for image in images),
        timestamps=tuple(125_000 * t for t in range(frames)),
        frame_rate=8.0,
        height=size[0],
        width=size[1],
        label_index=label,
        label_name=names[label],
        media_id=f"video{number}",
        data_path=f"videos/{number}.mp4",
        start=0,
        end=1_000_000,
        teacher_index=tuple(teacher),
        teacher_confidence=tuple(1.0 / (k + 1) for k in range(len(teacher))),
    )


def write_dataset(directory, all_clips, class_names, num_shards=2, label_kind="weak"):
    """Writes clips to a finished dataset folder and opens it."""
    directory.mkdir(parents=True, exist_ok=True)
    summaries = []
    for shard in range(num_shards):
        records = [
            (
                clips.encode_clip(clip),
                len(clip.frames),
                clip.label_index,
                clip.teacher_index[0] if clip.teacher_index else -1,
            )
            for clip in all_clips[shard::num_shards]
        ]
        name = clips.shard_name(shard, num_shards)
        summaries.append(clips.write_shard(directory, name, records))
    clips.finish_dataset(
        directory, summaries, class_names, label_kind, {"tool": "test"}
    )
    return clips.ClipDataset(directory)


def without_added_columns(directory):
    """Makes the index one from before there were confidences, groups and labels."""
    path = f"{directory}/index.npz"
    with np.load(path) as arrays:
        old = {name: arrays[name] for name in arrays.files}
    for name in (
        "confidence",
        "group",
        "labels",
        "label_splits",
        "label_confidence",
    ):
        del old[name]
    np.savez(path, **old)


@pytest.fixture
def web_dataset(tmp_path):
    """23 clips of 3 classes in 2 shards; clip n: label n % 3, teacher (n // 3) % 3."""
    return write_dataset(
        tmp_path / "web",
        [
            make_clip(n, n % 3, teacher=[(n // 3) % 3, (n // 3 + 1) % 3], names="abc")
            for n in range(23)
        ],
        ["a", "b", "c"],
    )
