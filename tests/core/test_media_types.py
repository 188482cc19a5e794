"""Which responses an option means."""

from __future__ import annotations

import pytest

from asgi_tokenguard import ConfigurationError
from asgi_tokenguard.core.media_types import MediaTypes, has_length


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], b""),
        ([(b"content-type", b"text/event-stream")], b"text/event-stream"),
        ([(b"x-type", b"a/b"), (b"Content-Type", b" Text/Event-Stream ; charset=utf-8")], b"text/event-stream"),
        ([(b"content-type", b"a/b"), (b"content-type", b"c/d")], b"a/b"),
        ([(b"content-type", b"")], b""),
    ],
)
def test_the_type_is_read_without_case_and_parameters(headers, expected):
    assert expected == MediaTypes.parse("streams", ["*/*"]).kind(headers)


def test_a_length_is_found_without_case():
    assert has_length([(b"x", b"1"), (b"Content-Length", b"0")])
    assert not has_length([(b"content-type", b"a/b"), (b"x-content-length", b"1")])


def test_types_are_named_one_by_one_or_all_together():
    some = MediaTypes.parse("streams", ["Text/Event-Stream", "application/x-ndjson"])
    kinds = (b"text/event-stream", b"application/x-ndjson", b"a/b", b"")
    assert [kinds[0], kinds[1], None, None] == [some.kind([(b"content-type", kind)]) for kind in kinds]
    assert some.kind([]) is None
    assert b"" == MediaTypes.parse("streams", ["*/*"]).kind([])
    assert MediaTypes.parse("streams", []).kind([(b"content-type", b"text/event-stream")]) is None


@pytest.mark.parametrize("wrong", [None, 7, "a/b", ["a"], ["a/*"], ["a/b; c=d"], ["a/b\n"], [None], [b"a/b"], [""]])
def test_what_is_no_media_type_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="streams"):
        MediaTypes.parse("streams", wrong)
