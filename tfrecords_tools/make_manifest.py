r"""Makes the manifest of a dataset from the files that it is distributed with.

python -m tfrecords_tools.make_manifest --format=kinetics --video_root=k400 \
    --annotations=train.csv --annotations=val.csv \
    --output=k400.csv --classes_output=classes.txt

writes what `convert_videos` and `convert_images` read (`--manifest`, `--classes`,
`--video_root` and, for one of its splits, `--split`). The formats are kinetics, ucf101,
hmdb51, epic_kitchens, something_something, sports1m, soccernet, clothing1m, yt_dlp,
img2dataset, search_folders, hashtags and folders; each reader in
`tfrecords_tools/manifest_formats` says which files it takes. A listed video that is not
on disk is left out; everything left out is counted, and named in `--left_out_output`.

`--exclude=OTHER.csv` takes out every video of another manifest: those with the same
media id, or with the same YouTube id in the media id or the file name.
"""

from __future__ import annotations

import collections
import contextlib
import csv
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import tensorflow as tf
from absl import flags

from spl_tf import binary, clips
from spl_tf.clips.remote import usable_path
from spl_tf.labels import parse_class_names
from spl_tf.progress import shown
from tfrecords_tools.conversion import options
from tfrecords_tools.conversion.manifest import read_text, root_of
from tfrecords_tools.conversion.streams import writing
from tfrecords_tools.manifest_formats import FORMATS, FileIndex, ManifestSettings
from tfrecords_tools.manifest_formats.chosen_entries import select
from tfrecords_tools.manifest_formats.listing import Entry

_COLUMNS = ("video", "label", "start", "end", "media_id", "split")
# Written where an entry has them.
_MORE_COLUMNS = ("more_labels", "duration")
_LEFT_OUT_COLUMNS = ("source", "line", "name", "label", "split", "reason")
_LISTED, _IN_MANIFEST = "listed", "in manifest"
_SHOWN_NAMES = 5


@dataclasses.dataclass(frozen=True)
class ManifestSummary:
    """What `make_manifest` wrote.

    Attributes:
        class_names: Names of the classes, in index order.
        counts: By split, the numbers of entries "listed", "in manifest", and left out
            for each reason.
        examples: By reason, the first entry that was left out for it.
        unused_classes: Names of the classes without a row.
        notes: What the format's reader found worth telling.
    """

    class_names: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    examples: dict[str, str]
    unused_classes: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def num_rows(self) -> int:
        """Number of the manifest's rows, over all splits."""
        return sum(counts[_IN_MANIFEST] for counts in self.counts.values())

    def table(self) -> str:
        """The counts per split as text, and an example for each reason."""
        reasons = list(self.examples)
        heads = ["split", _LISTED, _IN_MANIFEST, *reasons]
        rows = [heads]
        for split, counts in self.counts.items():
            cells = [f"{counts.get(name, 0):,}" for name in heads[1:]]
            rows.append([split or "(all)", *cells])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in rows
        ]
        lines += [f"{reason}, e.g. {self.examples[reason]}" for reason in reasons]
        if self.unused_classes:
            names = ", ".join(self.unused_classes[:_SHOWN_NAMES])
            lines.append(
                f"{len(self.unused_classes)} classes without a row, e.g. {names}"
            )
        return "\n".join([*lines, *self.notes])


def make_manifest(
    format_name: str,
    video_root: str,
    output: str,
    classes_output: str,
    annotations: Sequence[str] = (),
    classes: str = "",
    exclude: Sequence[str] = (),
    left_out_output: str = "",
    settings: ManifestSettings | None = None,
) -> ManifestSummary:
    """Writes the manifest and the classes file of a dataset.

    Args:
        format_name: How the dataset is distributed, a key of
            `manifest_formats.FORMATS`.
        video_root: Folder of the videos or images; the manifest's paths are relative to
            it.
        output: The manifest to write, see `tfrecords_tools.conversion.manifest`.
        classes_output: The classes file to write, one name a line.
        annotations: The dataset's own files; which, its reader says.
        classes: A classes file whose order is taken; the distribution's when empty.
        exclude: Manifests whose videos must not enter.
        left_out_output: CSV to write of all that is left out and why; none when empty.
        settings: How the reader reads and what is chosen; None for the defaults.

    Raises:
        ValueError: A file, an entry or a setting is wrong, or nothing is left; the
            message names the file and the line. No manifest is written then.
    """
    settings = settings or ManifestSettings()
    _check_format(format_name, settings)
    _check_paths(
        [output, classes_output, left_out_output], [*annotations, classes, *exclude]
    )
    usable_path(video_root)
    class_names = None
    if classes:
        class_names = parse_class_names(read_text(classes).encode(), classes)
    files = FileIndex(video_root)
    listing = FORMATS[format_name].read(files, annotations, settings)
    class_names = class_names or listing.class_names
    if settings.splits:
        _check_splits(settings, {entry.split for entry in listing.entries})

    def selected() -> Iterator[Entry]:
        known = class_names, exclude, settings, classes, listing.marks_repeats
        return select(listing.entries, *known)

    summary, more = _summarize(selected(), class_names, listing.notes)
    if not summary.num_rows:
        raise ValueError(
            f"nothing of what {format_name} lists can enter the manifest; --video_root "
            f"is {video_root}, --splits {settings.splits!r}\n{summary.table()}"
        )
    if settings.extract_images:
        chosen = [entry for entry in selected() if not entry.reason]
        FORMATS[format_name].extract(files, chosen)
    with contextlib.ExitStack() as stack:  # what comes first is in its place last
        chosen = stack.enter_context(_writing_csv(output, (*_COLUMNS, *more)))
        tf.io.gfile.makedirs(os.path.dirname(classes_output) or ".")
        names = "".join(f"{name}\n" for name in class_names)
        left_out = None
        if left_out_output:
            left_out = _writing_csv(left_out_output, _LEFT_OUT_COLUMNS)
            left_out = stack.enter_context(left_out)
        total = sum(counts[_LISTED] for counts in summary.counts.values())
        for entry in shown(selected(), total, "entry", "writing the manifest"):
            write = left_out if entry.reason else chosen
            if write is not None:
                write(entry)
        clips.write_atomically(classes_output, names.encode())
    return summary


