"""Each format from small files in the true form of its distribution to a dataset."""

import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from tests.tfrecords_tools.conftest import read_all
from tests.tfrecords_tools.manifest_formats.manifest_files import (
    ONE_WORKER,
    class_lines,
    columns,
    converted,
    info,
    left_out,
    make,
    put,
    text,
)
from tfrecords_tools.conversion.conversion import FileSettings
from tfrecords_tools.convert_images import convert_images

NFC, NFD = (unicodedata.normalize(form, "crêpes ガ Å") for form in ("NFC", "NFD"))

KINETICS = """label,youtube_id,time_start,time_end,split
testifying,---QUuC4vJs,84,94,validate
"air drumming",_dbcJuKJQNs,0,1,train
testifying,--gone-----,3,13,train
"massaging person's head",AbCdEfGhIjK,12,22,train
"""


def test_kinetics_takes_cut_and_uncut_videos_wherever_they_lie(tmp_path, video_bytes):
    put(
        tmp_path / "root",
        video_bytes,
        "val/testifying/---QUuC4vJs_000084_000094.mp4",
        "_dbcJuKJQNs.mkv",  # nobody cut it
        "train/AbCdEfGhIjK_000012_000022.mp4",
        "replacement/AbCdEfGhIjK_000012_000022.mp4",
        "train/AbCdEfGhIjK_000012_000022.json",
    )
    csv_path = text(tmp_path, "k.csv", KINETICS)
    summary, rows = make(tmp_path, "kinetics", [csv_path])
    assert class_lines(tmp_path) == [
        "air drumming",
        "massaging person's head",
        "testifying",
    ]
    assert columns(rows, "video", "start", "end", "media_id", "split") == [
        (
            "val/testifying/---QUuC4vJs_000084_000094.mp4",
            *("", ""),
            *("---QUuC4vJs_000084_000094", "validate"),
        ),
        ("_dbcJuKJQNs.mkv", "0.0", "1.0", "_dbcJuKJQNs", "train"),
        (
            "replacement/AbCdEfGhIjK_000012_000022.mp4",
            *("", ""),
            *("AbCdEfGhIjK_000012_000022", "train"),
        ),
    ]
    assert summary.counts == {
        "validate": {"listed": 1, "in manifest": 1},
        "train": {"listed": 3, "in manifest": 2, "missing": 1},
    }
    assert left_out(tmp_path) == {"--gone-----_000003_000013": "missing"}
    assert converted(tmp_path, "train") == {
        "_dbcJuKJQNs@0-1000000": ("air drumming", 8),
        "AbCdEfGhIjK_000012_000022@0-2000000": ("massaging person's head", 16),
    }


def test_ucf101_takes_a_fold_and_the_order_of_its_class_file(tmp_path, video_bytes):
    put(
        tmp_path / "root",
        video_bytes,
        "UCF-101/YoYo/v_YoYo_g01_c01.avi",
        "UCF-101/HandstandPushups/v_HandStandPushups_g08_c01.avi",
    )
    lists = tmp_path / "ucfTrainTestlist"
    text(lists, "classInd.txt", "1 YoYo\r\n2 HandstandPushups\r\n3 Archery\r\n")
    text(lists, "trainlist01.txt", "YoYo/v_YoYo_g09_c01.avi 1\n")
    text(
        lists,
        "trainlist02.txt",
        "HandstandPushups/v_HandstandPushups_g08_c01.avi 2\r\n"
        "YoYo/v_YoYo_g08_c01.avi 1\r\n",
    )
    text(lists, "testlist02.txt", "YoYo/v_YoYo_g01_c01.avi\r\n")
    summary, rows = make(tmp_path, "ucf101", [lists], fold=2)
    assert class_lines(tmp_path) == ["YoYo", "HandstandPushups", "Archery"]
    assert columns(rows, "video", "label", "split") == [
        (
            "UCF-101/HandstandPushups/v_HandStandPushups_g08_c01.avi",
            *("HandstandPushups", "train"),
        ),
        ("UCF-101/YoYo/v_YoYo_g01_c01.avi", "YoYo", "test"),
    ]
    assert summary.counts["train"] == {"listed": 2, "in manifest": 1, "missing": 1}
    assert summary.unused_classes == ("Archery",)
    assert converted(tmp_path, "test") == {"v_YoYo_g01_c01@0-2000000": ("YoYo", 16)}


