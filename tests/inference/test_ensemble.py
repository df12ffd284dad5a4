"""Several teachers that vote."""

import numpy as np
import pytest

from spl_tf import clips, training
from tests.inference.test_prediction import noisy_dataset, probabilities_of, read_all
from tests.training.teachers import write_teacher


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("clips") / "web"
    noisy_dataset(directory, 8)
    return clips.ClipDataset(directory)


def test_the_mean_of_two_teachers_probabilities_is_written(dataset, tmp_path):
    """Other weights, another width."""
    teachers = [
        write_teacher(tmp_path / "one", seed=1),
        write_teacher(tmp_path / "two", seed=2, model={"width": 1.5}),
    ]
    training.predict(teachers, dataset.directory, str(tmp_path / "out"), top_k=3)
    each = [probabilities_of(teacher, dataset)[:, 0] for teacher in teachers]
    assert np.abs(each[0] - each[1]).max() > 0.01
    expected = np.mean(each, axis=0)
    _, found = read_all(tmp_path / "out")
    for clip, probabilities in zip(found, expected, strict=True):
        order = np.argsort(-probabilities)
        assert clip.teacher_index == tuple(order)
        np.testing.assert_allclose(
            clip.teacher_confidence, probabilities[order], rtol=1e-5
        )


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"class_names": "acb"}, "one and .*two know different classes"),
        ({"stride": 1}, "data.stride 2 and 1; those that vote must look at the same"),
        ({"crop_size": 24}, "data.crop_size 16 and 24"),
    ],
)
def test_teachers_that_cannot_vote_are_refused(other, message, dataset, tmp_path):
    teachers = [
        write_teacher(tmp_path / "one"),
        write_teacher(tmp_path / "two", **other),
    ]
    with pytest.raises(ValueError, match=message):
        training.predict(teachers, dataset.directory, str(tmp_path / "out"))
    with pytest.raises(ValueError, match="there is no checkpoint"):
        training.predict([], dataset.directory, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
