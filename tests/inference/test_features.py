import dataclasses

import numpy as np

from spl_tf import data, models, training
from spl_tf.inference.evaluation import Views, accept_any_size, open_run
from spl_tf.inference.features import clip_features
from tests.conftest import write_dataset
from tests.training.finished_run import decode, textured_clip, write_run

NAMES = ["a", "b", "c"]


def test_features_are_of_every_frame_also_without_labels(tmp_path):
    run = write_run(tmp_path / "run", NAMES)
    all_clips = [
        dataclasses.replace(textured_clip(n, 0, NAMES), label_index=-1)
        for n in range(5)
    ]
    dataset = write_dataset(tmp_path / "clips", all_clips, NAMES, 1)
    devices = training.make_strategy("one")
    _, _, model = open_run(run, devices)
    network = accept_any_size(models.feature_model(model))
    views = Views(data.ClipSampling(1, 1, segments=True), 16, num_clips=4)
    found = clip_features(network, devices, dataset, views, 2, by_view=True)
    assert found.rows.tolist() == list(range(5))
    assert found.ids.tolist() == [clip.id for clip in all_clips]
    for clip, features in zip(all_clips, found.features, strict=True):
        frames = decode(clip)[[1, 3, 5, 7], None, 2:18, 10:26]
        expected = network.predict(frames.astype(np.float32) / 255, verbose=0)
        np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)
