"""Configs of the synthetic worlds: their keys, their values, and the checks of both."""

from __future__ import annotations

from collections.abc import Mapping

import ml_collections

from experiments.synthetic import encoding, world

# What is known of them, and where the numbers come from, is in LOG.md.
WORLDS = ("fa", "fw", "omni", "hashtags")
# Of the key `kind`, which the others lack.
_KINDS = _OMNI, _HASHTAGS = ("omni", "hashtags")

_COUNTS = (
    "target_clips_per_class",
    "validation_clips_per_class",
    "web_videos_per_class",
    "web_images_per_class",
    "web_short_per_class",
    "web_untrimmed_per_class",
    "posts",
    "segments_per_video",
    "frames_per_segment",
    "frame_rate",
    "frame_size",
)


_SHARES = ("codec_shares", "damage_shares", "tag_shares", "bad_shares")


def default_config() -> ml_collections.ConfigDict:
    """Returns world FA, the demo's: 72 target clips and 6,048 web segments.

    All scenes have the same two motions, and a search finds the wrong one almost as
    often as the right one.
    """
    return ml_collections.ConfigDict(
        {
            "seed": 0,
            "target_clips_per_class": 6,
            "validation_clips_per_class": 40,
            "web_videos_per_class": 84,  # found by a query for the class
            "segments_per_video": 6,
            "frames_per_segment": 8,
            "frame_rate": 8,  # frames per second
            "frame_size": 28,  # pixels, height and width, even
            # Pairs of motions, through which the scenes take turns.
            "motions": (("rise", "sink"),),
            # Share of web videos that are about another class than the query.
            "query_error": 0.08,
            # What the segments of a web video show, for the video's real class: the
            # sibling (one share per pair of motions), the scene alone, something else,
            # and in the rest of them the class itself.
            "sibling_shares": (0.3,),
            "background_share": 0.2,
            "filler_share": 0.1,
            # Web videos that are coded otherwise than most, in H.264.
            "codec_shares": {"vp9": 0.01, "mpeg4_mp4": 0.008, "mpeg4_avi": 0.008},
            # Web videos whose file is damaged.
            "damage_shares": {"cut_short": 0.006, "empty": 0.004, "garbage": 0.004},
            "crf": 14,  # quality of H.264: 0 is best, 51 is worst
            "preset": "ultrafast",
            "nuisance": default_nuisance().to_dict(),
        }
    )


def fw_config() -> ml_collections.ConfigDict:
    """Returns world FW: weak labels that are often right, and softer textures.

    The sprites of half of the scenes rise or sink, and a search seldom finds the wrong
    one; those of the others grow or shrink, and it often does.
    """
    config = default_config()
    config.target_clips_per_class = 5
    config.motions = (("rise", "sink"), ("grow", "shrink"))
    config.sibling_shares = (0.15, 0.33)
    config.nuisance.texture_contrast = (0.019, 0.086)
    return config


def omni_config() -> ml_collections.ConfigDict:
    """Returns world omni: clips of a target, and images and videos found for them.

    About half of what a search finds is something else, and a hundredth are copies of
    the target's clips for validation.
    """
    return ml_collections.ConfigDict(
        {
            "kind": _OMNI,
            "seed": 0,
            "target_clips_per_class": 6,
            "validation_clips_per_class": 40,
            "web_images_per_class": 100,
            "web_short_per_class": 60,  # of one segment each
            "web_untrimmed_per_class": 25,
            "segments_per_video": 6,  # of an untrimmed one
            "frames_per_segment": 8,
            "frame_rate": 8,  # frames per second
            "frame_size": 48,  # pixels, height and width, even
            "motions": (("rise", "sink"), ("grow", "shrink")),
            # Share of sprites whose shape is their class's; of the others it is any.
            # Likewise of the colour.
            "typical_share": 0.6,
            # Of images and videos of the web as of world FA's videos; what an image or
            # short video shows is drawn like a segment.
            "query_error": 0.15,
            "sibling_shares": (0.15, 0.15),
            "background_share": 0.15,
            "filler_share": 0.1,
            # Share of images, short and untrimmed videos with a near-copy of a clip for
            # validation. The share of its sides that is cut off; how bright it becomes.
            "copy_share": 0.01,
            "copy_crop": (0.02, 0.08),
            "copy_gain": (0.9, 1.15),
            "crf": 14,  # quality of H.264: 0 is best, 51 is worst
            "preset": "ultrafast",
            "jpeg_quality": 90,
            "nuisance": omni_nuisance().to_dict(),
        }
    )


