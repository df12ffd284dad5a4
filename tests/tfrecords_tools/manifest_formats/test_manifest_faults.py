"""Faults of datasets' own files are named with their place."""

import pytest

from tests.tfrecords_tools.manifest_formats.manifest_files import (
    csv_case,
    make,
    put,
    text,
)


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("youtube_id,time_start,time_end,split\n", {}, "line 1: .*one column 'label'"),
        ("", {}, "line 1: expected one column 'label', found \\[\\]"),
        (csv_case("run,a,0,1"), {}, "line 2: 4 cells, but the header has 5"),
        (csv_case("run,a,zero,1,train"), {}, "line 2: 'zero' is no time"),
        (csv_case("run,a,5,5,train"), {}, "line 2: time_end 5.0 is not after"),
        (csv_case(",a,0,1,train"), {}, "line 2: label '' or youtube_id 'a' empty"),
        (csv_case('"run,a,0,1,train'), {}, "after line .*: unexpected end of data"),
        (
            csv_case("run,here,0,1,train", "jump,here,0,1,train"),
            {},
            "line 3: .*'jump' here, and 'run' in .*line 2; --duplicates=skip",
        ),
        (
            csv_case("run,here,0,1,train", "run,gone,0,1,train"),
            {"missing": "error"},
            "line 3: 'gone_000000_000001': there is no file; --missing=skip",
        ),
        (csv_case("run,gone,0,1,train"), {}, "nothing of what kinetics lists"),
        (
            csv_case("run,here,0,1,train"),
            {"splits": "val"},
            "'val', which is not there",
        ),
        (
            csv_case("run,here,0,1,train"),
            {"exclude": ["k.csv"]},
            "no manifest: expected",
        ),
        (csv_case("run,here,0,1,train"), {"fold": 2}, "--fold is for ucf101, hmdb51"),
    ],
)
def test_faults_of_a_csv_are_named_with_their_line(
    tmp_path, monkeypatch, content, settings, message
):
    put(tmp_path / "root", b"never opened", "here_000000_000001.mp4")
    path = text(tmp_path, "k.csv", content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        make(tmp_path, "kinetics", [path], **settings)
    assert not (tmp_path / "web.csv").exists()


LISTS = {
    "classInd.txt": "1 Archery\n2 YoYo\n",
    "trainlist01.txt": "Archery/v_Archery_g08_c01.avi 1\n",
    "testlist01.txt": "YoYo/v_YoYo_g01_c01.avi\n",
    "category_names_eng.txt": "T-Shirt\nShirt\n",
    "clean_label_kv.txt": "images/0.jpg 0\nimages/1.jpg 1\n",
    "clean_train_key_list.txt": "images/0.jpg\n",
    "wave_test_split1.txt": "a.avi 1\n",
}


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("ucf101", "classInd.txt", "1 Archery\n3 YoYo\n", "line 2: class YoYo has"),
        ("ucf101", "trainlist01.txt", "Run/v.avi 1\n", "line 1: 'Run/v.avi' is in no"),
        (
            "ucf101",
            "trainlist01.txt",
            "YoYo/v.avi 1\n",
            "line 1: .*classInd.txt says 2",
        ),
        ("ucf101", "trainlist01.txt", "YoYo/v.avi 1 2\n", "line 1: .* has 3 words"),
        ("ucf101", "testlist01.txt", None, "testlist01.txt cannot be read"),
        ("hmdb51", "wave_test_split1.txt", "\na.avi 3\n", "line 2: a.avi has the nu"),
        ("hmdb51", "wave_test_split1.txt", None, "no file named <class>_test_split1"),
        ("clothing1m", "clean_label_kv.txt", "images/0.jpg 2\n", "line 1: .* 0 to 1"),
        (
            "clothing1m",
            "clean_label_kv.txt",
            "images/1.jpg 1\n",
            "line 1: .*0.jpg has no",
        ),
        ("clothing1m", "clean_label_kv.txt", "a 1\na 0\n", "line 2: a has the label 0"),
        (
            "clothing1m",
            "clean_train_key_list.txt",
            "images/0.jpg\nimages/0.jpg\n",
            "line 2: .*--duplicates=skip",
        ),
    ],
)
def test_faults_of_lists_are_named_with_their_line(
    tmp_path, name, file, content, message
):
    put(tmp_path / "root", b"never opened", "images/0.jpg", "v_YoYo_g01_c01.avi")
    for known, lines in {**LISTS, file: content}.items():
        if lines is not None:
            text(tmp_path / "lists", known, lines)
    settings = {"splits": "train"} if name == "clothing1m" else {}
    with pytest.raises(ValueError, match=message):
        make(tmp_path, name, [tmp_path / "lists"], **settings)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": "a",\n', "a.info.json, line 2: not JSON"),
        ("[1]", "a.info.json: no information about a video"),
        ('{"title": "a"}', "a.info.json: no information about a video"),
        ('{"id": "a"}', "a.info.json: the query 'run' is not in .*queries.csv"),
    ],
)
def test_faults_of_info_files_name_the_file(tmp_path, content, message):
    text(tmp_path / "root", "run/a.info.json", content)
    queries = text(tmp_path, "queries.csv", "query,label\nwalk,walk\n")
    with pytest.raises(ValueError, match=message):
        make(tmp_path, "yt_dlp", queries=queries)
