"""SoccerNet's annotation files to clips of events and of none."""

import json

import numpy as np
import pytest

from tests.conftest import counting_images, write_video
from tests.tfrecords_tools.manifest_formats.manifest_files import (
    class_lines,
    columns,
    converted,
    left_out,
    make,
    put,
    text,
)
from tfrecords_tools.manifest_formats import ManifestSettings
from tfrecords_tools.manifest_formats.background import draw_background

MATCH = "england_epl/2014-2015/2015-02-21 - 18-00 Chelsea 1 - 1 Burnley"
OTHER = "italy_serie-a/2016-2017/2016-08-20 - 18-00 Juventus 2 - 1 Fiorentina"
SHORT = {"clip_seconds": 2.0, "background_clips": 2, "background_margin": 1.0}


@pytest.fixture(scope="session")
def half_bytes(tmp_path_factory):
    """A video of 20 s at 2 fps."""
    path = tmp_path_factory.mktemp("half") / "half.mkv"
    images = counting_images(40, height=32, width=32)
    write_video(path, images, rate=2, options={"crf": "30"})
    return path.read_bytes()


def labels(match, *events):
    return json.dumps(
        {
            "UrlLocal": match + "/",
            "UrlYoutube": "",
            "gameHomeTeam": "Chelsea",
            "annotations": [
                {"gameTime": time, "label": label, "team": "home"}
                for time, label in events
            ],
        }
    )


def test_events_become_clips_with_the_event_in_the_middle(tmp_path, half_bytes):
    root = tmp_path / "root"
    put(root, half_bytes, f"{MATCH}/1_224p.mkv", f"{MATCH}/2_224p.mkv")
    text(
        root,
        f"{MATCH}/Labels.json",
        labels(
            MATCH,
            ("1 - 00:05", "soccer-ball"),
            ("1 - 00:05", "y-card"),  # at the time of the goal
            ("1 - 00:00", "substitution-in"),
            ("2 - 00:10", "soccer-ball-own"),
            ("2 - 00:15", "yr-card"),
        ),
    )
    _, rows = make(tmp_path, "soccernet", **SHORT)
    assert class_lines(tmp_path) == [
        "Background",
        "Yellow/Red Card",
        "Goal",
        "Substitution",
    ]
    assert columns(rows, "label", "start", "end", "media_id")[:4] == [
        ("Goal", "4.0", "6.0", f"{MATCH}/1"),
        ("Substitution", "0.0", "2.0", f"{MATCH}/1"),
        ("Goal", "9.0", "11.0", f"{MATCH}/2"),
        ("Yellow/Red Card", "14.0", "16.0", f"{MATCH}/2"),
    ]
    assert left_out(tmp_path) == {"annotation 2, y-card in half 1": "repeated"}
    background = rows[4:]
    assert [row["label"] for row in background] == ["Background"] * 2
    events = {"1": (5, 0), "2": (10, 15)}
    for row in background:
        for time in events[row["media_id"][-1]]:
            start, end = float(row["start"]), float(row["end"])
            assert 0 <= start < end <= 20
            assert end - start == pytest.approx(2)
            assert start >= time + 1 or end <= time - 1
    clips = converted(tmp_path)
    assert clips[f"{MATCH}/2@9000000-11000000"] == ("Goal", 4)
    assert len(clips) == 6
    assert {frames for _, frames in clips.values()} == {4}


def test_lists_of_matches_are_splits_and_absent_halves_are_counted(
    tmp_path, half_bytes
):
    root, annotations = tmp_path / "root", tmp_path / "labels"
    put(root, half_bytes, f"{MATCH}/1_224p.mkv")
    put(root, half_bytes[:90], f"{MATCH}/2_224p.mkv")
    put(root, b"unused", f"{MATCH}/1_720p.mkv", f"{OTHER}/1_720p.mkv")
    content = labels(
        MATCH,
        ("1 - 00:15", "Yellow->red card"),
        ("1 - 00:05", "Corner"),
        ("2 - 00:05", "Goal"),
    )
    text(annotations, f"{MATCH}/Labels-v2.json", content)
    text(annotations, f"{OTHER}/Labels-v2.json", labels(OTHER, ("1 - 45:05", "Goal")))
    games = {"england_epl": {"2014-2015": [MATCH.split("/")[2], "not annotated"]}}
    lists = [
        "train=" + text(tmp_path, "SoccerNetGamesTrain.json", json.dumps(games)),
        f"test={tmp_path / 'listgame_Test_100.npy'}",
    ]
    np.save(tmp_path / "listgame_Test_100.npy", np.array([OTHER]))
    settings = SHORT | {"labels_file": "Labels-v2.json", "split_lists": tuple(lists)}
    with pytest.raises(ValueError, match=r"half 1 may be any of.*1_224p.*1_720p"):
        make(tmp_path, "soccernet", [annotations], **settings)
    settings["half_video"] = "{half}_224p.mkv"
    summary, rows = make(tmp_path, "soccernet", [annotations], **settings)
    assert columns(rows, "label", "split")[:1] == [("Yellow/Red Card", "train")]
    assert {row["video"] for row in rows} == {f"{MATCH}/1_224p.mkv"}
    assert summary.counts == {
        "train": {
            "listed": 6,
            "in manifest": 3,
            "unused": 1,
            "unreadable": 1,
            "missing": 1,
        },
        "test": {"listed": 1, "missing": 1},
    }
    assert len(summary.notes) == 1
    assert f"{MATCH}/2_224p.mkv" in summary.notes[0]


