import dataclasses
import warnings

import numpy as np
import pytest
from PIL import Image

from tests.conftest import make_clip, write_dataset
from tfrecords_tools.inspection.contact_sheet import draw_contact_sheet


def large_grey_areas(path):
    """The grey levels, other than white, that cover a hundredth of a picture."""
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    grey = pixels[(pixels == pixels[:, :1]).all(axis=1), 0]
    counts = np.bincount(grey, minlength=256)
    return {int(level) for level in np.flatnonzero(counts > len(pixels) / 100)} - {255}


def test_the_middle_frame_of_each_chosen_clip_is_shown(tmp_path):
    all_clips = [make_clip(n, n % 4) for n in range(24)]
    dataset = write_dataset(tmp_path / "d", all_clips, "abcdef")
    groups = draw_contact_sheet(dataset, str(tmp_path / "x.png"), rows=3, columns=2)
    labels = [set(dataset.index.label[group].tolist()) for group in groups]
    assert [len(group) for group in groups] == [2, 2, 2]
    assert [len(label) for label in labels] == [1, 1, 1]
    assert len(set.union(*labels)) == 3
    # Rows are shard by shard: the even clips, then the odd ones.
    numbers = [*range(0, 24, 2), *range(1, 24, 2)]
    shown = {8 * numbers[row] + 4 for group in groups for row in group}
    assert large_grey_areas(tmp_path / "x.png") == shown


def test_the_choice_depends_on_the_seed_alone(web_dataset, tmp_path):
    def choice(seed):
        path = str(tmp_path / "x.png")
        groups = draw_contact_sheet(web_dataset, path, rows=2, columns=3, seed=seed)
        return [group.tolist() for group in groups]

    assert choice(1) == choice(1)
    assert len({str(choice(seed)) for seed in range(4)}) > 1


def test_a_grid_larger_than_the_dataset_shows_every_clip(tmp_path):
    all_clips = [make_clip(n, n % 2, size=(8 + n, 40 - n)) for n in range(5)]
    dataset = write_dataset(tmp_path / "d", all_clips, "abcdef")
    groups = draw_contact_sheet(dataset, str(tmp_path / "x.png"))
    assert sorted(np.concatenate(groups)) == list(range(5))


def test_names_are_no_formulas_and_accents_have_glyphs(tmp_path):
    names = ["$\\frac{$ 5 $", "crème brûlée Übung żółw", "first\nsecond"]
    all_clips = [
        dataclasses.replace(
            make_clip(n, n, teacher=[n, 0], names=names), id=f"$\\bad{{$ é\n{n}@0-1"
        )
        for n in range(3)
    ]
    dataset = write_dataset(tmp_path / "d", all_clips, names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_contact_sheet(dataset, str(tmp_path / "x.png"))
    assert large_grey_areas(tmp_path / "x.png") == {4, 12, 20}


def test_the_teachers_caption_is_green_if_it_agrees_and_orange_if_not(tmp_path):
    def colors(teacher):
        clip = make_clip(0, 1, teacher=teacher)
        dataset = write_dataset(tmp_path / str(teacher), [clip], "abcdef", 1)
        draw_contact_sheet(dataset, str(tmp_path / "x.png"))
        pixels = np.asarray(Image.open(tmp_path / "x.png").convert("RGB"), int)
        red, green, blue = pixels.reshape(-1, 3).T
        return (green > red + 60).any(), (red > blue + 60).any()

    assert colors([1]) == (True, False)
    assert colors([2]) == (False, True)
    assert colors([]) == (False, False)


def test_a_frame_that_cannot_be_decoded_is_named(tmp_path):
    clip = dataclasses.replace(make_clip(0, 0), frames=(b"no JPEG",) * 8)
    dataset = write_dataset(tmp_path / "d", [clip], "abcdef", num_shards=1)
    with pytest.raises(ValueError, match="'video0@0-1000000': frame 4 cannot be dec"):
        draw_contact_sheet(dataset, str(tmp_path / "x.png"))
    assert not (tmp_path / "x.png").exists()


def test_an_empty_dataset_is_refused(tmp_path):
    dataset = write_dataset(tmp_path / "d", [], ["a"], num_shards=1)
    with pytest.raises(ValueError, match="has no clip to show"):
        draw_contact_sheet(dataset, str(tmp_path / "x.png"))
