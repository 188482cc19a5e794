"""
What a token costs, by the algorithm of its key: to sign, to verify, and to refuse.

    python benchmarks/tokens.py

An attacker sends what costs most: a token with our own header and a signature that does not fit ("forged"), one as long as we
read any ("forged, longest"), and one that names a key which is not known.  None of them asks Redis.  The ratio is that of the
worst to a genuine one; the longest is compared with the longest that we mint ourselves, whose claims fill their 4 KB.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from _common import CLAIMS, Contender, facts, parser, run_rounds, show, spread, write
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from asgi_tokenguard import Key, KeySet, Lifetimes
from asgi_tokenguard.core.claims import MAX_CLAIMS, dump_claims
from asgi_tokenguard.core.records import Head, Record
from asgi_tokenguard.tokens import MAX_TOKEN, Codec, Fault

SECRET = "a secret of more than thirty-two bytes, for benchmarks only"
SID = "01HF7YAT00C1NP6X5D30R30C9M"
TARGET = 2
KINDS: dict[str, Callable[[], Any]] = {
    "HS256": lambda: SECRET,
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "PS256": lambda: rsa.generate_private_key(65537, 2048),
}
HEAD = Head(
    gen=3,
    access_jti=bytes(16),
    refresh_jti=bytes(range(16)),
    access_issued=1_700_000_060,
    refresh_issued=1_700_000_000,
    seen=True,
    mark=1_700_000_000_000,
    absolute=1_707_776_000,
    auth_time=1_700_000_000,
)


def key_of(algorithm: str) -> Key:
    made = KINDS[algorithm]()
    if not isinstance(made, str):
        made = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Key(made, algorithm=algorithm)


def work(algorithm: str) -> dict[str, Callable[[], object]]:
    """What is done once in each row, by its name."""
    codec, other = (Codec(KeySet([key_of(algorithm)]), Lifetimes()) for _ in range(2))
    record, large = (Record(head=HEAD, claims=dump_claims(claims)) for claims in (CLAIMS, {"x": "y" * (MAX_CLAIMS - 10)}))
    mint = partial(codec.access_token, "user-1", SID, record)
    genuine, longest = mint(), codec.access_token("user-1", SID, large)
    header, body, signature = genuine.split(".")
    wrong = f"{signature[:10]}{'B' if signature[10] == 'A' else 'A'}{signature[11:]}"
    filler = "A" * ((MAX_TOKEN - len(header) - len(signature) - 2) // 4 * 4)
    asked = {
        "genuine": genuine,
        "longest": longest,
        "forged": f"{header}.{body}.{wrong}",
        "forged, longest": f"{header}.{filler}.{signature}",
        # Of a key that this process does not have: its header is parsed, to tell it from a forged one.
        "unknown key": Codec(KeySet([Key("another secret, of more than thirty-two bytes")]), Lifetimes()).access_token(
            "u", SID, record
        )
        if algorithm == "HS256"
        else other.access_token("u", SID, record),
    }
    for name, token in asked.items():
        if isinstance(codec.read_access(token), Fault) == (name in {"genuine", "longest"}):
            raise SystemExit(f"{algorithm}: {name} is not what it is called")
    return {"mint": mint} | {name: partial(codec.read_access, token) for name, token in asked.items()}


def contender(name: str, deed: Callable[[], object], times: int) -> Contender:
    async def measure() -> None:
        for _ in range(times):
            deed()

    return Contender(name, measure)


async def main() -> None:
    asked = parser(__doc__, rounds=60, requests=200).parse_args()
    rounds, times = (3, 20) if asked.quick else (asked.rounds, asked.requests)
    measured = {name: [contender(deed, work, times) for deed, work in work(name).items()] for name in KINDS}
    await run_rounds([each for row in measured.values() for each in row], rounds=rounds, requests=times)
    rows = []
    for name, row in measured.items():
        found = {each.name: each for each in row}
        us = {deed: each.median for deed, each in found.items()}
        rows.append(
            {
                "name": name,
                "mint_us": round(us["mint"], 1),
                "genuine_us": round(us["genuine"], 1),
                "middle_half": spread(found["genuine"].rounds),
                "forged_us": round(us["forged"], 1),
                "unknown_us": round(us["unknown key"], 1),
                "longest_us": round(us["longest"], 1),
                "longest_forged_us": round(us["forged, longest"], 1),
                "ratio": round(max(us["forged"] / us["genuine"], us["unknown key"] / us["genuine"]), 2),
                "ratio_longest": round(us["forged, longest"] / us["longest"], 2),
            }
        )
    setting = facts("none")
    print(f"Python {setting['python']}, {rounds} rounds of {times}\n")
    columns = {"name": "", "mint_us": "µs to sign", "genuine_us": "genuine", "forged_us": "forged", "unknown_us": "unknown key"}
    columns |= {
        "longest_us": "longest",
        "longest_forged_us": "longest, forged",
        "ratio": "ratio",
        "ratio_longest": "of longest",
    }
    show(rows, columns)
    write({"benchmark": "tokens", **setting, "rounds": rounds, "requests": times, "target": TARGET, "rows": rows}, asked.json)


if __name__ == "__main__":
    asyncio.run(main())
