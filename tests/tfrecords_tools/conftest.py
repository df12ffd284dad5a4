"""A folder of real videos, and running the conversion on it."""

import dataclasses

import numpy as np
import pytest

from spl_tf import clips
from tests.conftest import counting_images, write_video
from tests.warm_python import WarmProcess
from tfrecords_tools.conversion.conversion import RunOptions
from tfrecords_tools.convert_videos import ConversionSettings, convert_videos

RUN_OPTIONS = {field.name for field in dataclasses.fields(RunOptions)}


@pytest.fixture
def folder(tmp_path):
    """Two readable videos of 4 s at 8 fps, and classes; no manifest."""
    (tmp_path / "videos").mkdir()
    for number, name in enumerate(("one", "two words")):
        write_video(
            tmp_path / "videos" / f"{name}.mp4",
            counting_images(32, width=64 + 2 * number),
            options={"g": "8", "crf": "10"},
        )
    (tmp_path / "classes.txt").write_text("run\njump\n")
    return tmp_path


def convert(folder, manifest, output="out", **settings):
    """Converts in this process unless `num_workers` says otherwise."""
    (folder / "m.csv").write_text(manifest, encoding="utf-8")
    settings = {"num_workers": 1, "short_side": 0, "num_shards": 2} | settings
    run = {name: settings.pop(name) for name in RUN_OPTIONS & set(settings)}
    return convert_videos(
        str(folder / "m.csv"),
        str(folder / "classes.txt"),
        str(folder / output),
        settings=ConversionSettings(**settings),
        run=RunOptions(**run),
    )


def read_all(directory):
    """The opened dataset, and its clips by id."""
    dataset = clips.ClipDataset(directory)
    with dataset.reader() as reader:
        parsed = [clips.parse_clip(reader.read(row)) for row in range(len(dataset))]
    return dataset, {clip.id: clip for clip in parsed}


def contents(directory):
    """Every file below a folder with its bytes."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def start_command(folder, *flags):
    """Starts the binary on the folder's `m.csv`."""
    files = [f"--manifest={folder / 'm.csv'}", f"--classes={folder / 'classes.txt'}"]
    return WarmProcess("-m", "tfrecords_tools.convert_videos", *files, *flags)


def noise_images(count, height, width, seed=0):
    """Random pixels, which take long to decode and encode."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, height, width, 3), np.uint8)


@pytest.fixture(scope="session")
def video_bytes(tmp_path_factory):
    """A video of 2 s at 8 fps."""
    path = tmp_path_factory.mktemp("video") / "video.mp4"
    write_video(path, counting_images(16, height=32, width=32), options={"crf": "30"})
    return path.read_bytes()
