import csv

import pytest

from tests import warm_python
from tfrecords_tools.make_queries import make_queries

TRANSLATIONS = """en,es,fr,note
zumba,zumba,zumba,
making pizza,haciendo pizza,"faire une pizza, maison",x
"""


def make(
    tmp_path, languages, translations=TRANSLATIONS, classes="making pizza\nzumba\n"
):
    (tmp_path / "t.csv").write_text(translations, encoding="utf-8")
    (tmp_path / "classes.txt").write_text(classes, encoding="utf-8")
    return make_queries(
        str(tmp_path / "queries.csv"),
        languages,
        str(tmp_path / "classes.txt"),
        str(tmp_path / "t.csv") if translations else "",
    )


def written(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_every_class_is_searched_in_every_language_once_per_text(tmp_path):
    queries, repeated = make(tmp_path, ["en", "fr", "es"])
    assert written(tmp_path / "queries.csv") == [
        ["query", "label", "language"],
        ["making pizza", "making pizza", "en"],
        ["faire une pizza, maison", "making pizza", "fr"],
        ["haciendo pizza", "making pizza", "es"],
        ["zumba", "zumba", "en"],
    ]
    assert len(queries) == 4
    assert [query.language for query in repeated] == ["fr", "es"]


def test_english_alone_needs_no_translations(tmp_path):
    queries, _ = make(tmp_path, ["en"], translations="")
    assert [query.query for query in queries] == ["making pizza", "zumba"]


def test_soccernet_has_ten_queries_in_three_languages(tmp_path):
    path = tmp_path / "queries.csv"
    flags = ["--soccernet", "--languages=en,fr,es", f"--output={path}"]
    done = warm_python.run("-m", "tfrecords_tools.make_queries", *flags)
    assert done.stdout == (
        f"{path}: 30 queries for 4 classes, 0 the same in another language\n"
    )
    rows = written(path)[1:]
    assert [row[2] for row in rows] == ["en", "fr", "es"] * 10
    labels = {query: label for query, label, language in rows if language == "en"}
    assert labels == {
        "free kick goal": "Goal",
        "corner kick goal": "Goal",
        "own goal": "Goal",
        "overhead kick goal": "Goal",
        "last-minute goal": "Goal",
        "ghost goal": "Goal",
        "red card": "Yellow/Red Card",
        "yellow card": "Yellow/Red Card",
        "substitution of players": "Substitution",
        "soccer full match": "Background",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"languages": ["en", "pt"]}, r"t\.csv, line 1: expected one column 'pt'"),
        ({"classes": "run\n"}, r"t\.csv has no text in 'fr' for 'run'"),
        ({"translations": ""}, "--translations has no text in 'fr' for 'making pizza'"),
        ({"translations": "en,fr\nzumba,\n"}, "no text in 'fr' for 'making pizza'"),
        (
            {"translations": "en,fr\na,b\na,c\n"},
            r"t\.csv, line 3: 'a' stands there twice",
        ),
        (
            {"translations": "en,fr\nzumba,x\nmaking pizza,x\n"},
            "'x' would be the query of 'making pizza' in 'fr' and of 'zumba' in 'fr'",
        ),
        ({"languages": ["en", "en"]}, "expected each one once"),
    ],
)
def test_faults_are_named(tmp_path, changes, message):
    arguments = {"languages": ["en", "fr"]} | changes
    with pytest.raises(ValueError, match=message):
        make(tmp_path, **arguments)
    assert not (tmp_path / "queries.csv").exists()


def test_classes_or_soccernet(tmp_path):
    with pytest.raises(ValueError, match="give either --classes or --soccernet"):
        make_queries(str(tmp_path / "q.csv"), ["en"])


def test_translations_are_found_in_both_unicode_forms_of_a_name(tmp_path):
    queries, _ = make(
        tmp_path, ["en", "fr"], "en,fr\ncre\u0302pe,pa\u0302te\n", "cr\u00eape\n"
    )
    assert [query.query for query in queries] == ["cr\u00eape", "p\u00e2te"]
