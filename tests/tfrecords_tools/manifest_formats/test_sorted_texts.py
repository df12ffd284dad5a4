"""Sorted texts in a file, against lists and dictionaries of them."""

import collections

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrecords_tools.manifest_formats import sorted_texts
from tfrecords_tools.manifest_formats.sorted_texts import SortedTexts, TextTable

TEXTS = st.lists(
    st.text(st.sampled_from("a/é.\n😀\udcff"), min_size=1, max_size=4), max_size=40
)


@pytest.mark.parametrize("run", [3, 1000])
@given(texts=TEXTS)
@settings(max_examples=60, deadline=None)
def test_texts_are_those_of_a_sorted_list(run, texts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorted_texts, "_RUN", run)
        found = SortedTexts(iter(texts))
    in_order = sorted(texts, key=lambda text: text.encode("utf-8", "surrogateescape"))
    assert list(found) == in_order
    assert len(found) == len(texts)
    assert all(text in found for text in texts)
    assert ("b" in found, "aa/aa" in found) == (False, False)


@given(texts=TEXTS.filter(bool))
@settings(max_examples=60, deadline=None)
def test_a_key_finds_its_texts_in_order(texts):
    found = SortedTexts(texts)
    table, expected = (
        TextTable(found, lambda text: text[1:]),
        collections.defaultdict(list),
    )
    for text in found:
        expected[text[1:]].append(text)
    for key in [*expected, "nothing"]:
        assert table.find(key) == (expected[key] if key else [])
