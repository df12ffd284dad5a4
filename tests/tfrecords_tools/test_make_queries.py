import csv

import pytest

from tests import warm_python
from tfrecords_tools.make_queries import make_hashtags, make_queries

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


def test_every_class_has_its_relevant_hashtags(tmp_path):
    (tmp_path / "classes.txt").write_text("catching a fish\nfishing\nfish\n")
    path = tmp_path / "hashtags.csv"
    flags = ["--hashtags", f"--classes={tmp_path}/classes.txt", f"--output={path}"]
    done = warm_python.run("-m", "tfrecords_tools.make_queries", *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"{path}: 9 hashtags for 3 classes, 1 of several labels, e.g. #fish: fishing, "
        "fish\n"
    )
    assert written(path) == [
        ["query", "label", "language"],
        ["#catchingafish", "catching a fish", "en"],
        ["#catchafish", "catching a fish", "en"],
        ["#catchingfish", "catching a fish", "en"],
        ["#catchfish", "catching a fish", "en"],
        ["#fishcatching", "catching a fish", "en"],
        ["#fishcatch", "catching a fish", "en"],
        ["#fishing", "fishing", "en"],
        ["#fish", "fishing", "en"],
        ["#fish", "fish", "en"],
    ]


def test_hashtags_of_other_languages_have_their_stems(tmp_path):
    (tmp_path / "classes.txt").write_text("run\n")
    (tmp_path / "t.csv").write_text("en,de\nrun,laufende Hunde\n")
    classes, translations = str(tmp_path / "classes.txt"), str(tmp_path / "t.csv")
    output = str(tmp_path / "h.csv")
    found, shared = make_hashtags(output, ["en", "de"], classes, translations)
    assert {("#run", "en"), ("#laufendehunde", "de"), ("#hundlaufend", "de")} <= {
        (query.query, query.language) for query in found
    }
    assert {query.label for query in found} == {"run"}
    assert not shared
    with pytest.raises(
        ValueError, match=r"has 'xx', but --hashtags has stemmers for d"
    ):
        make_hashtags(output, ["xx"], classes)


def test_pairs_that_occur_in_posts_are_labels(tmp_path):
    for name, content in {
        "verbs.txt": "catch\nride\nplay\n",
        "nouns.txt": "fish\nhorse\ngolf ball\n",
        "posts.csv": "id,hashtags\n1,CatchingFish horseride\n2,ridinghorse\n3,fish\n",
    }.items():
        (tmp_path / name).write_text(content)
    verbs, nouns, posts = (
        str(tmp_path / name) for name in ("verbs.txt", "nouns.txt", "posts.csv")
    )
    output = str(tmp_path / "h.csv")
    found, _ = make_hashtags(output, verbs=verbs, nouns=nouns, posts=[posts])
    assert [(query.query, query.label) for query in found] == [
        ("#horseride", "ride horse"),
    ]
    (tmp_path / "verbs.txt").write_text("swim\n")
    with pytest.raises(
        ValueError, match=r"none of the 4 hashtags of .* the 1 verbs and"
    ):
        make_hashtags(output, verbs=verbs, nouns=nouns, posts=[posts])
    with pytest.raises(ValueError, match="needs --classes, or --verbs, --nouns and"):
        make_hashtags(output, verbs=verbs, nouns=nouns)
