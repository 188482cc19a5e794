"""A session as a row, and text as databases take it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.truth import LOGIN, session

from asgi_tokenguard.events.rows import as_read, escape, row_of, unescape

ODD = st.text(st.sampled_from("\0␀␛ab\N{COMBINING ACUTE ACCENT}"))


@given(st.one_of(st.text(), ODD))
@example("␛␀")
@example("\0\0")
@settings(deadline=None, database=None)
def test_every_text_comes_back_and_holds_no_nul(text):
    escaped = escape(text)
    assert "\0" not in escaped
    assert text == unescape(escaped)


@given(ODD, ODD)
@settings(deadline=None, database=None)
def test_no_two_texts_are_stored_alike(one, other):
    assert (one == other) == (escape(one) == escape(other))


@given(st.one_of(st.text(), ODD))
@settings(deadline=None, database=None)
def test_it_is_never_longer_than_its_utf8(text):
    assert len(escape(text)) <= max(len(text.encode()), len(text))


def test_a_mark_that_someone_left_at_the_end_is_read_as_itself():
    assert "a␛" == unescape("a␛")


def test_a_row_comes_back_from_a_database_without_time_zones_and_from_one_in_another():
    row = row_of("user-1", session(1))
    elsewhere = timezone(timedelta(hours=2))
    changes = (lambda moment: moment.replace(tzinfo=None), lambda moment: moment.astimezone(elsewhere))
    for change in changes:
        stored = {name: change(value) if isinstance(value, datetime) else value for name, value in row.items()}
        assert row == as_read(stored)
        assert LOGIN.tzinfo is as_read(stored)["created_at"].tzinfo