def test_hmdb51_takes_what_a_fold_uses(tmp_path, video_bytes):
    names = [
        "April_09_brush_hair_u_nm_np1_ba_goo_0.avi",
        "(HQ)_#20_brush_hair_f_nm_np1_ba_goo_0.avi",
        "not_used_brush_hair_f_nm_np1_ba_goo_1.avi",
    ]
    put(tmp_path / "root", video_bytes, *(f"brush_hair/{name}" for name in names))
    put(tmp_path / "root", video_bytes, "wave/a_wave_f_nm_np1_ba_goo_0.avi")
    lists = tmp_path / "splits"
    text(
        lists,
        "brush_hair_test_split1.txt",
        f"{names[0]} 1 \n{names[1]} 2 \n{names[2]} 0 \n",
    )
    text(lists, "wave_test_split1.txt", "a_wave_f_nm_np1_ba_goo_0.avi 1 \n")
    text(lists, "wave_test_split2.txt", "a_wave_f_nm_np1_ba_goo_0.avi 2 \n")
    _, rows = make(tmp_path, "hmdb51", [lists])
    assert class_lines(tmp_path) == ["brush_hair", "wave"]
    assert columns(rows, "video", "split") == [
        (f"brush_hair/{names[0]}", "train"),
        (f"brush_hair/{names[1]}", "test"),
        ("wave/a_wave_f_nm_np1_ba_goo_0.avi", "train"),
    ]
    assert left_out(tmp_path) == {names[2]: "unused"}
    assert set(converted(tmp_path, "train")) == {
        f"brush_hair/{names[0][:-4]}@0-2000000",
        "wave/a_wave_f_nm_np1_ba_goo_0@0-2000000",
    }


def test_clothing1m_reads_the_noisy_and_the_clean_part(tmp_path):
    root = tmp_path / "root"
    image = np.full((32, 48, 3), 90, np.uint8)
    for number in range(4):
        # Some unpack the images without their outer folder.
        folder = root if number == 3 else root / "images"
        path = folder / "0" / f"{number:02d}" / f"1,{number}.jpg"
        path.parent.mkdir(parents=True)
        Image.fromarray(image + number).save(path)
    names = [f"images/0/{number:02d}/1,{number}.jpg" for number in range(5)]
    text(root, "category_names_eng.txt", "T-Shirt\nShirt\nDown Coat\n")
    kv = f"{names[0]} 2\n{names[1]} 0\n{names[2]} 1\n{names[4]} 1\n"
    text(root, "noisy_label_kv.txt", kv)
    text(
        root,
        "noisy_train_key_list.txt",
        "".join(f"{n.split()[0]}\n" for n in kv.split("\n") if n),
    )
    text(root, "clean_label_kv.txt", f"{names[2]} 2\n{names[3]} 0\n{names[1]} 0\n")
    text(root, "clean_train_key_list.txt", f"{names[2]}\n")
    text(root, "clean_val_key_list.txt", f"{names[3]}\n")
    text(root, "clean_test_key_list.txt", f"{names[1]}\n")

    _, clean = make(tmp_path, "clothing1m", splits="train,val,test")
    assert columns(clean, "video", "media_id", "label", "split") == [
        (names[2], names[2], "Down Coat", "train"),
        ("0/03/1,3.jpg", names[3], "T-Shirt", "val"),
        (names[1], names[1], "T-Shirt", "test"),
    ]
    (tmp_path / "web.csv").rename(tmp_path / "clean.csv")
    _, noisy = make(
        tmp_path,
        "clothing1m",
        exclude=[str(tmp_path / "clean.csv")],
        splits="noisy_train",
    )
    assert columns(noisy, "video", "label") == [(names[0], "Down Coat")]
    assert left_out(tmp_path) == {
        names[1]: "excluded",
        names[2]: "excluded",
        names[4]: "missing",
    }
    assert class_lines(tmp_path) == ["T-Shirt", "Shirt", "Down Coat"]
    for manifest, split, ids in (
        ("clean.csv", "test", {f"{names[1]}@0-0": 0}),
        ("web.csv", "noisy_train", {f"{names[0]}@0-0": 2}),
    ):
        convert_images(
            str(tmp_path / "classes.txt"),
            str(tmp_path / split),
            str(root),
            str(tmp_path / manifest),
            FileSettings(split=split),
            ONE_WORKER,
        )
        _, by_id = read_all(tmp_path / split)
        assert {name: clip.label_index for name, clip in by_id.items()} == ids


