"""`core/paths.py`: which paths are open, whoever else reads them differently."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote_to_bytes

from asgi_tokenguard.core.paths import Openness, Paths, Patterns, is_odd
from asgi_tokenguard.errors import ConfigurationError
from fuzz.harness import hold

_PUBLIC = Patterns.parse("public", ["/login", "/static/*", "/a.b/*"])
_APP = Paths(public=_PUBLIC, optional=Patterns.parse("optional", ["/open/*"]), required=True)

WORDS = (
    b"/login",
    b"/static/",
    b"/open/",
    b"/api",
    b"//",
    b"/./",
    b"/../",
    b"%2f",
    b"%2e%2e",
    b"%5c",
    b"\\",
    b"\0",
    b"*",
    b"?",
)
OUTCOMES = ("public", "optional", "required", "patterns", "no patterns")


def check(data: bytes) -> str:
    if data[:1] == b"=":
        return _check_option(data[1:].decode("utf-8", "surrogateescape").split("\n"))
    parts = data.split(b"\n", 2)
    raw = parts[0]
    root = parts[1].decode("utf-8", "replace") if len(parts) > 1 else ""
    # The third line is a decoded path that is not of this raw one, as routers leave it.
    path = unquote_to_bytes((parts[2:] or [raw.partition(b"?")[0]])[0]).decode("utf-8", "replace")
    openness = _APP.openness(path, raw, root)
    if openness is not Openness.REQUIRED:
        _check_open(path, raw, root, openness)
    hold(_APP.openness(path, None, "") is Openness.REQUIRED or not is_odd(path, None), "an odd path opens", path)
    if _PUBLIC.opens(path, raw, root):
        hold(_PUBLIC.may_match(path, raw, root), "it opens what it cannot match", path)
    return openness.value


def _check_open(path: str, raw: bytes, root: str, openness: Openness) -> None:
    """Every reading of an open path that a server, a proxy or a router may have is open as well, and the same."""
    known = "/login", "/static/", "/a.b/" if openness is Openness.PUBLIC else ""
    expected = known if openness is Openness.PUBLIC else ("/open/",)
    below = path.removeprefix(root.rstrip("/")) if root and path != root else path
    came = unquote_to_bytes(raw.partition(b"?")[0]).decode("utf-8", "replace")
    for reading in {below, _folded(below)}:
        hold(any(_lies(reading, each) for each in expected), "another reading is closed", reading, path, root)
    hold(came in {path, below}, "the raw path is another one", path, raw, root)
    hold(b"%2f" not in raw.lower(), "an encoded slash", raw)


def _folded(path: str) -> str:
    """As a proxy would write it: dots and empty segments folded, backslashes as slashes, cut at NUL."""
    folded = posixpath.normpath(path.replace("\\", "/").partition("\0")[0])
    return folded + "/" if path.endswith("/") and folded != "/" else folded


def _lies(path: str, opened: str) -> bool:
    return path == opened or (opened.endswith("/") and path.startswith(opened))


def _check_option(values: list[str]) -> str:
    try:
        patterns = Patterns.parse("public", values)
    except ConfigurationError as error:
        hold(error.option == "public" and error.remedy, "an error that helps nobody", error)
        return "no patterns"
    for value in values:
        sample = value[:-1] + "x" if value.endswith("*") else value
        hold(patterns.opens(sample, None, ""), "a pattern that opens nothing", value)
        if value.endswith("*"):
            hold(not Patterns.parse("public", [value]).match(value[:-2]), "a folder opens its own name", value)
    return "patterns"
