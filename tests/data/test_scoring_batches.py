"""Batches of evaluation and prediction: every clip once."""

import numpy as np
import pytest

from spl_tf import clips, data
from tests.conftest import jpeg, make_clip, write_dataset

SAMPLING = data.ClipSampling(num_frames=3, stride=2)


@pytest.mark.parametrize(
    ("batch_size", "workers", "replicas"), [(1, 1, 1), (5, 1, 1), (4, 3, 2), (50, 2, 1)]
)
def test_evaluation_sees_every_clip_exactly_once(
    web_dataset, batch_size, workers, replicas
):
    seen, counts = [], set()
    for worker in range(workers):
        where = {"worker": worker, "num_workers": workers, "replicas": replicas}
        batches = list(
            data.eval_batches(
                web_dataset, SAMPLING, 24, batch_size, **where
            ).as_numpy_iterator()
        )
        counts.add(len(batches))
        for batch in batches:
            assert batch["clip"].shape == (batch_size, 3, 24, 24, 3)
            mask = batch["mask"]
            seen += batch["index"][mask].tolist()
            labels = web_dataset.index.label[batch["index"][mask]]
            assert batch["label"][mask].tolist() == labels.tolist()
    assert sorted(seen) == list(range(23))
    assert len(counts) == 1
    assert counts.pop() % replicas == 0


def test_evaluation_looks_at_the_centre(web_dataset):
    batch = next(data.eval_batches(web_dataset, SAMPLING, 24, 4).as_numpy_iterator())
    with web_dataset.reader() as reader:
        for place, row in enumerate(batch["index"]):
            number = int(clips.parse_clip(reader.read(row)).media_id[5:])
            grey = (8 * number + np.array([1, 3, 5])) % 256  # 8 frames, span 6
            middle = batch["clip"][place].mean(axis=(1, 2, 3))
            assert abs(middle - grey).max() < 1.5


@pytest.mark.parametrize(
    ("size", "num_crops", "expected"),
    [((32, 40), 3, (0, 8, 16)), ((40, 32), 3, (0, 8, 16)), ((32, 40), 1, (8,))],
)
def test_views_are_uniform_runs_times_crops_along_the_longer_side(
    tmp_path, size, num_crops, expected
):
    # Brightness is 2 * the place along the longer side, plus 40 * the frame.
    place = np.arange(max(size))[:, None] if size[0] > size[1] else np.arange(size[1])
    base = np.broadcast_to(place, size)[..., None].repeat(3, axis=2)
    frames = tuple(jpeg((2 * base + 40 * t).astype(np.uint8), 100) for t in range(4))
    clip = make_clip(0, 0, frames=4, size=size)
    changed = {**clip.__dict__, "frames": frames}
    dataset = write_dataset(tmp_path / "d", [clips.Clip(**changed)], ["a"], 1)
    batches = data.eval_batches(
        dataset, data.ClipSampling(2, 1), 24, 2, num_clips=2, num_crops=num_crops
    )
    batch = next(batches.as_numpy_iterator())
    views = 2 * num_crops
    assert batch["clip"].shape == (2 * views, 2, 24, 24, 3)
    assert batch["mask"].tolist() == [True, False]
    for start in (0, 2):
        for number, first in enumerate(expected):
            view = batch["clip"][start // 2 * num_crops + number].astype(float)
            means = 2 * (first + 11.5) + 40 * (start + np.arange(2))
            np.testing.assert_allclose(view.mean(axis=(1, 2, 3)), means, atol=1)


def test_prediction_reads_clips_without_labels_in_index_order(tmp_path):
    unlabelled = [make_clip(n, n % 2) for n in range(5)]
    dataset = write_dataset(tmp_path / "d", unlabelled, ["a", "b"], num_shards=1)
    batches = list(data.predict_batches(dataset, SAMPLING, 24, 2).as_numpy_iterator())
    rows = np.concatenate([batch["index"][batch["mask"]] for batch in batches])
    assert rows.tolist() == [0, 1, 2, 3, 4]
    assert "label" not in batches[0]


@pytest.mark.parametrize(("workers", "replicas"), [(1, 1), (2, 2)])
def test_wanted_clips_come_in_the_batches_of_an_unbroken_prediction(
    web_dataset, workers, replicas
):
    wanted = np.isin(np.arange(23), [5, 6, 7, 17, 22])
    for worker in range(workers):
        where = {"worker": worker, "num_workers": workers, "replicas": replicas}
        settings = (web_dataset, SAMPLING, 24, 3)
        whole = list(data.predict_batches(*settings, **where).as_numpy_iterator())
        some = list(
            data.predict_batches(*settings, **where, wanted=wanted).as_numpy_iterator()
        )
        size = 3 * workers * replicas
        steps = sorted({row // size for row in np.flatnonzero(wanted)})
        places = [step * replicas + r for step in steps for r in range(replicas)]
        assert len(some) == len(places)
        for batch, place in zip(some, places, strict=True):
            full = whole[place]
            mask = full["mask"] & wanted[full["index"]]
            assert batch["mask"].tolist() == mask.tolist()
            for name in ("clip", "index", "id"):
                np.testing.assert_array_equal(
                    batch[name][full["mask"]], full[name][full["mask"]]
                )
