"""The world of posts with hashtags, judged from its files."""

import collections
import json

import numpy as np
import pytest

from experiments.synthetic import hashtags, render, settings, world
from tests.experiments.synthetic_worlds import (
    decode,
    decode_luma,
    read_rows,
    sprite_rise,
    tiny_posts_config,
)

# Of posts of one segment, before a grey background that stands still.
BARE = {
    "texture_contrast": (0.0, 0.0),
    "colour_spread": 0.0,
    "pixel_noise": 0.0,
    "num_specks": 0,
    "gain": (1.0, 1.0),
    "camera_pan": 0.0,
    "hand_drift": 0.0,
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("posts")
    config = tiny_posts_config()
    return config, folder, render.render(config, folder, num_workers=1)


def posts_of(folder):
    return [json.loads(line) for line in (folder / "posts.jsonl").open()]


def words_of(post):
    """The hashtags of a post in small letters, wherever they stand."""
    tags = post.get("hashtags") or [
        word[1:] for word in post["description"].split() if word.startswith("#")
    ]
    return [tag.lower() for tag in tags]


def shown_by(folder):
    """What the segments of each video show, by its path."""
    found = collections.defaultdict(list)
    for row in read_rows(folder / "hidden_truth.csv"):
        found[row["video"]].append(row)
    return found


def test_hashtags_name_what_the_video_shows(rendered):
    _, folder, _ = rendered
    shown = shown_by(folder)
    posts = posts_of(folder)
    assert len(posts) == len(shown) == 40
    for post in posts:
        segments = shown[post["video"]]
        (name,) = {row["class"] for row in segments if row["shown"] == "action"}
        *scene, motion = name.split()
        tags = words_of(post)
        assert motion in tags  # the verb alone
        both = [tag for tag in tags if motion in tag and tag != motion]
        for tag in both:
            # In any order, with or without the last s.
            letters = collections.Counter(tag.replace(motion, "", 1))
            lacking = collections.Counter("".join(scene)) - letters
            assert lacking in (collections.Counter(), collections.Counter("s"))
        assert len(both) == 1


def test_a_post_says_how_long_its_video_is(rendered):
    config, folder, summary = rendered
    posts = posts_of(folder)
    lengths = hashtags.lengths(config)
    assert set(lengths) == {1, 3}
    for post, length in zip(posts[:5], lengths, strict=False):
        assert post["duration"] == length
        assert decode(folder / post["video"]).shape == (8 * length, 28, 28, 3)
        assert len(shown_by(folder)[post["video"]]) == length
    assert summary["num_web_segments"] == lengths.sum()
    clips = render.clips_of_splits(config)
    assert clips["posts"] == lengths.sum()
    assert summary["num_frames"] == 8 * sum(clips.values())


def test_any_scene_has_any_motion(tmp_path):
    config = tiny_posts_config(posts=60, tail=0.0, lengths=(1,), length_shares=(1.0,))
    config.nuisance.update(BARE)
    render.render(config, tmp_path, num_workers=1)
    signs, scenes = collections.defaultdict(list), collections.defaultdict(set)
    for video, ((row),) in shown_by(tmp_path).items():
        scene, motion = row["class"].rsplit(" ", 1)
        scenes[scene].add(motion)
        signs[motion].append(sprite_rise(decode_luma(tmp_path / video)))
    assert min(map(len, scenes.values())) > 2  # more than its pair of the target
    assert min(signs["rise"]) > 4 > -4 > max(signs["sink"])
    assert max(map(abs, signs["grow"] + signs["shrink"])) < 4


def test_a_few_pairs_are_frequent_and_most_are_seldom():
    config = settings.hashtags_config().to_dict()
    counts = np.sort(np.bincount(hashtags.topics(config), minlength=24))[::-1]
    expected = 4000 / np.arange(1, 25) / sum(1 / n for n in range(1, 25))
    np.testing.assert_allclose(counts, expected, atol=4 * expected.max() ** 0.5)
    assert counts[0] > 15 * counts[-1]
    # What is first does not depend on how many there are.
    fewer = hashtags.topics(config | {"posts": 100})
    assert (fewer == hashtags.topics(config)[:100]).all()
    other = np.bincount(hashtags.topics(config | {"seed": 1}))
    assert other.argmax() != np.bincount(hashtags.topics(config)).argmax()


def test_posts_that_cannot_be_used_come_on_top():
    config = settings.hashtags_config().to_dict()
    video = hashtags.PostVideo("a.mp4", 0, 1.0)
    for fault in config["bad_shares"]:
        shares = dict.fromkeys(config["bad_shares"], 0.0) | {fault: 1.0}
        good, bad = hashtags.post_lines(config | {"bad_shares": shares}, [video])
        kept = json.loads(good)
        assert kept["video"] == "a.mp4"
        if fault == "broken":
            with pytest.raises(json.JSONDecodeError):
                json.loads(bad)
        elif fault == "wrong_encoding":
            with pytest.raises(UnicodeDecodeError):
                bad.decode()
        elif fault == "repeated":
            assert bad == good
        else:
            post = json.loads(bad)
            assert post["id"] != kept["id"]
            gone = post["video"] != "a.mp4"
            assert gone == (fault == "no_video")
            if fault == "no_hashtag":
                assert "#" not in bad.decode()
                assert not post["hashtags"]


def test_scenes_and_motions_are_listed(rendered):
    _, folder, _ = rendered
    assert (folder / "nouns.txt").read_text().splitlines() == list(world.SCENES)
    assert (folder / "verbs.txt").read_text().splitlines() == list(world.MOTIONS)
    assert not (folder / "posts.csv").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": (0, 1)}, "lengths: got"),
        ({"length_shares": (0.5, 0.4)}, "length_shares: got .* sum to 1"),
        ({"extra_share": 2.0}, "extra_share: got 2.0, expected 0..1"),
        ({"tail": -1.0}, "tail: got -1.0"),
        ({"posts": 0}, "posts: got 0, expected a positive integer"),
        ({"kind": "posts"}, "kind: got 'posts', expected one of"),
        ({"bad_shares.broken": 1.5}, "bad_shares: got .* sum is at most 1"),
    ],
)
def test_a_wrong_config_is_refused(changes, message):
    config = tiny_posts_config()
    config.update_from_flattened_dict(changes)
    with pytest.raises(ValueError, match=message):
        render.check_config(config)
