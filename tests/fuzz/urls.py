"""`core/local_urls.py` and the ids of sessions in `core/records.py`: what a link may name."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from asgi_tokenguard.core.local_urls import MOST, is_local, local_url, next_in, with_next
from asgi_tokenguard.core.records import is_session_id, ulid_bytes, ulid_text
from fuzz.harness import hold

_SITE = "https://app.example/login"
# Crockford's base 32 in 26 characters; the first tells no more than three bits, of 128 in all.
_ID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII)

WORDS = (
    b"next=", b"&", b"%2F", b"%5C", b"%09", b"%00", b"//evil.example", b"/\\evil.example", b"https:", b"javascript:", b"@",
    b"?", b"#", b"/..", b"/me", b"01ARZ3NDEKTSV4RRFFQ69G5FAV",
)  # fmt: skip
OUTCOMES = ("local", "not local", "an id")


def check(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    named = next_in(data)
    hold(named is None or is_local(named), "on to another site", named)
    path, _, query = data.partition(b"?")
    made = local_url(path.decode("utf-8", "surrogateescape"), query)
    hold(made is None or is_local(made), "it writes what it would not read", made)
    hold(next_in(with_next("/login", made).partition("?")[2].encode()) == made, "it does not read its own writing", made)
    if _check_id(text):
        return "an id"
    if not is_local(text):
        return "not local"
    _check_local(text)
    return "local"


def _check_local(url: str) -> None:
    """A local URL stays on its site for a browser and for one that is generous (URL standard, sections 4.1 and 4.4)."""
    generous = url.replace("\\", "/").translate(dict.fromkeys(map(ord, "\t\n\r"))).strip(" ")
    for read in (url, generous):
        joined = urlsplit(urljoin(_SITE, read))
        hold((joined.scheme, joined.netloc) == ("https", "app.example"), "on to another site", url)
    hold(url.isascii() and url.isprintable() and len(url) <= MOST and url.startswith("/"), "it could split a header", url)
    hold(urlsplit(url).fragment == "", "a fragment", url)
    hold(next_in(with_next("/login", url).partition("?")[2].encode()) == url, "it does not read its own writing", url)


def _check_id(text: str) -> bool:
    is_id = _ID.fullmatch(text) is not None
    hold(is_session_id(text) == is_id, "an id of another form", text)
    raw = ulid_bytes(text)
    hold((raw is not None) == is_id, "an id of another form", text)
    if raw is not None:
        hold(len(raw) == 16 and ulid_text(raw) == text, "it does not read its own writing", text)
    return is_id
