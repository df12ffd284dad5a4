"""Settings as dataclasses, and the absl flags that set them."""

from __future__ import annotations

import dataclasses
from typing import Any

from absl import flags

# Flags belong to the binary that asks for them, whose --help then shows them.
flags.disclaim_key_flags()


def option(default: Any, help_text: str) -> Any:
    """A dataclass field with the help text of its flag."""
    return dataclasses.field(default=default, metadata={"help": help_text})


def define_flags(settings: type) -> None:
    """Defines one flag per field of a settings dataclass."""
    define = {
        str: flags.DEFINE_string,
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        tuple: flags.DEFINE_multi_string,
    }
    for field in dataclasses.fields(settings):
        kind = type(field.default)
        default = list(field.default) if kind is tuple else field.default
        define[kind](field.name, default, field.metadata["help"])


def from_flags(settings: type) -> Any:
    """Makes the settings from the flags that `define_flags` defined."""
    values = {}
    for field in dataclasses.fields(settings):
        value = getattr(flags.FLAGS, field.name)
        values[field.name] = tuple(value) if isinstance(value, list) else value
    return settings(**values)


def check(settings: Any, *rules: tuple[str, bool, str]) -> None:
    """Raises for the first rule (field, whether it holds, what is expected) broken.

    Raises:
        ValueError: Names the field and its value.
    """
    for name, holds, expected in rules:
        if not holds:
            value = getattr(settings, name)
            raise ValueError(f"{name} is {value!r}, expected {expected}")