def _check_paths(outputs: Sequence[str], inputs: Sequence[str]) -> None:
    for path in (*outputs, *inputs):
        usable_path(path)
    places = [root_of(path) for path in outputs if path]
    known = {root_of(path) for path in inputs if path}
    for number, place in enumerate(places):
        if place in known or place in places[:number]:
            raise ValueError(
                f"{place} would be written over: --output, --classes_output and "
                "--left_out_output need names of their own"
            )


def _check_format(format_name: str, settings: ManifestSettings) -> None:
    if format_name not in FORMATS:
        raise ValueError(
            f"--format is {format_name!r}, expected one of {list(FORMATS)}"
        )
    users = collections.defaultdict(list)
    for name, known in FORMATS.items():
        for field in known.fields:
            users[field].append(name)
    for field in dataclasses.fields(settings):
        names = users.get(field.name, [format_name])
        if format_name not in names and getattr(settings, field.name) != field.default:
            raise ValueError(f"--{field.name} is for {', '.join(names)} alone")


def _check_splits(settings: ManifestSettings, found: set[str]) -> None:
    for split in settings.splits.split(",") if settings.splits else ():
        if split not in found:
            raise ValueError(
                f"--splits names {split!r}, which is not there; found {sorted(found)}"
            )


def _summarize(
    selected: Iterable[Entry], class_names: Sequence[str], notes: tuple[str, ...]
) -> tuple[ManifestSummary, list[str]]:
    """The summary, and the columns that are written as entries have them."""
    counts: dict[str, collections.Counter] = {}
    examples: dict[str, str] = {}
    used, more = set(), set()
    for entry in selected:
        count = counts.setdefault(entry.split, collections.Counter())
        count[_LISTED] += 1
        count[entry.reason or _IN_MANIFEST] += 1
        if entry.reason:
            if entry.reason not in examples:
                examples[entry.reason] = f"{entry.name} ({entry.where})"
        else:
            used.update(entry.labels)
            more.update(name for name in _MORE_COLUMNS if getattr(entry, name))
    unused = tuple(name for name in class_names if name not in used)
    summary = ManifestSummary(tuple(class_names), counts, examples, unused, notes)
    return summary, [name for name in _MORE_COLUMNS if name in more]


@contextlib.contextmanager
def _writing_csv(
    path: str, columns: Sequence[str]
) -> Iterator[Callable[[Entry], None]]:
    """Gives what writes the attributes of an entry that have the columns' names."""
    places = [Entry._fields.index(name) for name in columns]
    with writing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)

        def write(entry: Entry) -> None:
            try:
                writer.writerow([entry[place] for place in places])
            except UnicodeEncodeError as error:
                name = error.object[: error.end].rpartition("\n")[2]
                raise ValueError(
                    f"{path}: a file's name is not UTF-8: "
                    f"{name.encode(errors='replace')}; rename it"
                ) from error

        yield write


def _define_flags() -> None:
    flags.DEFINE_enum("format", None, list(FORMATS), "The dataset's.", required=True)
    flags.DEFINE_string("video_root", None, "Folder of the files.", required=True)
    flags.DEFINE_multi_string(
        "annotations", [], "The dataset's own file or folder; repeat for several."
    )
    flags.DEFINE_string("output", None, "Manifest to write.", required=True)
    flags.DEFINE_string("classes_output", None, "Classes to write.", required=True)
    flags.DEFINE_string("classes", "", "Classes file whose order is taken.")
    flags.DEFINE_multi_string(
        "exclude", [], "Manifest whose videos must not enter; repeat for several."
    )
    flags.DEFINE_string("left_out_output", "", "CSV to write of what is left out.")
    options.define_flags(ManifestSettings)


def main(argv: list[str]) -> None:
    """Reads the flags, makes the manifest, prints what is in it."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    summary = make_manifest(
        values.format,
        values.video_root,
        values.output,
        values.classes_output,
        values.annotations,
        values.classes,
        values.exclude,
        values.left_out_output,
        options.from_flags(ManifestSettings),
    )
    print(
        f"{values.output}: {summary.num_rows:,} rows of {len(summary.class_names)} "
        f"classes\n{summary.table()}"
    )


if __name__ == "__main__":
    _define_flags()
    binary.run(main)
