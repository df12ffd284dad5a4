"""A 2D teacher's choice of each frame, in records and index."""

import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from spl_tf import clips, training
from spl_tf.clips import keys, wire
from spl_tf.runs import run_folder
from tests.conftest import jpeg, make_clip, write_dataset
from tests.training.finished_run import softmax
from tests.training.teachers import TWO_D, contents, write_teacher
from tfrecords_tools.inspection.reindexing import reindex
from tfrecords_tools.inspection.validation import validate

LENGTHS = (3, 20, 16, 1, 17, 33, 2)  # of clips; 16 frames are asked about together
CROP = 32


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    return write_teacher(
        folder, model=TWO_D, num_frames=3, sampling="segments", crop_size=CROP
    )


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """Clips of random frames of 32 x 40 pixels."""
    random = np.random.default_rng(0)
    made = []
    for number, length in enumerate(LENGTHS):
        blocks = random.integers(0, 256, (length, 4, 5, 3), np.uint8)
        images = blocks.repeat(8, axis=1).repeat(8, axis=2)
        clip = make_clip(number, number % 3, frames=length, names="abc")
        frames = tuple(jpeg(image) for image in images)
        made.append(dataclasses.replace(clip, frames=frames))
    return write_dataset(tmp_path_factory.mktemp("data") / "web", made, "abc")


def records(directory):
    dataset = clips.ClipDataset(directory)
    with dataset.reader() as reader:
        return [reader.read(row) for row in range(len(dataset))]


def frame_probabilities(teacher, dataset, windows):
    """Of each clip float64 [T, C], by PIL, the model on single frames and NumPy."""
    _, _, model = run_folder.load_run(teacher)
    found = []
    for record in records(dataset.directory):
        images = np.stack(
            [
                np.asarray(Image.open(io.BytesIO(frame)))
                for frame in clips.parse_clip(record).frames
            ]
        )
        views = []
        for (top, left), step in windows:
            crop = images[:, top : top + CROP, left : left + CROP][:, :, ::step]
            # The network's own length, of one frame alone.
            clip = np.repeat(crop[:, None], 3, axis=1).astype(np.float32) / 255
            views.append(softmax(model(clip, training=False).numpy()))
        found.append(np.mean(views, axis=0))
    return found


MIDDLE = [((0, 4), 1)]
TEN = [
    (place, step)
    for step in (1, -1)
    for place in ((0, 0), (0, 8), (0, 0), (0, 8), (0, 4))
]


@pytest.mark.parametrize(("num_crops", "windows"), [(1, MIDDLE), (10, TEN)])
def test_every_frame_gets_the_teachers_choice(
    teacher, web, tmp_path, num_crops, windows
):
    output = tmp_path / "out"
    settings = {"batch_size": 2, "num_crops": num_crops}
    info = training.predict(
        teacher, web.directory, str(output), per_frame=True, **settings
    )
    assert info.teacher["per_frame"] is True
    expected = frame_probabilities(teacher, web, windows)
    assert len({row for each in expected for row in each.argmax(axis=1)}) > 1
    labelled = clips.ClipDataset(output)
    chosen, confidence = labelled.index.frame_choices
    np.testing.assert_array_equal(
        chosen, np.concatenate([each.argmax(axis=1) for each in expected])
    )
    np.testing.assert_allclose(
        confidence, np.concatenate([each.max(axis=1) for each in expected]), rtol=1e-4
    )
    # TensorFlow's own parser reads them.
    spec = {
        keys.TEACHER_IMAGE_INDEX: tf.io.FixedLenSequenceFeature([], tf.int64),
        keys.TEACHER_IMAGE_CONFIDENCE: tf.io.FixedLenSequenceFeature([], tf.float32),
    }
    parsed = [
        tf.io.parse_single_sequence_example(record, None, spec)[1]
        for record in records(output)
    ]
    for key, column in zip(spec, (chosen, confidence), strict=True):
        listed = np.concatenate([each[key].numpy() for each in parsed])
        np.testing.assert_array_equal(listed, column)
    # The clips' own predictions are as without.
    training.predict(teacher, web.directory, str(tmp_path / "plain"), **settings)
    plain = clips.ClipDataset(tmp_path / "plain")
    assert plain.index.frame_choices is None
    np.testing.assert_array_equal(labelled.index.confidence, plain.index.confidence)


