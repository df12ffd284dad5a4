import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from spl_tf import data
from tests import warm_python
from tests.tfrecords_tools.conftest import contents, read_all
from tfrecords_tools.conversion.conversion import FileSettings, RunOptions
from tfrecords_tools.convert_images import convert_images
from tfrecords_tools.inspection.validation import validate

RED, BLUE = (200, 30, 30), (30, 30, 200)


def save(path, color, size=(60, 40), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Three readable images of two classes in a folder per class."""
    save(tmp_path / "images" / "cat" / "one.jpg", RED, quality=80)
    save(tmp_path / "images" / "cat" / "deep" / "two.png", BLUE, size=(80, 80))
    save(tmp_path / "images" / "dog" / "ünï, code.webp", BLUE, size=(30, 90))
    (tmp_path / "classes.txt").write_text("dog\ncat\nfox\n")
    return tmp_path


def convert(folder, manifest="", output="out", run=None, root="images", **settings):
    if manifest:
        (folder / "m.csv").write_text(manifest)
    return convert_images(
        str(folder / "classes.txt"),
        str(folder / output),
        str(folder / root) if root else "",
        str(folder / "m.csv") if manifest else "",
        FileSettings(**({"short_side": 40} | settings)),
        RunOptions(num_workers=1, **(run or {})),
    )


def color(clip):
    image = Image.open(io.BytesIO(clip.frames[0]))
    assert image.size == (clip.width, clip.height)
    return tuple(np.asarray(image).reshape(-1, 3).mean(0).round())


def test_a_folder_per_class_becomes_clips_of_one_frame(folder):
    info = convert(folder)
    dataset, by_id = read_all(folder / "out")
    assert info.class_names == ["dog", "cat", "fox"]
    assert set(dataset.index.frames) == {1}
    labels = {name: (clip.label_index, clip.label_name) for name, clip in by_id.items()}
    assert labels == {
        "cat/one.jpg@0-0": (1, "cat"),
        "cat/deep/two.png@0-0": (1, "cat"),
        "dog/ünï, code.webp@0-0": (0, "dog"),
    }
    sizes = {name: (clip.height, clip.width) for name, clip in by_id.items()}
    assert sizes == {
        "cat/one.jpg@0-0": (40, 60),
        "cat/deep/two.png@0-0": (40, 40),
        "dog/ünï, code.webp@0-0": (120, 40),
    }
    assert np.allclose(color(by_id["cat/deep/two.png@0-0"]), BLUE, atol=2)


def test_a_jpeg_that_fits_is_taken_byte_for_byte(folder):
    convert(folder)
    _, by_id = read_all(folder / "out")
    original = (folder / "images" / "cat" / "one.jpg").read_bytes()
    assert by_id["cat/one.jpg@0-0"].frames[0] == original
    convert(folder, output="scaled", short_side=20)
    _, by_id = read_all(folder / "scaled")
    assert (by_id["cat/one.jpg@0-0"].height, by_id["cat/one.jpg@0-0"].width) == (20, 30)


def test_images_are_upright_and_of_three_channels(folder):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise by 90 degrees
    image = Image.new("RGB", (60, 40), RED)
    image.paste(BLUE, (0, 0, 30, 40))  # the left half; upright it is the top
    image.save(folder / "images" / "fox.jpg", exif=exif, quality=95)
    Image.new("LA", (50, 40), (100, 128)).save(folder / "images" / "grey.png")
    Image.new("CMYK", (50, 40)).save(folder / "images" / "print.jpg")
    convert(folder, "video,label\nfox.jpg,fox\ngrey.png,fox\nprint.jpg,fox\n")
    _, by_id = read_all(folder / "out")
    fox = np.asarray(Image.open(io.BytesIO(by_id["fox.jpg@0-0"].frames[0])))
    assert fox.shape == (60, 40, 3)
    assert np.allclose(fox[5:25].mean((0, 1)), BLUE, atol=4)
    assert np.allclose(fox[35:55].mean((0, 1)), RED, atol=4)
    assert color(by_id["grey.png@0-0"]) == (100, 100, 100)
    assert len(color(by_id["print.jpg@0-0"])) == 3


def test_bad_files_are_left_out_with_their_kind(folder):
    cat = folder / "images" / "cat"
    (cat / "empty.jpg").write_bytes(b"")
    (cat / "text.jpg").write_text("no image")
    (cat / "cut.jpg").write_bytes((cat / "one.jpg").read_bytes()[:-200])
    (cat / "copy.jpg").write_bytes((cat / "one.jpg").read_bytes())
    save(cat / "line.png", RED, size=(70_000, 1))
    (cat / ".DS_Store").write_bytes(b"not meant")
    os.mkfifo(cat / "pipe.jpg")
    info = convert(folder, run={"max_skipped_fraction": 1.0})
    assert info.num_clips == 3
    kinds = {(entry["video"], entry["kind"]) for entry in info.skipped}
    assert kinds == {
        ("cat/empty.jpg", "empty"),
        ("cat/text.jpg", "unreadable"),
        ("cat/cut.jpg", "unreadable"),
        ("cat/one.jpg", "duplicate"),
        ("cat/line.png", "unreadable"),
        ("cat/pipe.jpg", "unreadable"),
    }


def test_a_damaged_jpeg_becomes_a_frame_that_loads(folder):
    random = np.random.default_rng(0)
    path = folder / "images" / "fox" / "damaged.jpg"
    path.parent.mkdir()
    Image.fromarray(random.integers(0, 256, (256, 256, 3), np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    place = content.index(b"\xff\xda") + 2000
    content[place : place + 40] = random.bytes(40)
    path.write_bytes(content)
    assert convert(folder, short_side=0).num_clips == 4
    dataset, by_id = read_all(folder / "out")
    clip = by_id["fox/damaged.jpg@0-0"]
    assert (clip.height, clip.width) == (256, 256)
    assert clip.frames[0] != bytes(content)
    assert validate(folder / "out", num_workers=1) == []
    sampling = data.ClipSampling(1, 1)
    assert len(list(data.eval_batches(dataset, sampling, 16, 4))) == 1


def test_what_was_left_out_is_described_the_same_by_every_run(folder):
    (folder / "images" / "cat" / "text.jpg").write_text("no image")
    described = []
    for output in ("one", "two"):
        convert(folder, output=output, run={"max_skipped_fraction": 1.0})
        described.append((folder / output / "dataset.json").read_bytes())
    assert described[0] == described[1]
    (entry,) = json.loads(described[0])["skipped"]
    assert entry["reason"] == (
        "cannot be decoded: cannot identify image file 'cat/text.jpg'"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"root": "nowhere"}, "nowhere' is no folder; give one that holds a folder"),
        ({"manifest": "video,label,start\na.jpg,cat,1\n"}, "line 2: an image has no"),
        ({"manifest": "video,label\na.jpg,cow\n"}, "line 2: label 'cow' is not in"),
        ({"manifest": "video,label\na.jpg,cat\n"}, "none of the 1 files.*a.jpg"),
    ],
)
def test_mistakes_stop_before_any_work(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        convert(folder, **arguments)
    assert not (folder / "out" / "dataset.json").exists()


def test_a_folder_that_is_no_class_is_refused(folder):
    (folder / "images" / "cow").mkdir()
    with pytest.raises(
        ValueError, match=r"'cow', which is not in the classes file .*classes\.txt"
    ):
        convert(folder)


def test_a_folder_s_name_may_be_of_another_unicode_form(folder):
    (folder / "classes.txt").write_text("dog\ncat\ne\u0301\n", encoding="utf-8")
    save(folder / "images" / "\u00e9" / "a.png", RED)
    convert(folder)
    _, by_id = read_all(folder / "out")
    assert by_id["\u00e9/a.png@0-0"].label_index == 2
    save(folder / "images" / "e\u0301" / "b.png", RED)
    with pytest.raises(ValueError, match=r"two folders .* differ in Unicode's form"):
        convert(folder, output="two")


def test_the_command_in_processes_writes_what_the_function_writes(folder):
    convert(folder, num_shards=3)
    command = ["-m", "tfrecords_tools.convert_images"]
    command += [f"--classes={folder / 'classes.txt'}", "--short_side=40"]
    command += [f"--image_root={folder / 'images'}", "--num_shards=3"]
    command += [f"--output_dir={folder / 'two'}", "--num_workers=2"]
    done = warm_python.run(*command)
    assert done.stdout == f"{folder / 'two'}: 3 clips in 3 shards, 0 left out\n"
    assert contents(folder / "two") == contents(folder / "out")