def hashtags_config() -> ml_collections.ConfigDict:
    """Returns world hashtags: clips of a target, and posts about all that there is.

    A post is about any scene with any motion, a few of these pairs often and most of
    them seldom. Its video has one to ten segments, of which one shows it for sure.
    """
    config = fw_config()
    for key in ("web_videos_per_class", "segments_per_video"):
        del config[key]
    config.target_clips_per_class = 6
    config.query_error = 0.2  # of posts whose hashtags are about another pair
    config.sibling_shares = (0.2, 0.2)
    config.background_share = 0.3
    config.filler_share = 0.15
    config.update(
        {
            "kind": _HASHTAGS,
            "posts": 4000,  # with a video
            # The n-th most frequent pair is in proportion to n^-tail.
            "tail": 1.0,
            # Of videos, in segments, and their shares: a second stands for six.
            "lengths": (1, 2, 4, 10),
            "length_shares": (0.3, 0.25, 0.15, 0.3),
            # Of posts with a hashtag of the scene, of the motion, and of both in one.
            "tag_shares": {"noun": 0.6, "verb": 0.6, "pair": 0.7},
            "extra_share": 0.15,  # of posts with a hashtag of another pair, too
            # Of further posts that cannot be used, by what is wrong with them.
            "bad_shares": {
                "no_hashtag": 0.02,
                "unknown_hashtag": 0.03,
                "repeated": 0.01,
                "wrong_encoding": 0.005,
                "broken": 0.005,
                "no_video": 0.01,
            },
        }
    )
    return config


def is_omni(config: Mapping) -> bool:
    """Whether a config is of the world with three kinds of web data."""
    return config.get("kind") == _OMNI


def has_posts(config: Mapping) -> bool:
    """Whether a config is of the world of posts with hashtags."""
    return config.get("kind") == _HASHTAGS


def world_config(name: str) -> ml_collections.ConfigDict:
    """Returns the config of a world by its name, one of `WORLDS`.

    Raises:
        ValueError: If there is no such world.
    """
    _check(name in WORLDS, "world", name, f"one of {WORLDS}")
    configs = {"fa": default_config, "fw": fw_config, **_OF_KIND}
    return configs[name]()


_OF_KIND = {_OMNI: omni_config, _HASHTAGS: hashtags_config}


def default_nuisance() -> ml_collections.ConfigDict:
    """Returns the ranges (low, high) and deviations of what does not define a class."""
    return ml_collections.ConfigDict(
        {
            "texture_period": (4.0, 8.0),  # pixels
            "texture_contrast": (0.025, 0.12),  # root mean square
            "pixel_noise": 0.1,  # standard deviation per pixel and frame
            "path_length": (9.0, 14.0),  # pixels that a sprite travels in a segment
            "growth": (2.0, 3.0),  # largest size by smallest, of one that grows
            "sprite_size": (5.0, 7.0),  # pixels across
            "sprite_contrast": (0.6, 0.9),  # luma, against the background
            "hand_drift": 1.2,  # pixels, deviation of the drift within a segment
            "num_specks": 2,
            "speck_radius": (1.2, 2.8),  # pixels
            "speck_contrast": (0.1, 0.3),  # luma, against the background
            "speck_travel": 7.0,  # pixels, deviation of the way within a segment
            "camera_pan": 4.0,  # pixels, the most that the scene moves in a segment
            "colour_spread": 0.15,  # deviation of a channel around grey
            "gain": (0.8, 1.2),
        }
    )


