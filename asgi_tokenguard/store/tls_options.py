"""What a URL says of TLS.  redis-py takes any name, and fails with a `TypeError` at its first connection."""

from __future__ import annotations

import os
from difflib import get_close_matches
from inspect import signature
from typing import Final
from urllib.parse import parse_qs, urlsplit

from redis.asyncio.connection import SSLConnection

from asgi_tokenguard.errors import ConfigurationError

PREFIX: Final = "ssl_"
KNOWN: Final = tuple(name for name in signature(SSLConnection.__init__).parameters if name.startswith(PREFIX))
# Without them redis-py says "No such file or directory", and not which.
PATHS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_path")


def check_tls_options(url: str) -> None:
    """Raise `ConfigurationError` where *url* sets what TLS has not, names files that cannot be read, or is without TLS."""
    parts = urlsplit(url)
    # Nothing else of the URL is shown: it has the password.
    given = {name: values[-1] for name, values in parse_qs(parts.query).items() if name.startswith(PREFIX)}
    for name in given:
        if name not in KNOWN:
            near = get_close_matches(name, KNOWN, 1)
            remedy = f"did you mean {near[0]}?" if near else f"what there is: {', '.join(KNOWN)}"
            raise ConfigurationError("redis", f"the URL sets {name[:40]!r}, which TLS has not", remedy)
    if given and parts.scheme != "rediss":
        problem = f"the URL sets {min(given)!r}, but {parts.scheme}:// is without TLS"
        raise ConfigurationError("redis", problem, "begin it with rediss://, or take that out")
    for name in PATHS:
        if name in given and not os.access(given[name], os.R_OK):
            problem = f"{given[name]!r}, which the URL gives as {name}, cannot be read"
            raise ConfigurationError("redis", problem, "check the path, and that this user may read it")
