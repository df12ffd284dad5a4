"""Hashtags: how they are compared, and which a label has (IG-65M, section 3.1)."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator

# Letters, marks and digits; what else a hashtag may hold: "_", and the joiners of
# Persian, Hindi and other scripts.
_KINDS = "LMN"
_OTHERS = "_\u200c\u200d"
# Of more words, not all orders are made: seven have 5,040, times the forms of each.
_MOST_WORDS = 5
# Left out in "#catchfish" of "catching a fish" (3.1); the list is ours.
SMALL_WORDS = frozenset(
    (
        *("a", "an", "and", "at", "by", "for", "from", "in", "into", "of", "off"),
        *("on", "or", "out", "over", "the", "to", "up", "with"),
    )
)


def normalized(text: str) -> str:
    """Text as hashtags are compared: Unicode's form NFKC, case-folded."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded)


def hashtag_of(text: str) -> str:
    """A hashtag, with or without its "#", as they are compared; without the "#".

    Blanks fall out, as of tags that are words with blanks between.
    """
    joined = "".join(normalized(text).split())
    # Once more: a mark may have stood behind a blank.
    return normalized(joined).lstrip("#")


def hashtags_in(text: str) -> list[str]:
    """The #words of a text as hashtags are compared, without "#", in their order."""
    _, *parts = normalized(text).split("#")
    found = ("".join(itertools.takewhile(_belongs, part)) for part in parts)
    return [word for word in found if word]


def words_of(text: str) -> list[str]:
    """The words of a label, as hashtags are compared: "person's" is one."""
    text = normalized(text).replace("'", "").replace("\u2019", "")
    spaced = (letter if _belongs(letter) else " " for letter in text)
    return "".join(spaced).split()


def relevant_hashtags(
    seed: str,
    stem: Callable[[str], str],
    small_words: Collection[str] = SMALL_WORDS,
) -> list[str]:
    """All hashtags that mean a label, "relevant_hashtags" of section 3.1.

    Every word as it is and stemmed, in the label's order with the small words, and in
    all orders without them: of "catching a fish" catchingafish, catchafish,
    catchingfish, catchfish, fishcatching and fishcatch. Labels of more than five words
    that are not small keep their order.

    Args:
        seed: The label.
        stem: Gives a word's stem.
        small_words: Words that may be left out.

    Returns:
        The hashtags without "#", each once; that of the label as it is comes first.
    """
    words = words_of(seed)
    large = [word for word in words if word not in small_words] or words
    orders = [large]
    if len(large) <= _MOST_WORDS:
        orders = itertools.permutations(large)
    joined = [
        "".join(forms)
        for order in (words, *orders)
        for forms in itertools.product(
            *(
                [word] if word in small_words else dict.fromkeys((word, stem(word)))
                for word in order
            )
        )
    ]
    return list(dict.fromkeys(joined))


def pairs_of(
    hashtags: Iterable[str],
    verbs: Collection[str],
    nouns: Collection[str],
    stem: Callable[[str], str],
) -> Iterator[tuple[str, str]]:
    """Finds the hashtags that are a verb and a noun, in either order (3.1.1).

    Those that occur are taken apart; most of all pairs never occur.

    Args:
        hashtags: Those that occur, as `hashtag_of` gives them.
        verbs: Labels, of which every relevant hashtag counts.
        nouns: Likewise.
        stem: Gives a word's stem.

    Yields:
        A hashtag and the label "verb noun"; several times, if it can be read so.
    """
    of_verb, of_noun = (_labels_by_hashtag(labels, stem) for labels in (verbs, nouns))
    for hashtag in hashtags:
        for cut in range(1, len(hashtag)):
            left, right = hashtag[:cut], hashtag[cut:]
            for verb, noun in ((left, right), (right, left)):
                for pair in itertools.product(
                    of_verb.get(verb, ()), of_noun.get(noun, ())
                ):
                    yield hashtag, " ".join(pair)


def _labels_by_hashtag(
    labels: Iterable[str], stem: Callable[[str], str]
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for label in labels:
        for hashtag in relevant_hashtags(label, stem):
            found.setdefault(hashtag, []).append(label)
    return found


def _belongs(letter: str) -> bool:
    return unicodedata.category(letter)[0] in _KINDS or letter in _OTHERS
