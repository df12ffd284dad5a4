"""The annotation file of a SoccerNet match."""

from __future__ import annotations

import re
from typing import NamedTuple

from tfrecords_tools.manifest_formats.annotations import read_json

# As in figure 8 of SPL (arXiv 2101.03713); SoccerNet's own code has another order.
BACKGROUND, CARD, GOAL, SUBSTITUTION = CLASS_NAMES = (
    "Background",
    "Yellow/Red Card",
    "Goal",
    "Substitution",
)
# The words of Labels.json and of Labels-v2.json.
_CLASS_OF = {
    "soccer-ball": GOAL,
    "soccer-ball-own": GOAL,
    "y-card": CARD,
    "r-card": CARD,
    "yr-card": CARD,
    "substitution-in": SUBSTITUTION,
    "Goal": GOAL,
    "Yellow card": CARD,
    "Red card": CARD,
    "Yellow->red card": CARD,
    "Substitution": SUBSTITUTION,
}
# Events of Labels-v2.json that are none of the classes.
_OTHER_EVENTS = frozenset(
    (
        "Ball out of play",
        "Clearance",
        "Corner",
        "Direct free-kick",
        "Foul",
        "Indirect free-kick",
        "Kick-off",
        "Offside",
        "Penalty",
        "Shots off target",
        "Shots on target",
        "Throw-in",
    )
)
_GAME_TIME = re.compile(r"([12]) - (\d{1,3}):([0-5]?\d)")


class Event(NamedTuple):
    """An annotation of a game: what happens, and when.

    Attributes:
        name: What the annotation file calls the event.
        label: The class; empty for an event that is known to belong to none, the name
            itself for an unknown one.
        half: Half of the game, "1" or "2".
        seconds: When it happens, in seconds of the half's video.
    """

    name: str
    label: str
    half: str
    seconds: int


def read_events(path: str) -> list[Event]:
    """Reads `Labels.json` or `Labels-v2.json`.

    Raises:
        ValueError: It is no such file, or an annotation has no label or time; the
            message names the annotation, counted from 1.
    """
    content = read_json(path)
    annotations = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(annotations, list):
        raise ValueError(f"{path} has no list 'annotations'")
    return [
        _read_event(f"{path}, annotation {number}", annotation)
        for number, annotation in enumerate(annotations, start=1)
    ]


def _read_event(where: str, annotation: object) -> Event:
    if not isinstance(annotation, dict):
        raise ValueError(f"{where}: {annotation!r} is no annotation")
    name, game_time = annotation.get("label"), annotation.get("gameTime")
    match = _GAME_TIME.fullmatch(game_time) if isinstance(game_time, str) else None
    if not match:
        raise ValueError(
            f"{where}: gameTime is {game_time!r}, expected half and time as '1 - 12:34'"
        )
    if not isinstance(name, str) or not name:
        raise ValueError(f"{where}: the label is {name!r}")
    half, minutes, seconds = match.groups()
    label = "" if name in _OTHER_EVENTS else _CLASS_OF.get(name, name)
    return Event(name, label, half, 60 * int(minutes) + int(seconds))
