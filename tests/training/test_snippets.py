"""Training on frames of untrimmed videos, beside a target set."""

import pytest

from spl_tf import clips, data, training
from spl_tf.training.assembly import open_sources
from spl_tf.training.config import default_source
from tests.conftest import make_clip


@pytest.fixture
def untrimmed(config, tmp_path):
    """The target, and 6 videos; every third frame is the label's, but of one video."""
    records = []
    for n in range(6):
        clip = make_clip(10 * (n % 3) + n, n % 3, frames=9, names="abc")
        shown = n % 3 if n else 2  # the first shows another class
        seen = [shown if t % 3 == 1 else (n + 1) % 3 for t in range(9)]
        choices = clips.FrameChoices(seen, [0.5 + 0.05 * t for t in range(9)])
        record = clips.with_teacher(clips.encode_clip(clip), [n % 3], [1.0], choices)
        records.append((record, 9, n % 3, n % 3))
    directory = tmp_path / "untrimmed"
    directory.mkdir()
    summary = clips.write_shard(directory, clips.shard_name(0, 1), records)
    clips.finish_dataset(directory, [summary], "abc", "weak", {"tool": "test"})
    for name, dataset in (("target", config.data.train), ("web", str(directory))):
        source = default_source()
        source.dataset = dataset
        with config.data.unlocked():
            config.data.sources[name] = source
    config.data.sources.web.update(share=3.0)
    config.data.sources.web.clips.kind = "snippets"
    config.data.update(train="", sampling="segments", num_frames=3)
    return config


def test_untrimmed_videos_train_on_snippets_and_those_without_positives_do_not(
    untrimmed, tmp_path, caplog
):
    caplog.set_level("INFO", logger="absl")
    untrimmed.schedule.length.steps = 2
    results = training.train(untrimmed, str(tmp_path / "run"))
    assert results["labels"] == 3
    assert "5 of the 6 clips of source 'web' are kept and have a frame" in caplog.text
    opened = open_sources(untrimmed, 4)
    assert opened.clips == [18, 5]
    for batch in data.train_batches(opened.inputs, opened.sizes, stop_step=6):
        levels = batch["clip"].numpy()[1:].mean(axis=(2, 3, 4)).round().astype(int)
        for row, item in zip(batch["index"].numpy()[1:], levels, strict=True):
            assert row != 0
            places = item - 8 * (10 * (row % 3) + row)
            assert (places % 3 == 1).sum() == 1
            assert sorted(set(places)) == places.tolist()
    untrimmed.data.sources.web.clips.min_confidence = 0.95
    with pytest.raises(ValueError, match=r"sources\.web: .* has a frame in which the"):
        open_sources(untrimmed, 4)


def test_what_snippets_need_is_told_by_its_key(untrimmed):
    web_source = untrimmed.data.sources.web
    web_source.labels.update(kind="one_of")
    with pytest.raises(ValueError, match=r"'one_of' labels are others; use labels"):
        training.check_config(untrimmed)
    web_source.labels.update(kind="record")
    untrimmed.data.sampling = "consecutive"
    with pytest.raises(ValueError, match=r"clips\.kind is 'snippets'.*use 'segments'"):
        training.check_config(untrimmed)
    web_source.clips.update(kind="frames", min_confidence=0.5)
    with pytest.raises(ValueError, match=r"min_confidence is for kind 'snippets'"):
        training.check_config(untrimmed)
    untrimmed.data.sampling = "segments"
    web_source.clips.update(kind="snippets", min_confidence=0.0)
    web_source.dataset = untrimmed.data.sources.target.dataset
    with pytest.raises(ValueError, match=r"sources\.web: .*does not say.*per_frame"):
        open_sources(untrimmed, 4)
