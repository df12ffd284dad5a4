"""Posts with hashtags: what they are about, how long their videos are, what they say.

A post is about one of `PAIRS`, a scene with a motion, and its video shows that in one
of its segments at least. Its hashtags name the scene, the motion, or both in one word,
in forms that people write; some are about another pair, and many mean nothing here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.synthetic import world

PAIRS = tuple(world.class_names(world.ALL_MOTIONS))
# Of the random streams that decide about all posts.
_TOPICS, _LENGTHS, _TEXTS = range(10, 13)
_OTHER_TAGS = ("love", "instagood", "video", "tbt", "weekend", "fyp")
_CASES = (str, str.title, str.upper)
_DESCRIBED_SHARE = 0.5  # whose hashtags stand in a text


class PostVideo(NamedTuple):
    """A video of a post.

    Attributes:
        path: Of its file, relative to the world's folder.
        topic: What the hashtags are about, a place in `PAIRS`.
        seconds: How long it is.
    """

    path: str
    topic: int
    seconds: float


def topics(config: Mapping[str, Any]) -> np.ndarray:
    """What the hashtags of each post are about, int64 [posts], places in `PAIRS`.

    Which pairs are frequent is another choice in each seed.
    """
    rng = np.random.default_rng([config["seed"], _TOPICS])
    order = rng.permutation(len(PAIRS))
    weights = (1.0 + np.arange(len(PAIRS))) ** -config["tail"]
    return order[rng.choice(len(PAIRS), config["posts"], p=weights / weights.sum())]


def lengths(config: Mapping[str, Any]) -> np.ndarray:
    """How many segments the video of each post has, int64 [posts]."""
    rng = np.random.default_rng([config["seed"], _LENGTHS])
    return rng.choice(config["lengths"], config["posts"], p=config["length_shares"])


def post_lines(
    config: Mapping[str, Any], videos: Sequence[PostVideo]
) -> Iterator[bytes]:
    """The lines of a file of posts, JSON each, with posts that cannot be used among.

    Args:
        config: A world of posts, as `settings.hashtags_config` gives it.
        videos: Those of the posts, in order.
    """
    rng = np.random.default_rng([config["seed"], _TEXTS])
    faults = dict(config["bad_shares"])
    limits = np.cumsum([*faults.values()])
    for number, video in enumerate(videos):
        post = {"id": f"post_{number:06d}", **_text(rng, _hashtags(rng, config, video))}
        post |= {"video": video.path, "duration": video.seconds}
        line = json.dumps(post).encode()
        yield line
        fault = int(np.searchsorted(limits, rng.random(), side="right"))
        if fault < len(faults):
            yield _faulty([*faults][fault], f"bad_{number:06d}", line, post)


def _hashtags(rng, config: Mapping[str, Any], video: PostVideo) -> list[str]:
    tags = [
        _hashtag(rng, video.topic, kind)
        for kind, share in config["tag_shares"].items()
        if rng.random() < share
    ]
    if rng.random() < config["extra_share"]:
        kind = rng.choice([*config["tag_shares"]])
        tags.append(_hashtag(rng, int(rng.integers(len(PAIRS))), kind))
    tags += [str(tag) for tag in rng.choice(_OTHER_TAGS, rng.integers(3))]
    return [tags[place] for place in rng.permutation(len(tags))]


def _hashtag(rng, topic: int, kind: str) -> str:
    """A hashtag of a pair's scene ("noun"), of its motion ("verb"), or of both."""
    scene, verb = world.scene_and_motion(topic, world.ALL_MOTIONS)
    words = scene.split()
    if rng.random() < 0.3:  # as the stem of "rings" is
        words[-1] = words[-1].removesuffix("s")
    words = words[:: rng.choice((1, -1))]
    parts = {"noun": words, "verb": [verb]}.get(kind, [*words, verb])
    if kind == "pair" and rng.random() < 0.5:
        parts = [verb, *words]
    case = _CASES[rng.integers(len(_CASES))]
    return "".join(map(case, parts))


def _text(rng, tags: Sequence[str]) -> dict[str, Any]:
    if rng.random() < _DESCRIBED_SHARE:
        return {"description": " ".join(["look:", *(f"#{tag}" for tag in tags)])}
    return {"hashtags": list(tags)}


def _faulty(fault: str, name: str, line: bytes, post: Mapping[str, Any]) -> bytes:
    """A post that cannot be used, like one that can."""
    if fault == "broken":
        return line[: len(line) // 2]
    if fault == "wrong_encoding":
        return line.replace(b"}", ', "place": "Zürich"}'.encode("latin-1"))
    if fault == "repeated":
        return line
    changes = {
        "no_hashtag": {"hashtags": [], "description": "look at this"},
        "unknown_hashtag": {"hashtags": [*_OTHER_TAGS[:2]], "description": ""},
        "no_video": {"video": f"{post['video']}.gone"},
    }
    return json.dumps({**post, "id": name, **changes[fault]}).encode()