def test_yt_dlp_labels_a_video_by_the_query_that_found_it(tmp_path, video_bytes):
    root = tmp_path / "root"
    info(root, "red card/Ün [x] [aaaaaaaaaaa]", "aaaaaaaaaaa", _type="video")
    info(root, "carton rouge/again [aaaaaaaaaaa]", "aaaaaaaaaaa")
    info(root, "carton rouge/b [123]", "123", extractor="vimeo")
    info(root, "own goal/c [ccccccccccc]", "ccccccccccc")
    info(root, "own goal/own goal [own goal]", "own goal", _type="playlist")
    put(
        root,
        video_bytes,
        "red card/Ün [x] [aaaaaaaaaaa].mp4",
        "carton rouge/again [aaaaaaaaaaa].webm",
        "carton rouge/b [123].webm",
        "own goal/c [ccccccccccc].f137.mp4",  # a stream that was not merged
    )
    queries = text(
        tmp_path,
        "queries.csv",
        "query,label,language\nown goal,Goal,en\nred card,Yellow/Red Card,en\n"
        "carton rouge,Yellow/Red Card,fr\n",
    )
    _, rows = make(tmp_path, "yt_dlp", queries=queries)
    assert class_lines(tmp_path) == ["Goal", "Yellow/Red Card"]
    assert columns(rows, "video", "label", "media_id") == [
        ("carton rouge/again [aaaaaaaaaaa].webm", "Yellow/Red Card", "aaaaaaaaaaa"),
        ("carton rouge/b [123].webm", "Yellow/Red Card", "vimeo:123"),
    ]
    assert left_out(tmp_path) == {
        "own goal/c [ccccccccccc]": "missing",
        "red card/Ün [x] [aaaaaaaaaaa]": "repeated",
    }
    assert set(converted(tmp_path)) == {
        "aaaaaaaaaaa@0-2000000",
        "vimeo:123@0-2000000",
    }


def test_yt_dlp_can_take_the_search_that_a_file_states(tmp_path, video_bytes):
    root = tmp_path / "root"
    put(root, video_bytes, "all/a.mp4", "all/b.mp4")
    info(root, "all/a", "aaaaaaaaaaa", playlist_title="making pizza")
    info(root, "all/b", "bbbbbbbbbbb", playlist_title="baking cookies")
    _, rows = make(tmp_path, "yt_dlp", query_from="search")
    assert columns(rows, "video", "label") == [
        ("all/a.mp4", "making pizza"),
        ("all/b.mp4", "baking cookies"),
    ]
    info(root, "all/b", "bbbbbbbbbbb")
    with pytest.raises(ValueError, match=r"all/b\.info\.json has no 'playlist_title'"):
        make(tmp_path, "yt_dlp", query_from="search")


def test_one_video_under_two_classes_is_a_question_for_the_user(tmp_path, video_bytes):
    root = tmp_path / "root"
    put(root, video_bytes, "run/a.mp4", "jump/a.mp4")
    info(root, "run/a", "aaaaaaaaaaa")
    info(root, "jump/a", "aaaaaaaaaaa")
    with pytest.raises(
        ValueError, match=r"run/a\.info\.json.*'run' here, and 'jump' in .*=skip"
    ):
        make(tmp_path, "yt_dlp")
    _, rows = make(tmp_path, "yt_dlp", duplicates="skip")
    assert columns(rows, "video") == [("jump/a.mp4",)]
    assert left_out(tmp_path) == {"run/a": "repeated"}


def test_folders_are_classes_and_may_be_splits(tmp_path, video_bytes):
    root = tmp_path / "root"
    put(root, video_bytes, "val/run/x.mp4", "train/run/deep/x.mp4", "train/jump/z.MKV")
    put(root, b"notes", "train/run/readme.txt", "train/run/.hidden.mp4")
    summary, rows = make(tmp_path, "folders", split_folders=True)
    assert class_lines(tmp_path) == ["jump", "run"]
    assert columns(rows, "video", "label", "split") == [
        ("train/jump/z.MKV", "jump", "train"),
        ("train/run/deep/x.mp4", "run", "train"),
        ("val/run/x.mp4", "run", "val"),
    ]
    assert summary.notes == (
        "1 files are no videos or images, e.g. train/run/readme.txt",
    )
    assert set(converted(tmp_path, "val")) == {"val/run/x.mp4@0-2000000"}
    put(root, video_bytes, "stray.mp4")
    with pytest.raises(ValueError, match=r"stray\.mp4: expected CLASS/FILE"):
        make(tmp_path, "folders")


def test_folders_of_images_convert_too(tmp_path):
    root = tmp_path / "root"
    for level, name in enumerate(("dog/a.jpg", "cat/b.png")):
        (root / name).parent.mkdir(parents=True)
        Image.new("L", (40, 32), 50 * level).save(root / name)
    make(tmp_path, "folders")
    convert_images(
        str(tmp_path / "classes.txt"),
        str(tmp_path / "clips"),
        str(root),
        str(tmp_path / "web.csv"),
        run=ONE_WORKER,
    )
    _, by_id = read_all(tmp_path / "clips")
    assert {name: clip.label_index for name, clip in by_id.items()} == {
        "cat/b.png@0-0": 0,
        "dog/a.jpg@0-0": 1,
    }


