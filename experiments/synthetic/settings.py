"""Configs of the synthetic worlds: their keys, their values, and the checks of both."""

from __future__ import annotations

from collections.abc import Mapping

import ml_collections

from experiments.synthetic import encoding, world

# What is known of them, and where the numbers come from, is in LOG.md.
WORLDS = ("fa", "fw")

_COUNTS = (
    "target_clips_per_class",
    "validation_clips_per_class",
    "web_videos_per_class",
    "segments_per_video",
    "frames_per_segment",
    "frame_rate",
    "frame_size",
)


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


def world_config(name: str) -> ml_collections.ConfigDict:
    """Returns the config of a world by its name, one of `WORLDS`.

    Raises:
        ValueError: If there is no such world.
    """
    _check(name in WORLDS, "world", name, f"one of {WORLDS}")
    return {"fa": default_config, "fw": fw_config}[name]()


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


def segment_shares(
    config: ml_collections.ConfigDict, class_index: int
) -> dict[str, float]:
    """Returns what the segments of a web video show, for the video's real class.

    Args:
        config: A world, as `default_config` gives it.
        class_index: The class.

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
    expected = default_config()
    _check_keys("config", config, expected)
    for key in ("nuisance", "codec_shares", "damage_shares"):
        _check_keys(key, config[key], expected[key])
    for key in _COUNTS:
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
    _check_nuisance(config.nuisance, size)


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
    for key in ("codec_shares", "damage_shares"):
        shares = config[key].to_dict()
        valid = min(shares.values()) >= 0 and sum(shares.values()) <= 1 + 1e-9
        _check(valid, key, shares, "shares >= 0 that sum to 1 at most")
    if config.codec_shares.vp9:
        # Else a rounded time would put a segment's first frame before its start.
        valid = 1000 * config.frames_per_segment % config.frame_rate == 0
        expected = (
            "one that gives segments of whole milliseconds, in which WebM counts; or "
            f"set codec_shares.vp9 to 0 (frames_per_segment is "
            f"{config.frames_per_segment})"
        )
        _check(valid, "frame_rate", config.frame_rate, expected)


def _check_nuisance(nuisance: ml_collections.ConfigDict, frame_size: int) -> None:
    for key, default in default_nuisance().items():
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
