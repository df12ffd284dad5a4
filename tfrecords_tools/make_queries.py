r"""Writes the search queries of a web dataset: class names in several languages.

python -m tfrecords_tools.make_queries --classes=classes.txt \
    --languages=en,fr,es,pt --translations=translations.csv --output=queries.csv

`translations.csv` has a column `en` with the class names and a column for each other
language. `--soccernet` gives the ten queries of SPL's WebS4 (arXiv 2101.03713, section
4.1) instead, in `--languages=en,fr,es` without a file; the translations of these are
ours. The output has the columns `query,label,language`; `make_manifest --format=yt_dlp
--queries=queries.csv` gives the label of a query to the videos that it found.

With `--hashtags` the queries are the relevant hashtags of each class (IG-65M, arXiv
1905.00561, 3.1): of "catching a fish" #catchingafish, #catchfish, #fishcatching, ... A
label space of verbs, or of nouns, is made of a list of them as `--classes`; one of
pairs (3.1.1) of both lists, with the pairs that occur in posts:

    --hashtags --verbs=verbs.txt --nouns=nouns.txt --posts=posts.csv

`make_manifest --format=hashtags --queries=hashtags.csv` gives posts their labels.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import snowballstemmer
import tensorflow as tf
from absl import flags

from spl_tf import binary, clips
from spl_tf.clips.remote import usable_path
from spl_tf.labels import parse_class_names
from spl_tf.labels.hashtags import SMALL_WORDS, pairs_of, relevant_hashtags
from tfrecords_tools.conversion.manifest import read_text
from tfrecords_tools.manifest_formats.annotations import read_columns
from tfrecords_tools.manifest_formats.posts import read_posts
from tfrecords_tools.manifest_formats.soccernet_labels import (
    BACKGROUND,
    CARD,
    GOAL,
    SUBSTITUTION,
)

_ENGLISH = "en"
_STEMMERS = {
    "da": "danish",
    "de": "german",
    _ENGLISH: "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
}
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
    _check(output, languages, classes, translations)
    topics = _SOCCERNET_TOPICS if soccernet else _class_topics(classes)
    queries, repeated = _translate(topics, languages, translations)
    _write(output, queries)
    return queries, repeated


def make_hashtags(
    output: str,
    languages: Sequence[str] = (_ENGLISH,),
    classes: str = "",
    translations: str = "",
    verbs: str = "",
    nouns: str = "",
    posts: Sequence[str] = (),
) -> tuple[list[Query], dict[str, list[str]]]:
    """Writes relevant hashtags as a CSV of queries: of classes, or of pairs that occur.

    Args:
        output: CSV file to write.
        languages: Codes of the languages; see `make_queries`.
        classes: Classes file, the seed labels; empty for pairs.
        translations: See `make_queries`.
        verbs: For pairs, a file of English verbs, one a line; the label is "verb noun".
        nouns: Likewise of nouns.
        posts: Files of posts whose hashtags may be a verb and a noun, see
            `tfrecords_tools.manifest_formats.posts`.

    Returns:
        The hashtags written, and the labels of each hashtag that has several: a post
        with it gets them all.

    Raises:
        ValueError: As `make_queries`; there is no stemmer for a language, or no pair
            occurs.
    """
    of_pairs = (verbs, nouns, posts)
    if bool(classes) == any(of_pairs) or any(of_pairs) != all(of_pairs):
        raise ValueError("--hashtags needs --classes, or --verbs, --nouns and --posts")
    _check(output, languages, classes, translations, *of_pairs[:2], *posts)
    stems = {language: _stemmer(language) for language in languages}
    if classes:
        topics = _class_topics(classes)
        seeds, _ = _translate(topics, languages, translations)
        found = list(_class_hashtags(seeds, stems))
    else:
        names = [parse_class_names(read_text(p).encode(), p) for p in (verbs, nouns)]
        occur = {
            tag for path in posts for post in read_posts(path) for tag in post.hashtags
        }
        pairs = set(pairs_of(occur, *names, _stemmer(_ENGLISH)))
        in_order = sorted(pairs, key=lambda pair: pair[::-1])
        found = [Query(f"#{tag}", label, _ENGLISH) for tag, label in in_order]
        if not found:
            raise ValueError(
                f"none of the {len(occur):,} hashtags of {list(posts)} is one of the "
                f"{len(names[0]):,} verbs and one of the {len(names[1]):,} nouns"
            )
    labels: dict[str, list[str]] = {}
    for query in found:
        labels.setdefault(query.query, []).append(query.label)
    _write(output, found)
    return found, {tag: names for tag, names in labels.items() if len(names) > 1}


def _class_hashtags(
    seeds: Iterable[Query], stems: Mapping[str, Callable[[str], str]]
) -> Iterator[Query]:
    """The hashtags of labels, each once per label."""
    seen = set()
    for seed in seeds:
        small_words = SMALL_WORDS if seed.language == _ENGLISH else ()
        for tag in relevant_hashtags(seed.query, stems[seed.language], small_words):
            if (tag, seed.label) not in seen:
                seen.add((tag, seed.label))
                yield Query(f"#{tag}", seed.label, seed.language)


def _stemmer(language: str) -> Callable[[str], str]:
    if language not in _STEMMERS:
        raise ValueError(
            f"--languages has {language!r}, but --hashtags has stemmers for "
            f"{', '.join(_STEMMERS)}"
        )
    return snowballstemmer.stemmer(_STEMMERS[language]).stemWord


def _check(output: str, languages: Sequence[str], *inputs: str) -> None:
    if not languages or len(set(languages)) < len(languages) or "" in languages:
        raise ValueError(f"--languages is {list(languages)}, expected each one once")
    if output in inputs:
        raise ValueError(f"--output is {output}, which is read")
    for path in filter(None, (output, *inputs)):
        usable_path(path)


def _write(output: str, queries: Iterable[Query]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([Query._fields, *queries])
    tf.io.gfile.makedirs(os.path.dirname(output) or ".")
    clips.write_atomically(output, text.getvalue().encode())


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
    flags.DEFINE_bool("hashtags", False, "The relevant hashtags of the classes.")
    flags.DEFINE_string("verbs", "", "Of --hashtags of pairs: verbs, one a line.")
    flags.DEFINE_string("nouns", "", "Of --hashtags of pairs: nouns, one a line.")
    flags.DEFINE_multi_string(
        "posts", [], "Of --hashtags of pairs: posts in which they occur; repeat."
    )
    flags.DEFINE_list("languages", [_ENGLISH], "Languages, with commas between.")
    flags.DEFINE_string("translations", "", "CSV: a column en and one per language.")
    flags.DEFINE_string("output", None, "CSV to write.", required=True)


def main(argv: list[str]) -> None:
    """Reads the flags, writes the queries, prints how many."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    if not values.hashtags and (values.verbs or values.nouns or values.posts):
        raise ValueError("--verbs, --nouns and --posts are for --hashtags alone")
    if values.hashtags and values.soccernet:
        raise ValueError("give either --hashtags or --soccernet")
    if values.hashtags:
        queries, shared = make_hashtags(
            values.output,
            values.languages,
            values.classes,
            values.translations,
            values.verbs,
            values.nouns,
            values.posts,
        )
        examples = (f", e.g. {tag}: {', '.join(shared[tag])}" for tag in shared)
        note = f"{len(shared):,} of several labels{next(examples, '')}"
    else:
        queries, repeated = make_queries(
            values.output,
            values.languages,
            values.classes,
            values.translations,
            values.soccernet,
        )
        note = f"{len(repeated)} the same in another language"
    kind = "hashtags" if values.hashtags else "queries"
    labels = {query.label for query in queries}
    print(f"{values.output}: {len(queries):,} {kind} for {len(labels)} classes, {note}")


if __name__ == "__main__":
    _define_flags()
    binary.run(main)
