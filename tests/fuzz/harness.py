"""What harnesses share."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
NAMES = ("addresses", "cookies", "credentials", "paths", "proofs", "tokens", "urls")


class Broken(Exception):
    """A parser has broken a promise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness:
    """One parser's; *outcomes* are those that its corpus must reach, or it would search a corner only."""

    name: str
    check: Callable[[bytes], str]
    words: tuple[bytes, ...]
    outcomes: frozenset[str]

    @property
    def corpus(self) -> Path:
        return CORPUS / self.name

    def saved(self) -> Iterator[bytes]:
        for file in sorted(self.corpus.iterdir()):
            yield file.read_bytes()


def harness(name: str) -> Harness:
    module = importlib.import_module(f"fuzz.{name}")
    return Harness(name=name, check=module.check, words=module.WORDS, outcomes=frozenset(module.OUTCOMES))


def hold(promise: object, words: str, *facts: object) -> None:
    """Raise unless *promise* holds; no assert, which `python -O` leaves out."""
    if not promise:
        raise Broken(f"{words}: {', '.join(map(repr, facts))}")


def raises(error: type[Exception], call: Callable[[], object]) -> bool:
    """Whether *call* raises *error*; anything else that it raises is a finding."""
    try:
        call()
    except error:
        return True
    return False


def headers(data: bytes, names: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """A line of *data* for each header: the first byte chooses one of *names*, the rest is the value."""
    known = tuple(names)
    return [(known[line[0] % len(known)], line[1:]) for line in data.split(b"\n") if line]
