r"""Writes the search queries of a web dataset: class names in several languages.

python -m tfrecords_tools.make_queries --classes=classes.txt \
    --languages=en,fr,es,pt --translations=translations.csv --output=queries.csv

`translations.csv` has a column `en` with the class names and a column for each other
language. `--soccernet` gives the ten queries of SPL's WebS4 (arXiv 2101.03713, section
4.1) instead, in `--languages=en,fr,es` without a file; the translations of these are
ours. The output has the columns `query,label,language`; `make_manifest --format=yt_dlp
--queries=queries.csv` gives the label of a query to the videos that it found.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
from absl import flags

from spl_tf import binary, clips
from spl_tf.clips.remote import usable_path
from spl_tf.labels import parse_class_names
from tfrecords_tools.conversion.manifest import read_text
from tfrecords_tools.manifest_formats.annotations import read_columns
from tfrecords_tools.manifest_formats.soccernet_labels import (
    BACKGROUND,
    CARD,
    GOAL,
    SUBSTITUTION,
)

_ENGLISH = "en"
# Label, English, French and Spanish.
_SOCCERNET = (
    (GOAL, "free kick goal", "but sur coup franc", "gol de tiro libre"),
    (GOAL, "corner kick goal", "but sur corner", "gol de córner"),
    (GOAL, "own goal", "but contre son camp", "gol en propia puerta"),
    (GOAL, "overhead kick goal", "but sur retourné acrobatique", "gol de chilena"),
    (GOAL, "last-minute goal", "but à la dernière minute", "gol en el último minuto"),
    (GOAL, "ghost goal", "but fantôme", "gol fantasma"),
    (CARD, "red card", "carton rouge", "tarjeta roja"),
    (CARD, "yellow card", "carton jaune", "tarjeta amarilla"),
    (
        SUBSTITUTION,
        "substitution of players",
        "remplacement de joueurs",
        "sustitución de jugadores",
    ),
    (
        BACKGROUND,
        "soccer full match",
        "match de football complet",
        "partido de fútbol completo",
    ),
)
# The label and the texts by language.
_SOCCERNET_TOPICS = [
    (label, {_ENGLISH: english, "fr": french, "es": spanish})
    for label, english, french, spanish in _SOCCERNET
]


class Query(NamedTuple):
    """A text to search for, and the class of what it finds."""

    query: str
    label: str
    language: str


def make_queries(
    output: str,
    languages: Sequence[str],
    classes: str = "",
    translations: str = "",
    soccernet: bool = False,
) -> tuple[list[Query], list[Query]]:
    """Writes the queries as a CSV, language by language within each class.

    Args:
        output: CSV file to write.
        languages: Codes of the languages, in their order in the file; of a class's
            equal texts the first language's stays.
        classes: Classes file; the English query of a class is its name.
        translations: CSV with the column `en` and one for each other language; not
            needed for English alone.
        soccernet: The ten queries of WebS4 instead; without `translations` ours.

    Returns:
        The queries written, and those left out as another language has the same text
        for the same class.

    Raises:
        ValueError: A translation is missing, a file is malformed, or two classes have
            one query; the message names it.
    """
    if soccernet == bool(classes):
        raise ValueError("give either --classes or --soccernet")
    if not languages or len(set(languages)) < len(languages) or "" in languages:
        raise ValueError(f"--languages is {list(languages)}, expected each one once")
    if output in (classes, translations):
        raise ValueError(f"--output is {output}, which is read")
    for path in filter(None, (output, classes, translations)):
        usable_path(path)
    topics = _SOCCERNET_TOPICS if soccernet else _class_topics(classes)
    queries, repeated = _translate(topics, languages, translations)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([Query._fields, *queries])
    tf.io.gfile.makedirs(os.path.dirname(output) or ".")
    clips.write_atomically(output, text.getvalue().encode())
    return queries, repeated


def _translate(
    topics: Sequence[tuple[str, dict[str, str]]],
    languages: Sequence[str],
    translations: str,
) -> tuple[list[Query], list[Query]]:
    """The queries of all topics, and those that repeat one of the same class."""
    known = _read_translations(translations, languages) if translations else {}
    queries: list[Query] = []
    repeated: list[Query] = []
    first: dict[str, Query] = {}
    for label, texts in topics:
        english = texts[_ENGLISH]
        texts = {**texts, **known.get(english, {})}
        for language in languages:
            if not texts.get(language):
                raise ValueError(
                    f"{translations or '--translations'} has no text in {language!r} "
                    f"for {english!r}"
                )
            query = Query(texts[language], label, language)
            other = first.setdefault(query.query, query)
            if other.label != label:
                raise ValueError(
                    f"{query.query!r} would be the query of {other.label!r} in "
                    f"{other.language!r} and of {label!r} in {language!r}"
                )
            (queries if other is query else repeated).append(query)
    return queries, repeated


def _class_topics(classes: str) -> list[tuple[str, dict[str, str]]]:
    names = parse_class_names(read_text(classes).encode(), classes)
    return [(name, {_ENGLISH: name}) for name in names]


def _read_translations(
    path: str, languages: Sequence[str]
) -> dict[str, dict[str, str]]:
    """The texts in other languages of each English one."""
    others = [language for language in languages if language != _ENGLISH]
    translations: dict[str, dict[str, str]] = {}
    for line, (english, *texts) in read_columns(path, (_ENGLISH, *others)):
        if english in translations:
            raise ValueError(f"{path}, line {line}: {english!r} stands there twice")
        translations[english] = dict(zip(others, texts, strict=True))
    return translations


def _define_flags() -> None:
    flags.DEFINE_string("classes", "", "Classes file, one name a line.")
    flags.DEFINE_bool("soccernet", False, "The ten queries of WebS4.")
    flags.DEFINE_list("languages", [_ENGLISH], "Languages, with commas between.")
    flags.DEFINE_string("translations", "", "CSV: a column en and one per language.")
    flags.DEFINE_string("output", None, "CSV to write.", required=True)


def main(argv: list[str]) -> None:
    """Reads the flags, writes the queries, prints how many."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    queries, repeated = make_queries(
        values.output,
        values.languages,
        values.classes,
        values.translations,
        values.soccernet,
    )
    labels = {query.label for query in queries}
    print(
        f"{values.output}: {len(queries):,} queries for {len(labels)} classes, "
        f"{len(repeated)} the same in another language"
    )


if __name__ == "__main__":
    _define_flags()
    binary.run(main)
