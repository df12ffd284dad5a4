"""SoccerNet's lists of the matches of a split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from spl_tf.text_files import composed
from tfrecords_tools.conversion.manifest import read_text
from tfrecords_tools.manifest_formats.annotations import read_json


def read_match_lists(split_lists: Sequence[str]) -> dict[str, str]:
    """Reads which split each match belongs to.

    Args:
        split_lists: SPLIT=FILE each. A file is `SoccerNetGamesTrain.json` and the like
            (league, season, list of matches), `listgame_Train_300.npy` and the like, or
            a text file; the last two hold one `<league>/<season>/<match>` an entry.

    Returns:
        The split of each match `<league>/<season>/<match>`, composed (NFC), in the
        files' order.

    Raises:
        ValueError: A file cannot be read, or names a match for the second time.
    """
    splits: dict[str, str] = {}
    for item in split_lists:
        split, equals, path = item.partition("=")
        if not (split and equals and path):
            raise ValueError(f"--split_lists={item}: expected SPLIT=FILE")
        number = 0
        for number, match in enumerate(_read_list(path), start=1):
            name = composed(match.strip().strip("/"))
            if name in splits:
                raise ValueError(
                    f"{path}, match {number}: {name!r} is already in {splits[name]!r}"
                )
            splits[name] = split
        if not number:
            raise ValueError(f"{path} names no match")
    return splits


def _read_list(path: str) -> Iterator[str]:
    if path.endswith(".json"):
        yield from _read_games(path)
    elif path.endswith(".npy"):
        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                matches = np.load(file, allow_pickle=False)
        except (ValueError, tf.errors.OpError) as error:
            raise ValueError(f"{path}: no NumPy array of names: {error}") from error
        yield from (str(match) for match in matches.ravel())
    else:
        yield from filter(str.strip, read_text(path).split("\n"))


def _read_games(path: str) -> Iterator[str]:
    games = read_json(path)
    try:
        for league, seasons in games.items():
            for season, matches in seasons.items():
                if not isinstance(matches, list):
                    raise TypeError(f"{season} is {matches!r}")
                yield from (f"{league}/{season}/{match}" for match in matches)
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f"{path}: expected league, season and a list of matches ({error})"
        ) from error
