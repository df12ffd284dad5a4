"""Tiny rendered worlds, read back by other means than the project's own."""

import csv

import av
import numpy as np

from experiments.synthetic import render

LUMA = np.array([0.299, 0.587, 0.114])


def tiny_config(world="fa", **overrides):
    """World FA or FW of 84 videos, all of them whole and in H.264."""
    config = render.world_config(world)
    config.update(
        {
            "target_clips_per_class": 2,
            "validation_clips_per_class": 1,
            "web_videos_per_class": 2,
            "segments_per_video": 3,
            "frame_size": 32,
            "codec_shares": dict.fromkeys(config.codec_shares, 0.0),
            "damage_shares": dict.fromkeys(config.damage_shares, 0.0),
        }
    )
    config.update(overrides)
    return config


def tiny_omni_config(**overrides):
    """World omni of 48 target clips and 72 web files, some of them near-copies."""
    config = render.world_config("omni")
    config.update(
        {
            "target_clips_per_class": 2,
            "validation_clips_per_class": 2,
            "web_images_per_class": 2,
            "web_short_per_class": 2,
            "web_untrimmed_per_class": 2,
            "segments_per_video": 3,
            "copy_share": 0.1,
        }
    )
    config.update(overrides)
    return config


def tiny_posts_config(**overrides):
    """World hashtags of 40 posts, whose hashtags are right and name all."""
    config = render.world_config("hashtags")
    config.update(
        {
            "target_clips_per_class": 1,
            "validation_clips_per_class": 1,
            "posts": 40,
            "lengths": (1, 3),
            "length_shares": (0.6, 0.4),
            "query_error": 0.0,
            "extra_share": 0.0,
            "tag_shares": dict.fromkeys(config.tag_shares, 1.0),
            "codec_shares": dict.fromkeys(config.codec_shares, 0.0),
            "damage_shares": dict.fromkeys(config.damage_shares, 0.0),
            "bad_shares": dict.fromkeys(config.bad_shares, 0.0),
        }
    )
    config.update(overrides)
    return config


def read_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def decode(path):
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    return np.stack(frames)


def decode_luma(path):
    return decode(path).astype(np.float64) @ LUMA / 255


def sprite_weight(luma):
    """How much each pixel of float [T, H, W] differs from the background, if clearly"""
    difference = np.abs(luma - np.median(luma, axis=(1, 2), keepdims=True))
    return np.where(difference > 0.12, difference, 0)


def sprite_rise(luma):
    """Pixels that the brightest or darkest blob of float [T, H, W] moves upwards."""
    weight = sprite_weight(luma).sum(axis=2)
    if np.any(weight.sum(axis=1) == 0):
        return None
    rows = np.arange(luma.shape[1])
    height = (weight * rows).sum(axis=1) / weight.sum(axis=1)
    return height[0] - height[-1]
