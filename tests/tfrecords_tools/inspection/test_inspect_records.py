import dataclasses
import os

import numpy as np
from PIL import Image

from spl_tf import clips
from tests import warm_python
from tests.conftest import make_clip, write_dataset
from tfrecords_tools.inspection.summary import format_summary


def inspect(*arguments):
    return warm_python.run("-m", "tfrecords_tools.inspect_records", *arguments)


def words(line):
    return line.split()


def test_the_summary_tells_what_the_dataset_holds(tmp_path):
    # Labels 0, 0, 0, 1; the teacher agrees with the first two.
    all_clips = [
        make_clip(0, 0, frames=2, teacher=[0]),
        make_clip(1, 0, frames=4, teacher=[0]),
        make_clip(2, 0, frames=6, teacher=[1]),
        make_clip(3, 1, frames=10, teacher=[0]),
    ]
    dataset = write_dataset(tmp_path / "d", all_clips, ["a", "b", "none"])
    dataset.info.source = {
        "tool": "convert_videos",
        "manifest": "web.csv",
        "settings": {"fps": 4.0, "seed": 7},
    }
    lines = format_summary(dataset).splitlines()
    facts = {words(line)[0]: " ".join(words(line)[1:]) for line in lines[1:10]}
    size = sum(len(clips.encode_clip(clip)) for clip in all_clips)
    assert facts["clips"] == f"4 clips in 2 shards, {size / 1000:.3g} kB"
    assert facts["labels"] == "weak, 3 classes"
    assert facts["made"] == "by convert_videos manifest=web.csv fps=4.0 seed=7"
    assert facts["frames"] == "min 2, median 5, max 10 a clip, 22 in all"
    assert facts["seconds"].startswith("min 0.5, median 1.25, max 2.5 a clip at 4 fps")
    assert facts["teacher"].endswith(
        "agrees with the label in 50.0% (noise ratio 50.0%)"
    )
    assert facts["skipped"] == "0"
    table = [words(line) for line in lines[lines.index("") + 2 :]]
    assert table == [
        ["class", "name", "clips", "share", "teacher", "agrees"],
        ["0", "a", "3", "75.0%", "66.7%"],
        ["1", "b", "1", "25.0%", "0.0%"],
        ["2", "none", "0", "0.0%"],
    ]
    assert lines[lines.index("") + 1] == (
        "clips per class: min 0, median 1, max 3; 1 class without a clip"
    )


def test_of_many_classes_the_largest_and_smallest_are_listed(tmp_path):
    names = [f"class{n}" for n in range(40)]
    counts = [n % 7 for n in range(40)]
    labels = np.repeat(np.arange(40), counts)
    all_clips = [
        make_clip(n, label, frames=1, size=(8, 8), names=names)
        for n, label in enumerate(labels)
    ]
    dataset = write_dataset(tmp_path / "d", all_clips, names, num_shards=1)

    def listed(text):
        rows = [words(line) for line in text.splitlines()]
        return [int(row[0]) for row in rows if row and row[0].isdigit()]

    text = format_summary(dataset)
    by_size = sorted(range(40), key=lambda n: (-counts[n], n))
    assert listed(text) == by_size[:10] + by_size[-5:]
    assert "... 25 more" in text
    assert "min 0, median 3, max 6; 6 classes without a clip" in text
    assert listed(format_summary(dataset, all_classes=True)) == list(range(40))


def test_skipped_files_are_counted_by_kind_with_an_example(web_dataset):
    web_dataset.info.skipped = [
        {"video": "a.mp4", "clip": "", "kind": "unreadable", "reason": "no\nheader"},
        {"video": "b.mp4", "clip": "b@0-1", "kind": "no frames", "reason": "ends"},
        {"video": "c.mp4", "clip": "", "kind": "unreadable", "reason": "is empty"},
        {"video": "new\nline.mp4", "clip": "", "reason": "of an older version"},
    ]
    lines = format_summary(web_dataset).splitlines()
    table = lines[lines.index("skipped, by kind:") + 2 :]
    assert [" ".join(words(line)) for line in table] == [
        "2 unreadable 'a.mp4': no header",
        "1 no frames 'b@0-1': ends",
        r"1 unknown 'new\nline.mp4': of an older version",
    ]


def test_an_empty_dataset_has_a_summary(tmp_path):
    dataset = write_dataset(tmp_path / "d", [], ["a"], num_shards=1)
    assert "0 clips in 1 shard, 0 B" in format_summary(dataset)


def test_the_command_reindexes_validates_and_draws(web_dataset, tmp_path):
    directory = web_dataset.directory
    for name in ("index.npz", "dataset.json"):
        os.remove(os.path.join(directory, name))
    done = inspect(directory, "--reindex", "--label_kind=clean", "--num_workers=1")
    assert done.returncode == 0, done.stderr
    assert "23 clips in 2 shards" in done.stdout
    assert clips.ClipDataset(directory).info.label_kind == "clean"

    sheet = tmp_path / "x.png"
    done = inspect(
        directory, "--validate", f"--contact_sheet={sheet}", "--num_workers=1"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{directory}: no fault found\n{sheet}: written\n"
    assert Image.open(sheet).width > 400


def test_the_command_fails_when_there_are_faults(tmp_path):
    bad = dataclasses.replace(make_clip(1, 1), timestamps=(5,) * 7 + (4,))
    write_dataset(tmp_path / "d", [make_clip(0, 0), bad], "abcdef")
    done = inspect(tmp_path / "d", "--validate", "--num_workers=2")
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        f"{tmp_path / 'd'}: timestamps: 1",
        "  clips.tfrecord-00001-of-00002, record 0 at byte 0, clip "
        "'video1@0-1000000': step 7 is at 4 microseconds, before step 6 at 5",
        "1 fault found",
    ]
