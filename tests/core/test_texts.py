"""Texts inside a record of Redis: cut between characters, read back exactly or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core.texts import LONGEST, pack_text, unpack_texts

TEXTS = st.none() | st.text(max_size=300) | st.text(st.characters(codec=None), max_size=300)


def test_none_is_not_an_empty_text():
    assert [b"\x00", b"\x01", b"\x03ab"] == [pack_text(None, 9), pack_text("", 9), pack_text("ab", 9)]
    assert [None, "", "ab"] == unpack_texts(b"\x00\x01\x03ab", 3)


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("Zürich", 1, "Z"),
        ("Zürich", 2, "Z"),  # half of the ü
        ("Zürich", 3, "Zü"),
        ("東京", 5, "東"),
        ("\N{GRINNING FACE}", 3, ""),
        ("ab", 0, ""),
        ("a\ud800b", 9, "a?b"),
        ("a" * 400, 400, "a" * LONGEST),
    ],
)
def test_a_long_text_is_cut_between_two_characters(text, limit, expected):
    assert [expected] == unpack_texts(pack_text(text, limit), 1)


@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(0, LONGEST))
@settings(deadline=None, database=None)
def test_texts_come_back_as_far_as_the_limit_lets_them(texts, limit):
    raws = [pack_text(text, limit) for text in texts]
    assert all(len(raw) <= limit + 1 for raw in raws)
    back = unpack_texts(b"".join(raws), len(texts))
    assert raws == [pack_text(text, limit) for text in back]
    for text, read in zip(texts, back, strict=True):
        whole = None if text is None else text.encode("utf-8", "replace").decode("utf-8")
        assert whole == read or whole.startswith(read)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x01", b"\x01\x01\x01", b"\x01\x02", b"\x04ab\x01", b"\x02\xff\x01", b"\x03\xed\xa0\x01", b"\x00\x00\x00", b"\xff"],
)
def test_whatever_else_is_none(raw):
    assert unpack_texts(raw, 2) is None


@given(st.binary(max_size=40), st.integers(1, 3))
@settings(deadline=None, database=None, max_examples=500)
def test_bytes_are_read_in_one_way_or_not_at_all(raw, count):
    texts = unpack_texts(raw, count)
    assert texts is None or raw == b"".join(pack_text(text, LONGEST) for text in texts)
