"""Small files in the form of a dataset, and what is made of them."""

import csv
import json

from tests.tfrecords_tools.conftest import read_all
from tfrecords_tools.conversion.conversion import RunOptions
from tfrecords_tools.convert_videos import ConversionSettings, convert_videos
from tfrecords_tools.make_manifest import make_manifest
from tfrecords_tools.manifest_formats import ManifestSettings

ONE_WORKER = RunOptions(num_workers=1)


def put(folder, content, *names):
    """Writes the same content to several files."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def text(folder, name, content):
    put(folder, content.encode(), name)
    return str(folder / name)


def make(tmp_path, name, annotations=(), classes="", exclude=(), **settings):
    """Makes `web.csv` of `root`; gives the summary and the manifest's rows."""
    summary = make_manifest(
        name,
        str(tmp_path / "root"),
        str(tmp_path / "web.csv"),
        str(tmp_path / "classes.txt"),
        [str(path) for path in annotations],
        classes,
        exclude,
        str(tmp_path / "deep" / "left_out.csv"),
        ManifestSettings(**settings),
    )
    return summary, rows_of(tmp_path / "web.csv")


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def left_out(tmp_path):
    return {
        row["name"]: row["reason"]
        for row in rows_of(tmp_path / "deep" / "left_out.csv")
    }


def columns(rows, *names):
    return [tuple(row[name] for name in names) for row in rows]


def class_lines(tmp_path):
    return (tmp_path / "classes.txt").read_text(encoding="utf-8").splitlines()


def converted(tmp_path, split="", **settings):
    """Converts `web.csv` as videos; the label and the frames of each clip by id."""
    settings = {"drop_duplicates": False, "short_side": 0} | settings
    info = convert_videos(
        str(tmp_path / "web.csv"),
        str(tmp_path / "classes.txt"),
        str(tmp_path / f"clips{split}"),
        str(tmp_path / "root"),
        ConversionSettings(split=split, **settings),
        ONE_WORKER,
    )
    assert info.skipped == []
    _, by_id = read_all(tmp_path / f"clips{split}")
    return {name: (clip.label_name, len(clip.frames)) for name, clip in by_id.items()}


def info(root, name, media_id, **fields):
    fields = {"id": media_id, "ext": "webm", "extractor": "youtube"} | fields
    text(root, f"{name}.info.json", json.dumps(fields))


def csv_case(*lines):
    return "\n".join(["label,youtube_id,time_start,time_end,split", *lines]) + "\n"