def test_links_to_folders_are_followed_once(tmp_path, video_bytes):
    put(tmp_path / "disk", video_bytes, "run/x.mp4")
    (tmp_path / "root").mkdir()
    os.symlink(tmp_path / "disk" / "run", tmp_path / "root" / "run")
    os.symlink(tmp_path / "root", tmp_path / "disk" / "run" / "round")
    _, rows = make(tmp_path, "folders")
    assert columns(rows, "video") == [("run/x.mp4",)]


def test_every_video_that_ffmpeg_knows_counts_whatever_its_capitals(tmp_path):
    names = [
        *("a.MTS", "b.divx", "c.F4V", "d.m2ts", "e.VOB", "f.mpe", "g.h264", "h.m2t"),
        *("i.3G2", "j.rmvb", "k.asf", "l.Y4M", "m.mxf", "n.nut", "o.dv", "p.HEVC"),
        *("q.m2v", "r.ogm", "s.wtv", "t.mp4v"),
    ]
    put(tmp_path / "root", b"never opened", *(f"run/{name}" for name in names))
    summary, rows = make(tmp_path, "folders")
    assert [row["video"] for row in rows] == [f"run/{name}" for name in names]
    assert summary.notes == ()


@pytest.mark.parametrize(("listed", "stored"), [(NFC, NFD), (NFD, NFC)])
def test_names_are_the_same_in_both_unicode_forms(tmp_path, listed, stored):
    # Lists of words take no spaces.
    listed, stored = listed.replace(" ", "_"), stored.replace(" ", "_")
    name = unicodedata.normalize("NFC", listed)
    root, lists = tmp_path / "root", tmp_path / "lists"
    put(root, b"never opened", f"{stored}/{stored}.avi", f"a/{stored}.avi")
    file = f"{stored}/{stored}.avi"

    text(lists, "classInd.txt", f"1 {listed}\n")
    text(lists, "trainlist01.txt", f"{listed}/{listed}.avi 1\n")
    text(lists, "testlist01.txt", "")
    _, rows = make(tmp_path, "ucf101", [lists])
    assert columns(rows, "video", "label") == [(file, name)]

    text(lists, f"{stored}_test_split1.txt", f"{listed}.avi 1\n")
    _, rows = make(tmp_path, "hmdb51", [lists])
    assert columns(rows, "video", "label") == [(file, name)]

    kinetics = f"label,youtube_id,time_start,time_end,split\n{listed},{listed},0,1,x\n"
    text(tmp_path, "other.csv", f"video\nelsewhere/{stored}\n{stored}.avi\n")
    _, rows = make(tmp_path, "kinetics", [text(tmp_path, "k.csv", kinetics)])
    assert columns(rows, "video", "label") == [(f"a/{stored}.avi", name)]

    text(root, "category_names_eng.txt", f"{listed}\n")
    for part in ("noisy", "clean"):
        text(root, f"{part}_label_kv.txt", f"{listed}/{listed}.avi 0\n")
    text(root, "noisy_train_key_list.txt", f"{listed}/{listed}.avi\n")
    _, rows = make(tmp_path, "clothing1m", splits="noisy_train")
    assert columns(rows, "video", "label") == [(file, name)]


def test_the_folders_of_yt_dlp_are_queries_in_both_unicode_forms(tmp_path):
    root = tmp_path / "root"
    info(root, f"{NFD}/{NFD}", "aaaaaaaaaaa")
    put(root, b"never opened", f"{NFD}/{NFC}.mp4")
    queries = text(tmp_path, "queries.csv", f"query,label\n{NFC},pizza {NFD}\n")
    classes = text(tmp_path, "k.txt", f"pizza {NFC}\n")
    _, rows = make(tmp_path, "yt_dlp", classes=classes, queries=queries)
    assert columns(rows, "video", "label") == [(f"{NFD}/{NFC}.mp4", f"pizza {NFC}")]
    info(root, f"{NFD}/{NFD}", "aaaaaaaaaaa", playlist_title=NFD)
    _, rows = make(tmp_path, "yt_dlp", queries=queries, query_from="search")
    assert columns(rows, "label") == [(f"pizza {NFC}",)]


def test_two_folders_of_one_name_in_both_unicode_forms_are_refused(tmp_path):
    root = tmp_path / "root"
    put(root, b"never opened", f"train/{NFC}/a.mp4", f"val/{NFD}/b.mp4")
    _, rows = make(tmp_path, "folders", split_folders=True)
    assert columns(rows, "label", "split") == [(NFC, "train"), (NFC, "val")]
    put(root, b"never opened", f"val/{NFC}/c.mp4")
    with pytest.raises(ValueError, match=r"two folders .* differ in Unicode's form"):
        make(tmp_path, "folders", split_folders=True)
