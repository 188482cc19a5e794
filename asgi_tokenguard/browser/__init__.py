"""
The browser's side: `tokenguard.js`, which is served below the mounted endpoints and packed for npm by this folder.

What is served is the file without its comment lines, which are for readers; nothing else is done to it.  See
`docs/browser.md`.
"""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from hashlib import sha384
from importlib.resources import files
from typing import Final


def _served(source: str) -> str:
    # Whole lines only: to find a comment behind code one would have to understand the language.
    return "".join(line for line in source.splitlines(keepends=True) if line.strip() and not line.lstrip().startswith("//"))


SCRIPT: Final = _served((files(__package__) / "tokenguard.js").read_text("utf-8")).encode()
# The Subresource Integrity standard's own examples use SHA-384.
_DIGEST: Final = sha384(SCRIPT).digest()
# 96 bits: nobody gains by a collision of their own files, and the address stays short.
VERSION: Final = urlsafe_b64encode(_DIGEST[:12]).decode()


def integrity() -> str:
    """
    The value of `integrity=` for `<script type="module">` or an import map, of the client as this version serves it.

    Without it a page trusts whatever the server sends, as it does for itself; with it also another origin or a CDN.
    """
    return f"sha384-{b64encode(_DIGEST).decode()}"


def address(endpoints: str = "/auth") -> str:
    """
    Where the client of this very version is below *endpoints*, for caches to keep for ever.

    *endpoints* is the option of that name, behind the root path where the app is mounted in another one.  An upgrade changes
    the address; without its `?v=` it stays, and is asked for anew each time.
    """
    return f"{endpoints.rstrip('/')}/client.js?v={VERSION}"
