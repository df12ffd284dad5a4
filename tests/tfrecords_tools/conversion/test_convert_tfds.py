import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from spl_tf import clips
from tests.tfrecords_tools.conftest import contents, read_all
from tfrecords_tools.conversion.conversion import RunOptions
from tfrecords_tools.convert_tfds import TfdsSettings, convert_tfds


class TinyVideos(tfds.core.GeneratorBasedBuilder):
    """Twelve videos whose grey level tells their number; the last has no label."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "video": tfds.features.Video(shape=(None, 32, 40, 3)),
                    "label": tfds.features.ClassLabel(names=["run", "jump"]),
                    "speed": tfds.features.ClassLabel(names=["slow", "fast"]),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(12):
            frames = np.full((2 + number % 3, 32, 40, 3), 20 * number, np.uint8)
            label = -1 if number == 11 else number % 2
            yield number, {"video": frames, "label": label, "speed": 0}


class DeepImages(tfds.core.GeneratorBasedBuilder):
    """Images of 16 bits, grey and in colour, and of floats: all half as bright."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="grey"),
        tfds.core.BuilderConfig(name="colour"),
        tfds.core.BuilderConfig(name="float"),
    ]

    def _frame(self):
        if self.builder_config.name == "float":
            return np.full((8, 8, 1), 0.5, np.float32)
        channels = 3 if self.builder_config.name == "colour" else 1
        return np.full((8, 8, channels), 32_768, np.uint16)

    def _info(self):
        frame = self._frame()
        image = tfds.features.Image(shape=frame.shape, dtype=frame.dtype)
        label = tfds.features.ClassLabel(names=["run", "jump"])
        features = tfds.features.FeaturesDict({"image": image, "label": label})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        del dl_manager
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"image": self._frame(), "label": 0}


@pytest.mark.parametrize("kind", ["grey", "colour", "float"])
def test_pixels_of_sixteen_bits_are_scaled_and_floats_left_out(tmp_path, kind):
    DeepImages(config=kind, data_dir=tmp_path / "tfds").download_and_prepare()
    arguments = (f"deep_images/{kind}", "train", str(tmp_path / "out"))
    arguments += (str(tmp_path / "tfds"), TfdsSettings(short_side=0, num_shards=1))
    if kind == "float":
        with pytest.raises(ValueError, match="its pixels are float32, expected uint8"):
            convert_tfds(*arguments, RunOptions(num_workers=1))
        return
    convert_tfds(*arguments, RunOptions(num_workers=1))
    ((_, clip),) = read_all(tmp_path / "out")[1].items()
    image = np.asarray(Image.open(io.BytesIO(clip.frames[0])))
    assert np.abs(image.astype(int) - 128).max() <= 1


@pytest.fixture
def data_dir(tmp_path):
    """A folder that holds TinyVideos, prepared in several files."""
    TinyVideos(data_dir=tmp_path / "tfds").download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=3)
    )
    return str(tmp_path / "tfds")


def convert(tmp_path, data_dir, split="train", output="out", workers=1, **settings):
    settings = {"short_side": 16, "num_shards": 4, "label_feature": "label"} | settings
    return convert_tfds(
        "tiny_videos",
        split,
        str(tmp_path / output),
        data_dir,
        TfdsSettings(**settings),
        RunOptions(num_workers=workers, max_skipped_fraction=0.2),
    )


def test_every_example_becomes_a_clip_with_its_label(tmp_path, data_dir):
    info = convert(tmp_path, data_dir, fps=10.0)
    _, by_id = read_all(tmp_path / "out")
    assert info.class_names == ["run", "jump"]
    assert len(info.shards) == 4
    assert [entry["kind"] for entry in info.skipped] == ["no label"]
    numbers = []
    for clip in by_id.values():
        image = np.asarray(Image.open(io.BytesIO(clip.frames[0])))
        assert image.shape == (16, 20, 3)
        number = round(image.mean() / 20)
        numbers.append(number)
        assert len(clip.frames) == 2 + number % 3
        assert clip.label_index == number % 2
        assert clip.label_name == ["run", "jump"][number % 2]
        assert clip.timestamps == tuple(100_000 * t for t in range(len(clip.frames)))
    assert sorted(numbers) == list(range(11))


def test_the_number_of_shards_changes_no_clip(tmp_path, data_dir):
    convert(tmp_path, data_dir, output="four")
    convert(tmp_path, data_dir, output="one", num_shards=1)
    assert read_all(tmp_path / "four")[1] == read_all(tmp_path / "one")[1]


def test_a_part_of_a_split_can_be_taken(tmp_path, data_dir):
    assert convert(tmp_path, data_dir, split="train[3:8]").num_clips == 5


def test_worker_processes_write_the_same_bytes(tmp_path, data_dir):
    convert(tmp_path, data_dir, output="one")
    convert(tmp_path, data_dir, output="two", workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_several_labels_need_a_choice(tmp_path, data_dir):
    with pytest.raises(ValueError, match=r"2 class label.*choose with --label_feature"):
        convert(tmp_path, data_dir, label_feature="")
    with pytest.raises(ValueError, match="'size' is none of them"):
        convert(tmp_path, data_dir, label_feature="size")


def test_an_unknown_split_is_named(tmp_path, data_dir):
    with pytest.raises(ValueError, match="test"):
        convert(tmp_path, data_dir, split="test")


@pytest.mark.parametrize(
    ("name", "num_classes", "one_frame"),
    [("ucf101", 101, False), ("controlled_noisy_web_labels", 100, True)],
)
def test_datasets_of_tfds_convert(tmp_path, name, num_classes, one_frame):
    with tfds.testing.mock_data(num_examples=3):
        info = convert_tfds(
            name,
            "train",
            str(tmp_path / "out"),
            settings=TfdsSettings(short_side=16),
            run=RunOptions(num_workers=1),
        )
    assert len(info.class_names) == num_classes
    dataset = clips.ClipDataset(tmp_path / "out")
    assert len(dataset) == 3
    assert all(dataset.index.frames == 1) == one_frame
