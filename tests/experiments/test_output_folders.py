"""Binaries whose output folder cannot be written end with one line."""

import os
import subprocess
import sys

import pytest

from tests.training.run_files import ROOT
from tests.training.teachers import write_teacher

# For root, who may write everywhere: a folder below a file, and one of the kernel's.
PLACES = ("{tmp}/file/out", "/proc/out")


def commands(tmp_path, dataset):
    classes, videos = tmp_path / "classes.txt", tmp_path / "videos.csv"
    classes.write_text("a\nb\nc\n")
    videos.write_text("video,label\nx.mp4,a\n")
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("weak,teacher\na,b\nb,b\nc,a\n")
    images = tmp_path / "images" / "a"
    images.mkdir(parents=True)
    (images / "x.png").write_bytes(b"x")
    teacher = write_teacher(tmp_path / "teacher")
    return {
        "tfrecords_tools.convert_videos": [
            f"--manifest={videos}",
            f"--classes={classes}",
            "--output_dir={out}",
        ],
        "tfrecords_tools.convert_images": [
            f"--image_root={tmp_path / 'images'}",
            f"--classes={classes}",
            "--output_dir={out}",
        ],
        "experiments.predict": [
            f"--checkpoint={teacher}",
            f"--input_dir={dataset.directory}",
            "--output_dir={out}",
        ],
        "experiments.evaluate": [
            f"--checkpoint={teacher}",
            f"--dataset={dataset.directory}",
            "--output_dir={out}",
        ],
        "experiments.find_duplicates": [
            f"--checkpoint={teacher}",
            f"--dataset={dataset.directory}",
            f"--against={dataset.directory}",
            "--output_dir={out}",
        ],
        "experiments.build_labels": [
            f"--pairs={pairs}",
            f"--classes={classes}",
            "--strategy=weak",
            "--output_dir={out}",
        ],
        "experiments.export": [f"--checkpoint={teacher}", "--output_dir={out}"],
        "experiments.train": [
            f"--config={ROOT / 'experiments/spl/configs/r3d_50_g.py'}",
            f"--config.data.train={dataset.directory}",
            "--workdir={out}",
        ],
        "experiments.run_pipeline": [
            f"--config={ROOT / 'experiments/spl/configs/synthetic.py'}",
            "--workdir={out}",
        ],
    }


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_an_output_that_cannot_be_written_is_one_line(tmp_path, web_dataset, place):
    (tmp_path / "file").write_bytes(b"")
    out = place.format(tmp=tmp_path)
    for binary, flags in commands(tmp_path, web_dataset).items():
        arguments = [flag.replace("{out}", out) for flag in flags]
        done = subprocess.run(
            [sys.executable, "-m", binary, *arguments],
            cwd=ROOT,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 1, (binary, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, (binary, done.stderr)
        last = done.stderr.splitlines()[-1]
        assert last.startswith(("error: ", "build_labels: ")), (binary, done.stderr)
        assert os.path.dirname(out) in last, (binary, last)