def test_all_else_in_a_record_stays_byte_for_byte(teacher, web, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    training.predict(teacher, web.directory, str(first), per_frame=True)
    lists = (keys.TEACHER_IMAGE_INDEX, keys.TEACHER_IMAGE_CONFIDENCE)
    for old, new in zip(records(web.directory), records(first), strict=True):
        example = tf.train.SequenceExample.FromString(new)
        for key in lists:
            del example.feature_lists.feature_list[key]
        for key in (keys.TEACHER_INDEX, keys.TEACHER_CONFIDENCE):
            del example.context.feature[key]
        assert example == tf.train.SequenceExample.FromString(old)
        others = wire.split_context(old)[1]
        ((_, span),) = wire.fields(others, 0, len(others))
        assert others[slice(*span)] in new
    # Another teacher's choices take the place of the former ones.
    other = write_teacher(
        tmp_path / "other", seed=4, model=TWO_D, num_frames=1, crop_size=CROP
    )
    training.predict(other, str(first), str(second), per_frame=True)
    before, after = (
        clips.ClipDataset(each).index.frame_choices for each in (first, second)
    )
    assert (before[0] != after[0]).any()
    for old, new in zip(records(first), records(second), strict=True):
        assert len(wire.example_parts(new, 0, len(new))[1]) == 4
        assert len(old) - len(new) in range(-9, 10)
    # Without asking for frames, what the record has stays.
    third = tmp_path / "third"
    training.predict(other, str(second), str(third))
    np.testing.assert_array_equal(clips.ClipDataset(third).index.frame_choices, after)
    assert list(validate(str(third), num_workers=1)) == []
    index = clips.ClipDataset(third).index
    reindex(str(third), overwrite=True, num_workers=1)
    for one, two in zip(
        clips.ClipDataset(third).index.frame_choices, index.frame_choices, strict=True
    ):
        np.testing.assert_array_equal(one, two)


def test_workers_share_it_and_the_result_is_the_same(teacher, web, tmp_path):
    settings = {"batch_size": 2, "per_frame": True}
    training.predict(teacher, web.directory, str(tmp_path / "one"), **settings)
    for worker in (1, 0):
        training.predict(
            teacher,
            web.directory,
            str(tmp_path / "two"),
            worker=worker,
            num_workers=2,
            **settings,
        )
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_3d_teacher_judges_no_single_frames(web, tmp_path):
    teacher = write_teacher(tmp_path / "teacher")
    with pytest.raises(ValueError, match=r"--per_frame.*teacher is a 3D network; use"):
        training.predict(teacher, web.directory, str(tmp_path / "out"), per_frame=True)
    assert not (tmp_path / "out").exists()


def test_a_3d_teacher_labels_images_only_where_it_is_allowed(teacher, tmp_path):
    images = [make_clip(n, n % 3, frames=1, names="abc") for n in range(3)]
    dataset = write_dataset(tmp_path / "images", images, "abc", 1)
    solid = write_teacher(tmp_path / "solid")
    with pytest.raises(
        ValueError, match=r"clips of one frame.*r3d_tiny_g, trained on 2"
    ):
        training.predict(solid, dataset.directory, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    for name, allowed, options in (
        ("allowed", solid, {"allow_3d_teacher_on_images": True}),
        ("of_images", write_teacher(tmp_path / "of_images_run", num_frames=1), {}),
        ("flat", teacher, {}),
    ):
        training.predict(allowed, dataset.directory, str(tmp_path / name), **options)
        assert (clips.ClipDataset(tmp_path / name).index.teacher >= 0).all()
