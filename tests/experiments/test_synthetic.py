"""The synthetic world, judged from its decoded files rather than from its own code."""

import pathlib
import subprocess
import sys

import av
import numpy as np
import pytest
from absl import flags

from experiments.synthetic import encoding, render, settings, world
from tests.experiments.synthetic_worlds import (
    LUMA,
    decode,
    decode_luma,
    read_rows,
    sprite_rise,
    sprite_weight,
    tiny_config,
)

# Sprites alone, in colours that stand out.
BARE = {
    "texture_contrast": (0.0, 0.0),
    "pixel_noise": 0.0,
    "num_specks": 0,
    "gain": (1.0, 1.0),
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    config = tiny_config()
    return config, folder, render.render(config, folder, num_workers=1)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A world of sprites alone, in which a centroid is the sprite's."""
    folder = tmp_path_factory.mktemp("bare")
    render.render(tiny_config(nuisance=BARE), folder, num_workers=1)
    return folder


@pytest.fixture(scope="module")
def bare_fw(tmp_path_factory):
    """The same of world FW, in which half of the sprites grow or shrink."""
    folder = tmp_path_factory.mktemp("bare_fw")
    render.render(tiny_config("fw", nuisance=BARE), folder, num_workers=1)
    return folder


@pytest.fixture(scope="module")
def textured(tmp_path_factory):
    """Target training clips (path, scene) whose texture stands out of the noise."""
    folder = tmp_path_factory.mktemp("textured")
    nuisance = {"texture_contrast": (0.15, 0.25), "sprite_contrast": (0.3, 0.45)}
    config = tiny_config(nuisance=nuisance)
    render.render(config, folder, num_workers=1)
    return [
        (folder / row["video"], row["label"].rsplit(" ", 1)[0])
        for row in read_rows(folder / "target_train.csv")
    ]


class TestFiles:
    def test_decode_with_expected_frames_size_and_rate(self, rendered):
        _, folder, _ = rendered
        for split, num_frames in (("target_train", 8), ("target_val", 8), ("web", 24)):
            for row in read_rows(folder / f"{split}.csv"):
                with av.open(str(folder / row["video"])) as container:
                    stream = container.streams.video[0]
                    times = [frame.time for frame in container.decode(stream)]
                    assert stream.codec_context.name == "h264"
                    assert stream.codec_context.pix_fmt == "yuv420p"
                    assert (stream.height, stream.width) == (32, 32)
                    assert stream.average_rate == 8
                    assert stream.frames == num_frames
                    assert stream.duration * stream.time_base == num_frames / 8
                np.testing.assert_allclose(times, np.arange(num_frames) / 8)

    def test_second_k_holds_the_frames_of_segment_k_from_a_key_frame(self, rendered):
        _, folder, _ = rendered
        path = folder / read_rows(folder / "web.csv")[0]["video"]
        everything = decode(path)
        for segment in range(3):
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                container.seek(int(segment / stream.time_base), stream=stream)
                frames = list(container.decode(stream))
            assert frames[0].key_frame
            assert frames[0].time == segment
            cut = [f for f in frames if segment <= f.time < segment + 1]
            pixels = np.stack([f.to_ndarray(format="rgb24") for f in cut])
            np.testing.assert_array_equal(pixels, everything[8 * segment :][:8])

    def test_no_temporary_files_stay(self, rendered):
        _, folder, summary = rendered
        files = [path for path in folder.rglob("*") if path.is_file()]
        videos = [path for path in files if path.suffix == ".mp4"]
        assert len(videos) == sum(summary["num_videos"].values())
        assert {path.name for path in files} - {path.name for path in videos} == {
            "classes.txt",
            "target_train.csv",
            "target_val.csv",
            "web.csv",
            "hidden_truth.csv",
        }

    def test_coding_keeps_luma(self, tmp_path):
        config = tiny_config()
        rng = np.random.default_rng(3)
        look = world.draw_look(rng, config.frame_size, config.nuisance)
        drawn = world.draw_segment(rng, look, 0, world.ACTION, config)
        for codec in encoding.CODECS:
            (tmp_path / codec).write_bytes(encoding.encode_video(drawn, config, codec))
            error = (decode(tmp_path / codec).astype(float) - drawn) @ LUMA
            assert np.abs(error).mean() < 4, codec


class TestManifests:
    def test_labels_are_the_classes_each_equally_often(self, rendered):
        _, folder, summary = rendered
        classes = (folder / "classes.txt").read_text().splitlines()
        assert len(classes) == len(set(classes)) == summary["num_classes"] == 12
        for split, per_class in (("target_train", 2), ("target_val", 1), ("web", 2)):
            labels = [row["label"] for row in read_rows(folder / f"{split}.csv")]
            assert sorted(labels) == sorted(classes * per_class)
            assert summary["num_videos"][split] == len(labels)

    def test_only_target_clips_are_trimmed(self, rendered):
        _, folder, _ = rendered
        for split in ("target_train", "target_val"):
            for row in read_rows(folder / f"{split}.csv"):
                assert list(row) == ["video", "label", "start", "end"]
                assert (float(row["start"]), float(row["end"])) == (0, 1)
        for row in read_rows(folder / "web.csv"):
            assert list(row) == ["video", "label"]

    def test_file_names_are_unique_and_do_not_tell_the_class(self, rendered):
        _, folder, _ = rendered
        names = [path.name for path in folder.rglob("*.mp4")]
        assert len(set(names)) == len(names)
        assert not any(word in name for name in names for word in ("rise", "rings"))

    def test_shares_and_query_error_are_near_the_config(self, tmp_path):
        config = tiny_config(
            web_videos_per_class=15,
            segments_per_video=6,
            frames_per_segment=1,
            query_error=0.2,
        )
        summary = render.render(config, tmp_path, num_workers=1)
        truth = read_rows(tmp_path / "hidden_truth.csv")
        assert len(truth) == summary["num_web_segments"] == 12 * 15 * 6
        wanted = {"action": 0.4, "sibling": 0.3, "background": 0.2, "filler": 0.1}
        for kind, share in wanted.items():
            found = sum(row["shown"] == kind for row in truth) / len(truth)
            assert found == pytest.approx(share, abs=0.06)  # four deviations
            assert found == pytest.approx(summary["segment_shares"][kind])
        label = {row["video"]: row["label"] for row in read_rows(tmp_path / "web.csv")}
        actions = [row for row in truth if row["shown"] == "action"]
        wrong = {row["video"] for row in actions if row["class"] != label[row["video"]]}
        error = len(wrong) / len({row["video"] for row in actions})
        assert error == pytest.approx(0.2, abs=0.12)  # four deviations


class TestDeterminism:
    def test_seed_decides_and_workers_do_not(self, rendered, tmp_path):
        config, folder, _ = rendered
        render.render(config, tmp_path / "same", num_workers=2)
        for path in folder.rglob("*"):
            other = tmp_path / "same" / path.relative_to(folder)
            if path.is_file():
                assert path.read_bytes() == other.read_bytes()

        render.render(tiny_config(seed=1), tmp_path / "other", num_workers=1)
        truth = (folder / "hidden_truth.csv").read_bytes()
        assert truth != (tmp_path / "other/hidden_truth.csv").read_bytes()
        video = read_rows(folder / "target_train.csv")[0]["video"]
        assert np.any(decode(folder / video) != decode(tmp_path / "other" / video))

    def test_splits_do_not_repeat_each_other(self, rendered):
        _, folder, _ = rendered
        train = decode(folder / "videos/target_train/target_train_000000.mp4")
        val = decode(folder / "videos/target_val/target_val_000000.mp4")
        assert np.abs(train.astype(float) - val).mean() > 5


class TestMotion:
    def test_target_sprites_rise_or_sink_by_the_path_length(self, bare):
        for row in read_rows(bare / "target_train.csv"):
            rise = sprite_rise(decode_luma(bare / row["video"]))
            upwards = rise if row["label"].endswith("rise") else -rise
            assert 3 < upwards < 17, row  # 7-13 pixels, and drift of deviation 1.2

    def test_web_segments_move_as_the_hidden_truth_says(self, bare):
        seen = set()
        for row in read_rows(bare / "hidden_truth.csv"):
            luma = decode_luma(bare / row["video"])[8 * int(row["segment"]) :][:8]
            seen.add(row["shown"])
            if row["shown"] in ("action", "sibling"):
                rise = sprite_rise(luma)
                assert 3 < (rise if row["class"].endswith("rise") else -rise) < 17, row
            elif row["shown"] == "background":
                assert row["class"] == ""
                assert abs(sprite_rise(luma) or 0) < 4, row
            else:
                assert row["class"] == row["scene"] == ""
        assert seen == set(world.SEGMENT_KINDS)

    def test_half_of_the_scenes_of_fw_have_sprites_that_change_size(self, bare_fw):
        changes = {"rise": [], "sink": [], "grow": [], "shrink": []}
        for row in read_rows(bare_fw / "target_train.csv"):
            luma = decode_luma(bare_fw / row["video"])
            area = sprite_weight(luma).sum(axis=(1, 2))
            change = (sprite_rise(luma), np.log(area[-1] / area[0]) / 2)
            changes[row["label"].rsplit(" ", 1)[1]].append(change)
        assert [len(found) for found in changes.values()] == [6, 6, 6, 6]
        for motion, found in changes.items():
            rise, growth = np.array(found).T
            up = {"rise": 1, "sink": -1}.get(motion, 0)
            larger = {"grow": 1, "shrink": -1}.get(motion, 0)
            # 7-13 pixels and drift; a factor of 2-3, seen through soft edges.
            assert np.all(np.abs(rise - 10 * up) < 7), motion
            assert np.abs(np.mean(rise) - 10 * up) < 3, motion
            if larger:
                assert np.all(larger * growth > np.log(1.5)), motion
            else:
                assert np.all(np.abs(growth) < np.log(1.3)), motion


class TestScenes:
    def test_sibling_has_the_same_scene_and_the_other_motion(self):
        motions = settings.default_config().motions
        names = world.class_names(motions)
        for index, name in enumerate(names):
            scene, motion = name.rsplit(" ", 1)
            other = {"rise": "sink", "sink": "rise"}[motion]
            assert names[world.sibling(index)] == f"{scene} {other}"
        with pytest.raises(ValueError, match="class_index: got 12"):
            world.scene_and_motion(12, motions)

    def test_scenes_of_fw_take_turns_through_the_pairs_of_motions(self):
        names = world.class_names(settings.fw_config().motions)
        assert names[:4] == [
            "horizontal stripes rise",
            "horizontal stripes sink",
            "vertical stripes grow",
            "vertical stripes shrink",
        ]
        assert len(set(names)) == 12
        for pair, share in ((0, 0.15), (1, 0.33), (2, 0.15), (5, 0.33)):
            for class_index in (2 * pair, 2 * pair + 1):
                shares = settings.segment_shares(settings.fw_config(), class_index)
                assert shares["sibling"] == share
                assert shares["action"] == pytest.approx(0.7 - share)
                assert list(shares) == list(world.SEGMENT_KINDS)

    def test_decoded_textures_tell_the_scenes_apart(self, textured):
        seen = set()
        for path, scene in textured:
            # Of two frames: over more of them, the pan would blur the texture.
            luma = decode_luma(path)[:2].mean(axis=0)
            assert guess_scene(luma) == scene, path
            # A random flip is a legal augmentation of every class.
            assert guess_scene(luma[:, ::-1]) == scene, path
            seen.add(scene)
        assert seen == set(world.SCENES)


def guess_scene(luma):
    """Names the texture of float [H, W] by its gradients and its spectrum."""
    gy, gx = np.gradient(luma)
    xx, yy, xy = (gx * gx).mean(), (gy * gy).mean(), (gx * gy).mean()
    upright, slanted = (xx - yy) / (xx + yy), 2 * abs(xy) / (xx + yy)
    if abs(upright) > 0.5:
        return "vertical stripes" if upright > 0 else "horizontal stripes"
    if slanted > 0.55:
        return "diagonal stripes"
    window = np.hanning(len(luma))
    spectrum = np.fft.fft2((luma - luma.mean()) * np.outer(window, window))
    power = np.abs(spectrum) ** 2 / np.sum(np.abs(spectrum) ** 2)
    near_axis = np.abs(np.fft.fftfreq(len(luma))) < 0.05
    on_axes = power[near_axis[:, None] | near_axis[None, :]].sum()
    fy, fx = np.meshgrid(*[np.fft.fftfreq(len(luma))] * 2, indexing="ij")
    angle = np.arctan2(np.abs(fy), np.abs(fx))
    between = power[np.abs(angle - np.pi / 4) < np.pi / 10].sum()
    if on_axes > 0.6:
        return "lattice"
    return "checks" if between > 0.72 else "rings"


class TestBadConfigs:
    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("frame_size", 33, "frame_size: got 33, expected an even number"),
            ("frame_size", 16, "frame_size: got 16, expected at least 21"),
            ("web_videos_per_class", 0, "web_videos_per_class: got 0, expected a pos"),
            ("sibling_shares", (0.8,), r"sibling_shares.*got \(0.8, 0.2, 0.1\)"),
            ("sibling_shares", (0.1, 0.2), "sibling_shares: .*expected one share for"),
            ("motions", (("rise", "rise"),), "motions: .*pairs of two different ones"),
            ("motions", (("rise", "spin"),), "motions: .*'grow', 'shrink'"),
            ("nuisance.growth", (0.5, 2.0), "nuisance.growth: got"),
            ("codec_shares.mpeg4_avi", 1.5, "codec_shares: got"),
            ("damage_shares.empty", -0.5, "damage_shares: got"),
            ("nuisance.sprite_size", (6.0, 4.0), "nuisance.sprite_size: got"),
            ("nuisance.pixel_noise", -1.0, "nuisance.pixel_noise: got -1.0"),
            ("query_error", 1.5, "query_error: got 1.5"),
            ("crf", 52, "crf: got 52"),
            ("preset", "quick", "preset: got 'quick'"),
            ("seed", -1, "seed: got -1"),
        ],
    )
    def test_impossible_value_is_named_before_writing(
        self, key, value, message, tmp_path
    ):
        config = tiny_config()
        config.update_from_flattened_dict({key: value})
        with pytest.raises(ValueError, match=message):
            render.render(config, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("group", ["", "codec_shares", "damage_shares", "nuisance"])
    def test_unknown_and_missing_keys_are_named(self, group, tmp_path):
        config = tiny_config()
        with (config[group] if group else config).unlocked() as part:
            part["sizze"] = 1
        with pytest.raises(ValueError, match=r"unknown keys \['sizze'\]"):
            render.render(config, tmp_path / "out")
        config = tiny_config()
        with config.unlocked():
            del config.nuisance["gain"]
        with pytest.raises(ValueError, match=r"missing keys \['gain'\]"):
            render.render(config, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_webm_needs_segments_of_whole_milliseconds(self, tmp_path):
        config = tiny_config(frame_rate=7)
        render.render(config, tmp_path / "without", num_workers=1)
        config.codec_shares.vp9 = 0.1
        with pytest.raises(ValueError, match=r"got 7, expected one .* whole mill"):
            render.render(config, tmp_path / "out")

    def test_unknown_world_is_named(self):
        with pytest.raises(ValueError, match="world: got 'fx'"):
            render.world_config("fx")


def test_importing_the_binary_defines_no_flags():
    assert "output_dir" not in flags.FLAGS


def test_binary_asks_for_its_output_folder():
    command = [sys.executable, "-m", "experiments.synthetic.render"]
    root = pathlib.Path(__file__).parents[2]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "--output_dir must have a value" in run.stderr
