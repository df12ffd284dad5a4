"""A dataset folder in a page of text."""

from __future__ import annotations

import collections
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from spl_tf import clips
from spl_tf.clips import keys, wire
from spl_tf.motion.flow_encoding import from_image_file

# Up to this many classes all are listed; of more, the largest and the smallest.
_MAX_CLASSES = 24
_LARGEST, _SMALLEST = 10, 5

_LONGEST_NAME = 32

# In front of what a fact says, on all lines but the first.
_INDENT = " " * 13

_HASH = re.compile(r"\b[0-9a-f]{32,}\b")


def format_summary(dataset: clips.ClipDataset, all_classes: bool = False) -> str:
    """Returns what a dataset holds: description, index, and flow of the first clip.

    Args:
        dataset: The dataset to summarise, with or without predictions.
        all_classes: List every class, however many there are.
    """
    lines = [dataset.directory]
    lines += [f"  {name:<10} {text}" for name, text in _facts(dataset)]
    lines += ["", *_class_table(dataset, all_classes)]
    if dataset.info.skipped:
        lines += ["", *_skipped_table(dataset.info.skipped)]
    return "\n".join(lines)


def _facts(dataset: clips.ClipDataset) -> Iterator[tuple[str, str]]:
    info, index = dataset.info, dataset.index
    total = int(index.length.sum())
    yield (
        "clips",
        f"{_plural(len(index), 'clip')} in {_plural(len(info.shards), 'shard')}, "
        f"{_bytes(total)}",
    )
    yield "labels", f"{info.label_kind}, {_plural(len(info.class_names), 'class')}"
    settings = _flat({k: v for k, v in info.source.items() if k != "flow"})
    yield "made by", _source(settings)
    if not len(index):
        return
    frames = _spread(index.frames, "{:,g}".format)
    yield "frames", f"{frames} a clip, {index.frames.sum():,} in all"
    rate = settings.get("fps")
    if rate:
        yield (
            "seconds",
            f"{_spread(index.frames / rate, '{:.4g}'.format)} a clip at {rate:g} fps, "
            f"{index.frames.sum() / rate / 3600:,.2f} hours in all",
        )
    yield "records", f"{_spread(index.length, _bytes)} each"
    sizes = [shard["num_bytes"] for shard in info.shards]
    yield "shards", f"{_spread(sizes, _bytes)} each"
    yield "teacher", _teacher(dataset)
    yield "skipped", f"{len(info.skipped):,}"
    yield "flow", _flow(dataset)


def _flat(source: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings inside settings on one level."""
    flat = {}
    for key, value in source.items():
        flat |= _flat(value) if isinstance(value, dict) else {key: value}
    return flat


def _source(settings: dict[str, Any]) -> str:
    parts = [str(settings.get("tool", "unknown"))]
    for key, value in settings.items():
        if key != "tool" and value not in ("", None):
            # Hashes of the inputs tell them apart by their first digits, too.
            text = _HASH.sub(lambda match: f"{match[0][:8]}…", str(value))
            parts.append(f"{key}={text}")
    return textwrap.fill(
        " ".join(parts), 88, initial_indent=_INDENT, subsequent_indent=_INDENT
    ).lstrip()


def _teacher(dataset: clips.ClipDataset) -> str:
    index = dataset.index
    seen = index.teacher >= 0
    count = int(seen.sum())
    if not count:
        return "no predictions"
    agree = int((index.teacher == index.label)[seen].sum())
    details = dataset.info.teacher or {}
    origin = "".join(
        f", {key} {details[key]}" for key in ("checkpoint", "top_k") if key in details
    )
    return (
        f"predictions in {count:,} of {len(index):,} clips{origin}; agrees with the "
        f"label in {agree / count:.1%} (noise ratio {1 - agree / count:.1%})"
    )


def _flow(dataset: clips.ClipDataset) -> str:
    """How flow was found, and of which size it is in the first clip."""
    how = dataset.info.source.get("flow", {})
    try:
        with dataset.reader() as reader:
            record = reader.read(0)
        _, lists = wire.example_parts(record, 0, len(record))
        images = wire.step_values(record, lists, keys.FLOW_ENCODED)
        if not images:
            return "none in the first clip, which should have it" if how else "none"
        height, width, _ = from_image_file(images[0]).shape
    except (ValueError, OSError) as error:
        return f"that of the first clip cannot be read: {error}"
    size = f"{height} x {width}, {_bytes(sum(map(len, images)))} in the first clip"
    if not how:
        return f"{size}; how it was found is not known"
    quality = f" of quality {how['quality']}" if "quality" in how else ""
    return (
        f"{how['method']}, up to {how['max_flow']:g} pixels, {how['format']}{quality}, "
        f"{size}"
    )


def _class_table(dataset: clips.ClipDataset, all_classes: bool) -> Iterator[str]:
    names, index = dataset.info.class_names, dataset.index
    size = len(names)
    counts = np.bincount(index.label, minlength=size)
    with_teacher = index.teacher >= 0
    agree = np.bincount(
        index.label[with_teacher & (index.teacher == index.label)], minlength=size
    )
    predicted = np.bincount(index.label[with_teacher], minlength=size)
    yield (
        f"clips per class: min {counts.min():,}, median {np.median(counts):,.6g}, max "
        f"{counts.max():,}; {_plural(int((counts == 0).sum()), 'class')} without a clip"
    )

    def rows(classes: Sequence[int]) -> list[list[str]]:
        return [
            [
                str(label),
                _shortened(names[label]),
                f"{counts[label]:,}",
                f"{counts[label] / max(len(index), 1):.1%}",
                f"{agree[label] / predicted[label]:.1%}" if predicted[label] else "",
            ]
            for label in classes
        ]

    header = ["class", "name", "clips", "share"]
    header.append("teacher agrees" if predicted.any() else "")
    if all_classes or size <= _MAX_CLASSES:
        yield from _table(header, rows(range(size)))
        return
    order = np.argsort(-counts, kind="stable")
    gap = ["", f"... {size - _LARGEST - _SMALLEST:,} more", "", "", ""]
    largest, smallest = order[:_LARGEST], order[-_SMALLEST:]
    yield from _table(header, [*rows(largest), gap, *rows(smallest)])


def _skipped_table(skipped: Sequence[dict[str, str]]) -> Iterator[str]:
    kinds = collections.defaultdict(list)
    for entry in skipped:
        kinds[entry.get("kind", "unknown")].append(entry)
    yield "skipped, by kind:"
    rows = [
        [f"{len(kinds[kind]):,}", kind, _example(kinds[kind][0])]
        for kind in sorted(kinds, key=lambda kind: (-len(kinds[kind]), kind))
    ]
    yield from _table(["files", "kind", "for example"], rows, left=(1, 2))


def _example(entry: dict[str, str]) -> str:
    # A file's name can hold anything, so it is quoted.
    place = entry.get("clip") or entry.get("video", "")
    return f"{place!r}: {' '.join(entry['reason'].split())}"


def _table(
    header: list[str], rows: list[list[str]], left: Sequence[int] = (1,)
) -> Iterator[str]:
    """Yields lines; the columns in `left` are aligned on the left."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            f"{cell:<{width}}" if column in left else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield ("  " + "  ".join(cells)).rstrip()


def _spread(values, form) -> str:
    low, middle, high = np.min(values), np.median(values), np.max(values)
    if low == high:
        return form(low)
    return f"min {form(low)}, median {form(middle)}, max {form(high)}"


def _bytes(count: float) -> str:
    power = min(int(np.log10(max(count, 1))) // 3, 4)
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def _plural(count: int, noun: str) -> str:
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{ending}"


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
