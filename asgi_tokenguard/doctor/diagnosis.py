"""Why a server cannot be asked, in a sentence with a remedy."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final
from urllib.parse import SplitResult, urlsplit

from asgi_tokenguard.errors import ConfigurationError, StoreUnavailable
from asgi_tokenguard.store.examination import LOGIN_REFUSED, LOST, PATIENCE, Facts

# A server on the next computer answers within milliseconds; a person has waited `PATIENCE` by now.
LOOK_SECONDS: Final = 1.0
CHECK: Final = "check the URL, and that the server runs"
CHECK_TLS: Final = "; ssl_ca_certs is who signed its certificate, ssl_certfile and ssl_keyfile are yours, where it wants one"


async def why_not(url: str, error: StoreUnavailable) -> ConfigurationError:
    """What keeps the server at *url* from answering."""
    cause, parts = error.__cause__, urlsplit(url)
    elsewhere = "".join(f"{node}: " for node in getattr(cause, "__notes__", ()))
    if isinstance(cause, LOGIN_REFUSED):
        return _refusal(f"{elsewhere}{cause}", "check user and password; each server has users of its own")
    is_here = not elsewhere and parts.hostname is not None
    if is_here and isinstance(cause, LOST) and (other := await _other_way(parts)):
        return other
    is_late = isinstance(cause, TimeoutError)
    problem = f"it does not answer within {PATIENCE:g} s" if is_late else f"{type(cause).__name__}: {cause}"
    return _refusal(elsewhere + problem, CHECK + (CHECK_TLS if parts.scheme == "rediss" else ""))


async def _other_way(parts: SplitResult) -> ConfigurationError | None:
    """What to write where the server speaks TLS and the URL does not, or the reverse."""
    address = parts.hostname or "", parts.port or 6379
    if parts.scheme == "rediss":
        plain = _refusal("the server speaks no TLS on that port", "begin the URL with redis://, or name the TLS port")
        return plain if await _speaks_plainly(*address) else None
    return (
        _refusal("the server speaks TLS on that port", "begin the URL with rediss://") if await _speaks_tls(*address) else None
    )


def is_sentinel(facts: Facts) -> ConfigurationError:
    """What to ask in place of the Sentinel of *facts*."""
    watched = [told for name, told in facts.said.items() if name.startswith("master") and isinstance(told, dict)]
    named = ", ".join(f"{told['name']}: redis://{told['address']}" for told in watched)
    return _refusal("this is a Sentinel, which keeps no sessions", f"give the URL of a primary that it watches ({named})")


def _refusal(problem: str, remedy: str) -> ConfigurationError:
    return ConfigurationError("redis", problem, remedy)


async def _speaks_plainly(host: str, port: int) -> bool:
    """Whether a PING without user and password is answered, be it by a refusal."""
    return (await _first_byte(host, port, None)) in {b"+", b"-"}


async def _speaks_tls(host: str, port: int) -> bool:
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE  # nothing secret is said
    return await _first_byte(host, port, anybody) is not None


async def _first_byte(host: str, port: int, tls: ssl.SSLContext | None) -> bytes | None:
    """The first byte of the answer to PING, empty where the connection ends before one; None where there is no connection."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    except (OSError, TimeoutError):  # ssl.SSLError is one of the first
        return None
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            writer.write(b"PING\r\n")
            return await reader.read(1)
    except (OSError, TimeoutError):
        return b""
    finally:
        writer.transport.abort()