def omni_nuisance() -> ml_collections.ConfigDict:
    """Returns ranges and deviations as `default_nuisance` does, of world omni."""
    nuisance = default_nuisance()
    nuisance.update(
        texture_period=(6.0, 12.0),
        texture_contrast=(0.04, 0.12),
        pixel_noise=0.03,
        path_length=(11.0, 17.0),
        sprite_size=(8.0, 11.0),
        sprite_contrast=(0.3, 0.5),
        speck_radius=(2.0, 4.5),
        speck_travel=12.0,
        camera_pan=7.0,
        colour_spread=0.1,
    )
    with nuisance.unlocked():
        nuisance.update(
            speckle_contrast=(0.08, 0.12),  # root mean square, luma
            warmth=0.25,  # red above and blue below grey, of a warm sprite
            camera_zoom=0.12,  # the most that the logarithm of sizes changes
            camera_turn=0.12,  # radians, the most in a segment
            camera_tilt=0.05,  # the most that near and far differ, by the middle
            camera_shake=0.3,  # pixels, deviation from frame to frame
        )
    return nuisance


def segment_shares(
    config: ml_collections.ConfigDict, class_index: int
) -> dict[str, float]:
    """Returns what the segments of a web video show, for the video's real class.

    Args:
        config: A world, as `default_config` gives it.
        class_index: Index of the video's real class.

    Returns:
        The share of each of `world.SEGMENT_KINDS`, in their order.
    """
    sibling = config.sibling_shares[class_index // 2 % len(config.motions)]
    background, filler = config.background_share, config.filler_share
    return {
        world.ACTION: max(0.0, 1 - sibling - background - filler),
        world.SIBLING: sibling,
        world.BACKGROUND: background,
        world.FILLER: filler,
    }


def check_config(config: ml_collections.ConfigDict) -> None:
    """Checks a whole config before any work.

    Raises:
        ValueError: If a key is unknown or missing, or a value is impossible; the
            message names the key, what was found and what was expected.
    """
    kind = config.get("kind", _OMNI)
    known = f"one of {_KINDS}, or no such key for other worlds"
    _check(kind in _KINDS, "kind", kind, known)
    expected = _OF_KIND.get(config.get("kind"), default_config)()
    _check_keys("config", config, expected)
    for key in ("nuisance", *_SHARES):
        if key in expected:
            _check_keys(key, config[key], expected[key])
    for key in (key for key in _COUNTS if key in expected):
        valid = isinstance(config[key], int) and config[key] > 0
        _check(valid, key, config[key], "a positive integer")
    seed, size, crf = config.seed, config.frame_size, config.crf
    _check(isinstance(seed, int) and seed >= 0, "seed", seed, "an integer >= 0")
    _check(size % 2 == 0, "frame_size", size, "an even number (yuv420p halves colour)")
    _check(0 <= crf <= 51, "crf", crf, "a number of 0..51")
    presets = encoding.PRESETS
    _check(config.preset in presets, "preset", config.preset, f"one of {presets}")
    _check_motions(config)
    _check_shares(config)
    _check_nuisance(config.nuisance, expected.nuisance, size)
    if is_omni(config):
        _check_omni(config)
    if has_posts(config):
        _check_posts(config)


def _check_omni(config: ml_collections.ConfigDict) -> None:
    quality = config.jpeg_quality
    _check(1 <= quality <= 100, "jpeg_quality", quality, "a number of 1..100")
    for key, most in (("typical_share", 1), ("copy_share", 0.5)):
        _check(0 <= config[key] <= most, key, config[key], f"0..{most}")
    for key, most in (("copy_crop", 0.5), ("copy_gain", 2.0)):
        low, high = config[key]
        expected = f"(low, high) with 0 <= low <= high <= {most}"
        _check(0 <= low <= high <= most, key, config[key], expected)
    tilt = config.nuisance.camera_tilt
    _check(tilt < 0.5, "nuisance.camera_tilt", tilt, "less than 0.5")


def _check_posts(config: ml_collections.ConfigDict) -> None:
    _check(config.tail >= 0, "tail", config.tail, "a number >= 0")
    lengths, shares = config.lengths, config.length_shares
    valid = lengths and all(isinstance(n, int) and n > 0 for n in lengths)
    _check(valid, "lengths", lengths, "positive integers")
    valid = len(shares) == len(lengths) and min(shares) >= 0
    expected = f"a share >= 0 for each of the lengths {lengths} that sum to 1"
    valid = valid and abs(sum(shares) - 1) < 1e-9
    _check(valid, "length_shares", shares, expected)
    extra = config.extra_share
    _check(0 <= extra <= 1, "extra_share", extra, "0..1")


def _check_motions(config: ml_collections.ConfigDict) -> None:
    pairs = config.motions
    valid = pairs and all(
        len(pair) == 2 and pair[0] != pair[1] and set(pair) <= set(world.MOTIONS)
        for pair in pairs
    )
    _check(valid, "motions", pairs, f"pairs of two different ones of {world.MOTIONS}")
    found = config.sibling_shares
    wanted = f"one share for each of the {len(pairs)} pairs of motions"
    _check(len(found) == len(pairs), "sibling_shares", found, wanted)


def _check_shares(config: ml_collections.ConfigDict) -> None:
    _check(0 <= config.query_error <= 1, "query_error", config.query_error, "0..1")
    for sibling in config.sibling_shares:
        shares = (sibling, config.background_share, config.filler_share)
        _check(
            min(shares) >= 0 and sum(shares) <= 1 + 1e-9,
            "sibling_shares, background_share and filler_share",
            shares,
            "shares >= 0 that sum to 1 at most",
        )
    for key in (key for key in _SHARES if key in config):
        shares = config[key].to_dict()
        # A post may have all kinds of hashtags.
        total = max if key == "tag_shares" else sum
        valid = min(shares.values()) >= 0 and total(shares.values()) <= 1 + 1e-9
        _check(valid, key, shares, f"shares >= 0 whose {total.__name__} is at most 1")
    if "codec_shares" in config and config.codec_shares.vp9:
        # Else a rounded time would put a segment's first frame before its start.
        valid = 1000 * config.frames_per_segment % config.frame_rate == 0
        expected = (
            "one that gives segments of whole milliseconds, in which WebM counts; or "
            f"set codec_shares.vp9 to 0 (frames_per_segment is "
            f"{config.frames_per_segment})"
        )
        _check(valid, "frame_rate", config.frame_rate, expected)


def _check_nuisance(nuisance: Mapping, defaults: Mapping, frame_size: int) -> None:
    for key, default in defaults.items():
        value = nuisance[key]
        if isinstance(default, tuple):
            valid = len(value) == 2 and 0 <= value[0] <= value[1]
            expected = "(low, high) with 0 <= low <= high"
        elif isinstance(default, int):
            valid = isinstance(value, int) and value >= 0
            expected = "an integer >= 0"
        else:
            valid, expected = value >= 0, "a number >= 0"
        _check(valid, f"nuisance.{key}", value, expected)
    growth = nuisance.growth
    _check(growth[0] >= 1, "nuisance.growth", growth, "factors of 1 or more")
    largest = nuisance.sprite_size[1]
    needed = max(nuisance.path_length[1] + largest, largest * growth[1] ** 0.5)
    expected = f"at least {needed:g}, so that the largest sprite is seen all the way"
    _check(needed <= frame_size, "frame_size", frame_size, expected)


def _check_keys(name: str, found: Mapping, expected: Mapping) -> None:
    """Raises ValueError unless both have the same keys."""
    unknown = sorted(set(found) - set(expected))
    missing = sorted(set(expected) - set(found))
    if unknown or missing:
        raise ValueError(
            f"{name}: unknown keys {unknown}, missing keys {missing}; "
            f"expected {sorted(expected)}"
        )


def _check(condition: object, key: str, found: object, expected: str) -> None:
    """Raises ValueError that says what a config's key must be, unless it holds."""
    if not condition:
        raise ValueError(f"{key}: got {found!r}, expected {expected}")
