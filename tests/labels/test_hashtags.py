import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spl_tf.labels.hashtags import (
    hashtag_of,
    hashtags_in,
    pairs_of,
    relevant_hashtags,
    words_of,
)


def stem(word):
    return word.removesuffix("ing")


def test_the_paper_s_example():
    # Section 3.1: {#catchingafish, #catchfish, #fishcatching, ...}
    assert relevant_hashtags("catching a fish", stem) == [
        "catchingafish",
        "catchafish",
        "catchingfish",
        "catchfish",
        "fishcatching",
        "fishcatch",
    ]
    # All orders of three words, two of which have a stem: 3! * 2 * 2.
    assert len(relevant_hashtags("playing rolling ball", stem)) == 24
    assert relevant_hashtags("the", stem) == ["the"]


def test_long_labels_keep_their_order():
    found = relevant_hashtags("passing American football (not in a game) today", stem)
    assert found == [
        "passingamericanfootballnotinagametoday",
        "passamericanfootballnotinagametoday",
        "passingamericanfootballnotgametoday",
        "passamericanfootballnotgametoday",
    ]


@pytest.mark.parametrize(
    ("text", "hashtag"),
    [
        ("#CatchFish", "catchfish"),
        ("\uff03\uff23\uff41\uff54\uff43\uff48 Fish", "catchfish"),
        ("Cre\u0302pe", "crêpe"),
        ("STRASSE", "strasse"),
        ("straße", "strasse"),
        ("catch fish", "catchfish"),
    ],
)
def test_hashtags_are_compared_normalised_and_folded(text, hashtag):
    assert hashtag_of(text) == hashtag


@given(st.text(max_size=30))
@example("R\u00b8")  # a blank and a cedilla, when it is normalised
def test_a_hashtag_in_any_form_is_one(text):
    tag = hashtag_of(text)
    assert hashtag_of(tag) == tag
    assert hashtag_of(unicodedata.normalize("NFD", text)) == tag
    for found in hashtags_in(f"#{text} #x"):
        assert hashtag_of(found) == found


def test_the_tagged_words_of_a_text():
    text = "Look: #CatchFish!#fishing,#हिन्दी (#a_b) # no, C# #"
    assert hashtags_in(text) == ["catchfish", "fishing", "हिन्दी", "a_b"]
    assert words_of("massaging person's head (soft)") == [
        "massaging",
        "persons",
        "head",
        "soft",
    ]


def test_pairs_are_found_in_either_order_and_form():
    occur = ["catchfish", "golfballcatching", "catch", "fishcatchfish", "catchcatch"]
    verbs, nouns = ["catching", "fishing"], ["fish", "golf ball"]
    assert list(pairs_of(occur, verbs, nouns, stem)) == [
        ("catchfish", "catching fish"),
        ("golfballcatching", "catching golf ball"),
    ]
    # "fish" is a verb's stem and a noun.
    assert set(pairs_of(["fishfish"], verbs, nouns, stem)) == {
        ("fishfish", "fishing fish")
    }