def test_matches_are_found_in_both_unicode_forms_of_their_names(tmp_path, half_bytes):
    listed, stored = "league/2016/Alav\u00e9s 1 - 0", "league/2016/Alave\u0301s 1 - 0"
    put(tmp_path / "root", half_bytes, f"{stored}/1.mkv")
    content = labels(listed, ("1 - 00:05", "Goal"))
    text(tmp_path / "root", f"{stored}/Labels.json", content)
    matches = "train=" + text(tmp_path, "list.txt", f"{listed}\n")
    settings = SHORT | {"background_clips": 0}
    _, rows = make(tmp_path, "soccernet", split_lists=(matches,), **settings)
    assert columns(rows, "video", "label") == [(f"{stored}/1.mkv", "Goal")]
    _, rows = make(tmp_path, "soccernet", **settings)
    assert columns(rows, "video", "media_id") == [(f"{stored}/1.mkv", f"{listed}/1")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Labels.json, line 1: not JSON"),
        ("{}", "Labels.json has no list 'annotations'"),
        (labels(MATCH, ("3 - 10:00", "Goal")), "annotation 1: gameTime is '3 - 10:00'"),
        (labels(MATCH, ("1 - 10:60", "Goal")), "annotation 1: gameTime is '1 - 10:60'"),
        (labels(MATCH, ("1 - 10:00", "")), "annotation 1: the label is ''"),
        (
            labels(MATCH, ("1 - 00:01", "Goal"), ("1 - 00:01", "whistle")),
            "'annotation 2, whistle in half 1': the label 'whistle' is not among",
        ),
    ],
)
def test_faults_of_annotations_name_the_file(tmp_path, half_bytes, content, message):
    put(tmp_path / "root", half_bytes, f"{MATCH}/1.mkv")
    text(tmp_path / "root", f"{MATCH}/Labels.json", content)
    with pytest.raises(ValueError, match=message):
        make(tmp_path, "soccernet")


def test_background_is_away_from_events_and_spread_over_all_free_time():
    settings = ManifestSettings(
        background_clips=6, background_margin=20.0, clip_seconds=10.0
    )
    durations = {"1": 600.0, "2": 200.0}
    events = {"1": [100.0, 130.0, 590.0], "2": [0.0]}
    starts = {"1": [], "2": []}
    for number in range(300):
        drawn = draw_background(f"match {number}", durations, events, settings)
        assert len(drawn) == 6
        for half, start in drawn:
            starts[half].append(start)
            assert 0 <= start <= durations[half] - 10
            assert all(
                start >= time + 20 or start + 10 <= time - 20 for time in events[half]
            )
        for half in "12":
            times = [start for h, start in drawn if h == half]
            assert np.all(np.diff(times) >= 10)
    # Free starts: [0, 70], [150, 560] of half 1; [20, 190] of half 2.
    counts, _ = np.histogram(starts["1"], [0, 70, 150, 355, 560, 600])
    parts = np.array([*counts, len(starts["2"])]) / 1800
    assert parts == pytest.approx(
        [70 / 650, 0, 205 / 650, 205 / 650, 0, 170 / 650], abs=0.04
    )


def test_background_depends_on_seed_and_match_alone_and_says_when_there_is_no_room():
    durations, events = {"1": 3000.0, "2": 0.0}, {"1": [40.0], "2": []}
    settings = ManifestSettings()
    first = draw_background("a", durations, events, settings)
    assert first == draw_background("a", durations, events, settings)
    assert first != draw_background("b", durations, events, settings)
    assert first != draw_background("a", durations, events, ManifestSettings(seed=1))
    assert draw_background("a", {"1": 80.0, "2": 9.0}, events, settings) == []
    assert len(draw_background("a", {"1": 85.0, "2": 9.0}, events, settings)) == 1
