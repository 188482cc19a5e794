"""The JWT codec: what it mints, and every known way to make it take something else."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.forge import b64, claims_of, header_of, sign, unb64

from asgi_tokenguard.core.claims import MAX_CLAIMS, MAX_SUBJECT, AccessClaims, RefreshClaims, dump_claims
from asgi_tokenguard.core.lifetimes import Lifetimes
from asgi_tokenguard.core.records import Head, Record, ulid_text
from asgi_tokenguard.keys import Key, KeySet
from asgi_tokenguard.tokens import MAX_TOKEN, Codec, Fault

SECRET, OTHER_SECRET = "the secret of these tests, of more than 32 bytes", "another secret, of more than 32 bytes as well"
SID = "01HF7YAT00C1NP6X5D30R30C9M"
ISSUED = 1_700_000_000
HEAD = Head(
    gen=3,
    access_jti=bytes(range(16)),
    refresh_jti=bytes(range(16, 32)),
    access_issued=ISSUED + 60,
    refresh_issued=ISSUED,
    seen=True,
    mark=ISSUED * 1000,
    absolute=ISSUED + 90 * 24 * 3600,
    auth_time=ISSUED - 5,
)
RECORD = Record(head=HEAD, claims=dump_claims({"role": "admin", "name": "三郎"}))
LIFETIMES = Lifetimes()


def codec_of(*keys: Key) -> Codec:
    return Codec(KeySet(keys), LIFETIMES)


KEY = Key(SECRET)
CODEC = codec_of(KEY)
ACCESS, REFRESH = CODEC.access_token("user-1", SID, RECORD), CODEC.refresh_token("user-1", SID, RECORD)


# --- What is minted


def test_an_access_token_carries_the_session_its_generation_and_the_apps_claims():
    assert {"alg": "HS256", "kid": KEY.kid, "typ": "at+jwt"} == header_of(ACCESS)
    assert {
        "sub": "user-1",
        "sid": SID,
        "gen": 3,
        "jti": ulid_text(HEAD.access_jti),
        "iat": ISSUED + 60,
        "exp": ISSUED + 60 + 900,
        "auth_time": ISSUED - 5,
        "role": "admin",
        "name": "三郎",
    } == claims_of(ACCESS)


def test_a_refresh_token_carries_the_session_its_generation_and_no_claims():
    assert {"alg": "HS256", "kid": KEY.kid, "typ": "rt+jwt"} == header_of(REFRESH)
    assert {
        "sub": "user-1",
        "sid": SID,
        "gen": 3,
        "jti": ulid_text(HEAD.refresh_jti),
        "iat": ISSUED,
        "exp": ISSUED + 15 * 24 * 3600,
    } == claims_of(REFRESH)


def test_p10_the_last_refresh_token_ends_with_the_session():
    late = replace(RECORD, head=replace(HEAD, absolute=ISSUED + 7))
    assert ISSUED + 7 == claims_of(CODEC.refresh_token("user-1", SID, late))["exp"]


def test_what_was_minted_is_read():
    access, refresh = CODEC.read_access(ACCESS), CODEC.read_refresh(REFRESH)
    assert (
        AccessClaims(
            sub="user-1",
            sid=SID,
            jti=HEAD.access_jti,
            gen=3,
            iat=ISSUED + 60,
            exp=ISSUED + 960,
            auth_time=ISSUED - 5,
            claims={"role": "admin", "name": "三郎"},
        )
        == access
    )
    assert RefreshClaims(
        sub="user-1", sid=SID, jti=HEAD.refresh_jti, gen=3, iat=ISSUED, exp=ISSUED + 15 * 24 * 3600
    ) == refresh  # fmt: skip


def test_i7_a_token_minted_twice_is_the_same_token():
    """A redelivery needs no memory of what was sent: the record says it all, in this process and in others."""
    other = codec_of(Key(SECRET))
    assert ACCESS == CODEC.access_token("user-1", SID, RECORD) == other.access_token("user-1", SID, RECORD)
    assert REFRESH == CODEC.refresh_token("user-1", SID, RECORD) == other.refresh_token("user-1", SID, RECORD)


def test_other_jwt_libraries_read_our_tokens():
    read = jwt.decode(ACCESS, SECRET, algorithms=["HS256"], options={"verify_exp": False})
    assert claims_of(ACCESS) == read


@pytest.mark.parametrize(
    "subject", ["a" * MAX_SUBJECT, '"' * MAX_SUBJECT, "é" * (MAX_SUBJECT // 2), "\0" * 341], ids=["plain", "quotes", "é", "NUL"]
)
def test_the_largest_tokens_fit(subject):
    """
    Browsers keep 4096 bytes of a cookie's name and value (RFC 6265bis section 5.6); no access token is read above 16 KB.
    """
    full = Record(head=HEAD, claims=b'{"x":"' + b'\\"' * ((MAX_CLAIMS - 8) // 2) + b'"}')
    codec = codec_of(Key("s" * 64, algorithm="HS512", kid="k" * 64))
    access, refresh = codec.access_token(subject, SID, full), codec.refresh_token(subject, SID, full)
    assert len("__Host-refresh") + len(refresh) <= 4096
    assert subject == codec.read_access(access).sub == codec.read_refresh(refresh).sub


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    st.dictionaries(st.text("abcxyz_ é三", min_size=1), st.text() | st.integers() | st.lists(st.booleans()), max_size=3),
)
@settings(deadline=None, database=None)
def test_every_subject_and_every_claim_comes_back(subject, claims):
    try:
        dumped = dump_claims(claims)
    except ValueError:  # a lone surrogate
        return
    read = CODEC.read_access(CODEC.access_token(subject, SID, Record(head=HEAD, claims=dumped)))
    assert (subject, claims) == (read.sub, read.claims)


# --- Keys


def test_after_an_exchange_of_keys_old_tokens_count_and_new_ones_are_signed_by_the_newest():
    both = codec_of(KEY, Key(OTHER_SECRET))
    assert isinstance(both.read_access(ACCESS), AccessClaims)
    assert Key(OTHER_SECRET).kid == header_of(both.access_token("user-1", SID, RECORD))["kid"]


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_each_algorithm_mints_and_reads(algorithm):
    codec = codec_of(Key("s" * 64, algorithm=algorithm, kid="k"))
    token = codec.refresh_token("user-1", SID, RECORD)
    assert algorithm == header_of(token)["alg"]
    assert isinstance(codec.read_refresh(token), RefreshClaims)


def test_a_token_of_a_key_that_was_taken_out_is_unknown_and_not_forged():
    """Users whose last token was signed by a retired key go on with their cookie, they are no attackers."""
    newer = codec_of(Key(OTHER_SECRET))
    assert [Fault.UNKNOWN_KEY, Fault.UNKNOWN_KEY] == [newer.read_access(ACCESS), newer.read_refresh(REFRESH)]


@pytest.mark.parametrize(
    "kid",
    ["old", "", "../../dev/null", "' OR 1=1 --", "http://evil.example/key", "\0", "三郎", KEY.kid.swapcase(), KEY.kid + " "],
)
def test_no_kid_is_looked_up_anywhere_but_in_the_key_set(kid):
    """Kid injection: a path, a query or an address in `kid` is a name that we do not have."""
    header = {"alg": "HS256", "kid": kid, "typ": "at+jwt"}
    for secret in ("", SECRET, OTHER_SECRET):
        assert Fault.UNKNOWN_KEY is CODEC.read_access(sign(header, claims_of(ACCESS), secret))


def test_a_kid_names_one_key_and_no_other_is_tried():
    both = codec_of(Key(SECRET, kid="one"), Key(OTHER_SECRET, kid="two"))
    crossed = sign({"alg": "HS256", "kid": "one", "typ": "at+jwt"}, claims_of(ACCESS), OTHER_SECRET)
    assert Fault.BAD is both.read_access(crossed)


def test_p36_the_algorithm_comes_from_the_key_and_not_from_the_token():
    """Signed well with our own secret, and still refused: the header is not one that we would write."""
    codec = codec_of(Key("s" * 64, algorithm="HS512", kid="k"))
    for algorithm in ("HS256", "HS384"):
        header = {"alg": algorithm, "kid": "k", "typ": "at+jwt"}
        assert Fault.BAD is codec.read_access(sign(header, claims_of(ACCESS), "s" * 64, algorithm=algorithm))


# --- Forged headers.  Each is signed well with our secret, where there is a signature at all.

OURS = {"alg": "HS256", "kid": KEY.kid, "typ": "at+jwt"}
OUR_SEGMENT, PAYLOAD, SIGNATURE = ACCESS.split(".")
JWK = {"kty": "oct", "k": b64(SECRET.encode()), "kid": KEY.kid}
UNKNOWN = {"alg": "HS256", "kid": "gone", "typ": "at+jwt"}


def without(name: str) -> dict[str, object]:
    return {key: value for key, value in OURS.items() if key != name}


HEADERS = {
    "alg none": OURS | {"alg": "none"},
    "alg NONE": OURS | {"alg": "NONE"},
    "alg nOnE": OURS | {"alg": "nOnE"},
    "alg empty": OURS | {"alg": ""},
    "alg null": OURS | {"alg": None},
    "alg of another size": OURS | {"alg": "HS512"},
    "alg in lower case": OURS | {"alg": "hs256"},
    "alg RS256": OURS | {"alg": "RS256"},
    "alg ES256": OURS | {"alg": "ES256"},
    "alg EdDSA": OURS | {"alg": "EdDSA"},
    "alg as a list": OURS | {"alg": ["HS256"]},
    "alg as an object": OURS | {"alg": {"HS256": 1}},
    "no alg": without("alg"),
    "no kid": without("kid"),
    "kid null": OURS | {"kid": None},
    "kid as a number": OURS | {"kid": 1},
    "kid as a list": OURS | {"kid": [KEY.kid]},
    "kid as an object": OURS | {"kid": {}},
    "no typ": without("typ"),
    "typ JWT": OURS | {"typ": "JWT"},
    "typ in capitals": OURS | {"typ": "AT+JWT"},
    "typ with its media type": OURS | {"typ": "application/at+jwt"},
    "typ of the freshness token": OURS | {"typ": "fr+jwt"},
    "typ of the refresh token": OURS | {"typ": "rt+jwt"},
    "typ null": OURS | {"typ": None},
    "embedded jwk": OURS | {"jwk": JWK},
    "jku": OURS | {"jku": "https://evil.example/jwks.json"},
    "x5u": OURS | {"x5u": "https://evil.example/cert.pem"},
    "x5c": OURS | {"x5c": ["MIIB"]},
    "crit": OURS | {"crit": ["exp"]},
    "crit empty": OURS | {"crit": []},
    "b64 false": OURS | {"b64": False, "crit": ["b64"]},
    "b64 true": OURS | {"b64": True},
    "zip": OURS | {"zip": "DEF"},
    "cty": OURS | {"cty": "JWT"},
    "enc": OURS | {"enc": "A128GCM"},
    "other order": dict(reversed(OURS.items())),
    "blanks": json.dumps(OURS).encode(),
    "alg twice": b'{"alg":"none","alg":"HS256","kid":"%s","typ":"at+jwt"}' % KEY.kid.encode(),
    "escaped": json.dumps(OURS, separators=(",", ":")).replace("alg", "\\u0061lg").encode(),
    "in UTF-16": json.dumps(OURS).encode("utf-16"),
    "with a BOM": b"\xef\xbb\xbf" + json.dumps(OURS, separators=(",", ":")).encode(),
    "empty object": {},
    "a list": b"[]",
    "null": b"null",
    "a string": b'"at+jwt"',
    "a number": b"1",
    "no JSON": b"at+jwt",
    "no UTF-8": b"\xff\xfe\xfd",
    "a nested bomb": b"[" * 150,
    "empty": b"",
    "unknown kid, alg none": UNKNOWN | {"alg": "none"},
    "unknown kid, alg RS1": UNKNOWN | {"alg": "RS1"},
    "unknown kid, alg as a list": UNKNOWN | {"alg": ["HS256"]},
    "unknown kid, embedded jwk": UNKNOWN | {"jwk": JWK},
    "unknown kid, crit": UNKNOWN | {"crit": ["exp"]},
    "unknown kid, wrong type": UNKNOWN | {"typ": "rt+jwt"},
    "unknown kid, no typ": {"alg": "HS256", "kid": "gone"},
    "unknown kid of 300 letters": UNKNOWN | {"kid": "k" * 300},
    "unknown kid with its jku": UNKNOWN | {"jku": "https://evil.example/jwks.json"},
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_only_headers_that_we_would_write_are_read(header):
    assert Fault.BAD is CODEC.read_access(sign(header, claims_of(ACCESS), SECRET))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE"])
@pytest.mark.parametrize("signature", ["", SIGNATURE, "AAAA"])
def test_an_unsigned_token_is_never_read(algorithm, signature):
    segment = b64(json.dumps(OURS | {"alg": algorithm}, separators=(",", ":")).encode())
    assert Fault.BAD is CODEC.read_access(f"{segment}.{PAYLOAD}.{signature}")


def test_one_kind_of_token_is_never_taken_for_the_other():
    """RFC 8725 section 3.11: a refresh token in the header, an access token in the cookie."""
    assert [Fault.BAD, Fault.BAD] == [CODEC.read_access(REFRESH), CODEC.read_refresh(ACCESS)]
    # Nor with the other's header put before it.
    header, body, signature = REFRESH.split(".")
    assert Fault.BAD is CODEC.read_access(f"{OUR_SEGMENT}.{body}.{signature}")
    assert Fault.BAD is CODEC.read_refresh(f"{header}.{PAYLOAD}.{SIGNATURE}")


# --- Forms.  One token has one spelling.


def same_bytes_other_bits(segment: str) -> str:
    """The next character at the end: it decodes to the same bytes where the segment has bits to spare."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = segment[:-1] + alphabet[alphabet.index(segment[-1]) + 1]
    assert unb64(segment) == unb64(other)
    return other


def sign_segments(header: str, body: str) -> str:
    """A good signature over segments as they stand."""
    signed = f"{header}.{body}"
    return f"{signed}.{b64(hmac.digest(SECRET.encode(), signed.encode(), 'sha256'))}"


def test_stray_bits_make_another_token_of_the_same_bytes():
    """RFC 4648 section 3.5: decoders ignore the spare bits, so that a list of dead tokens would miss the twin."""
    assert Fault.BAD is CODEC.read_access(f"{OUR_SEGMENT}.{PAYLOAD}.{same_bytes_other_bits(SIGNATURE)}")


def test_stray_bits_in_a_payload_are_refused_under_a_good_signature():
    spares = set()
    for pad in ("", "x", "xx"):
        token = sign(OURS, claims_of(ACCESS) | {"pad": pad}, SECRET)
        body = token.split(".")[1]
        spares.add(len(body) % 4)
        assert isinstance(CODEC.read_access(token), AccessClaims)
        if len(body) % 4:
            assert Fault.BAD is CODEC.read_access(sign_segments(OUR_SEGMENT, same_bytes_other_bits(body)))
    assert {0, 2, 3} == spares  # all there are


FORMS = {
    "nothing": "",
    "a dot": ".",
    "two dots": "..",
    "three dots": "...",
    "words": "not a token",
    "no signature": f"{OUR_SEGMENT}.{PAYLOAD}",
    "empty signature": f"{OUR_SEGMENT}.{PAYLOAD}.",
    "empty payload": sign_segments(OUR_SEGMENT, ""),
    "empty header": f".{PAYLOAD}.{SIGNATURE}",
    "header alone": OUR_SEGMENT,
    "header and dots": f"{OUR_SEGMENT}..",
    "signature cut": ACCESS[:-1],
    "signature longer": ACCESS + "A",
    "signature cut to one letter": f"{OUR_SEGMENT}.{PAYLOAD}.A",
    "a fourth segment": f"{ACCESS}.{SIGNATURE}",
    "an empty fourth segment": f"{ACCESS}.",
    "five segments, as a JWE": f"{ACCESS}.{SIGNATURE}.{SIGNATURE}",
    "twice": ACCESS + ACCESS,
    "header twice": f"{OUR_SEGMENT}.{ACCESS}",
    "payload twice": f"{OUR_SEGMENT}.{PAYLOAD}.{PAYLOAD}.{SIGNATURE}",
    "two tokens with a blank": f"{ACCESS} {ACCESS}",
    "two tokens with a comma": f"{ACCESS},{ACCESS}",
    "segments swapped": f"{PAYLOAD}.{OUR_SEGMENT}.{SIGNATURE}",
    "padded signature": f"{ACCESS}=",
    "padded payload": f"{OUR_SEGMENT}.{PAYLOAD}==.{SIGNATURE}",
    "padded payload, signed": sign_segments(OUR_SEGMENT, PAYLOAD + "=" * (-len(PAYLOAD) % 4 or 4)),
    "padded header": f"{OUR_SEGMENT}=.{PAYLOAD}.{SIGNATURE}",
    "the other alphabet, signed": sign_segments(OUR_SEGMENT, b64(b"\xff\xff\xff").replace("_", "/")),
    "a blank before": f" {ACCESS}",
    "a blank after": f"{ACCESS} ",
    "a tab inside": f"{OUR_SEGMENT}.\t{PAYLOAD}.{SIGNATURE}",
    "a line feed after": f"{ACCESS}\n",
    "a line feed inside, signed": sign_segments(OUR_SEGMENT, PAYLOAD[:8] + "\n" + PAYLOAD[8:]),
    "NUL after": f"{ACCESS}\0",
    "quotes": f'"{ACCESS}"',
    "Bearer": f"Bearer {ACCESS}",
    "in upper case": ACCESS.upper(),
    "percent-encoded dots": ACCESS.replace(".", "%2e"),
    "full-width dots": ACCESS.replace(".", "\uff0e"),
    "a letter of Latin-1": ACCESS[:-3] + "é" + ACCESS[-2:],
    "Cyrillic a": f"{OUR_SEGMENT}.\u0430{PAYLOAD[1:]}.{SIGNATURE}",
    "full-width digits": ACCESS + "\uff11",
    "a lone surrogate": ACCESS + "\ud800",
    "an emoji": "👩",
    "JSON": json.dumps({"protected": OUR_SEGMENT, "payload": PAYLOAD, "signature": SIGNATURE}),
    "an array": f'["{ACCESS}"]',
    "unknown kid, no signature": b64(json.dumps(UNKNOWN).encode()) + "." + PAYLOAD,
    "unknown kid, fourth segment": sign(UNKNOWN, claims_of(ACCESS), SECRET) + ".AAAA",
    "unknown kid, padded": sign(UNKNOWN, claims_of(ACCESS), SECRET) + "=",
    "unknown kid, a stray character in its header": b64(json.dumps(UNKNOWN).encode()) + "!" + f".{PAYLOAD}.{SIGNATURE}",
    "unknown kid, a line feed in its header": "\n" + sign(UNKNOWN, claims_of(ACCESS), SECRET),
    "unknown kid, stray bits": f"{b64(json.dumps(UNKNOWN).encode())}.{PAYLOAD}.{same_bytes_other_bits(SIGNATURE)}",
    "unknown kid, garbage": b64(json.dumps(UNKNOWN).encode()) + ".!.!",
    "unknown kid, over-long": b64(json.dumps(UNKNOWN).encode()) + "." + "A" * MAX_TOKEN + ".AAAA",
}  # fmt: skip


@pytest.mark.parametrize("token", FORMS.values(), ids=FORMS)
def test_i3_a_token_has_one_form(token):
    assert Fault.BAD is CODEC.read_access(token)
    assert Fault.BAD is CODEC.read_refresh(token)


def test_tokens_longer_than_any_of_ours_are_not_even_hashed(monkeypatch):
    long = sign(OURS, claims_of(ACCESS) | {"x": "y" * MAX_TOKEN}, SECRET)
    monkeypatch.setattr(jwt.PyJWS, "decode", lambda *_, **__: pytest.fail("it was hashed"))
    assert len(long) > MAX_TOKEN
    assert Fault.BAD is CODEC.read_access(long)


def test_the_longest_token_that_is_read_has_16_kilobytes():
    spare = MAX_TOKEN - len(sign(OURS, claims_of(ACCESS) | {"x": ""}, SECRET))
    fitting = sign(OURS, claims_of(ACCESS) | {"x": "y" * (spare * 3 // 4)}, SECRET)
    assert MAX_TOKEN - 4 <= len(fitting) <= MAX_TOKEN
    assert isinstance(CODEC.read_access(fitting), AccessClaims)


# --- Payloads.  Each has our header and a good signature, as of another program that shares the secret.

CLAIMS = claims_of(ACCESS)
RAW = json.dumps(CLAIMS, separators=(",", ":")).encode()


def raw(name: str, literal: bytes) -> bytes:
    """The claims with *literal* JSON under *name*."""
    rest = {key: value for key, value in CLAIMS.items() if key != name}
    return json.dumps(rest).encode()[:-1] + b',"' + name.encode() + b'":' + literal + b"}"


PAYLOADS = {
    "no JSON": b"text",
    "empty": b" ",
    "null": b"null",
    "a list": b"[]",
    "a number": b"7",
    "a string": b'"user-1"',
    "an empty object": b"{}",
    "cut off": RAW[:-1],
    "two objects": RAW + RAW,
    "no UTF-8": RAW.replace(b"admin", b"adm\xffn"),
    "UTF-16": RAW.decode().encode("utf-16"),
    "a nested bomb": b"[" * 8_000,
    "a bomb of objects": b'{"a":' * 2_000,
    "a bomb inside": raw("x", b"[" * 5_000 + b"]" * 5_000),
    "a number of 5,000 digits": raw("exp", b"9" * 5_000),
    "a huge number": raw("exp", b"1" + b"0" * 300),
    "one more than 32 bits": raw("gen", b"4294967296"),
    "exp of 1e308": raw("exp", b"1e308"),
    "exp of 1e999": raw("exp", b"1e999"),
    "exp as a float": raw("exp", b"1700000000.0"),
    "exp NaN": raw("exp", b"NaN"),
    "exp Infinity": raw("exp", b"Infinity"),
    "exp -Infinity": raw("exp", b"-Infinity"),
    "exp negative": raw("exp", b"-1"),
    "exp as a string": raw("exp", b'"1700000960"'),
    "exp null": raw("exp", b"null"),
    "exp true": raw("exp", b"true"),
    "iat NaN": raw("iat", b"NaN"),
    "iat true": raw("iat", b"true"),
    "gen true": raw("gen", b"true"),
    "gen false": raw("gen", b"false"),
    "gen -1": raw("gen", b"-1"),
    "gen as a string": raw("gen", b'"3"'),
    "auth_time true": raw("auth_time", b"true"),
    "auth_time missing": {key: value for key, value in CLAIMS.items() if key != "auth_time"},
    "sub missing": {key: value for key, value in CLAIMS.items() if key != "sub"},
    "sub empty": raw("sub", b'""'),
    "sub as a number": raw("sub", b"1"),
    "sub as a list": raw("sub", b'["user-1"]'),
    "sub of a lone surrogate": raw("sub", b'"\\ud800"'),
    "sid in lower case": raw("sid", json.dumps(SID.lower()).encode()),
    "sid as a list": raw("sid", b"[]"),
    "jti short": raw("jti", b'"1"'),
    "jti missing": {key: value for key, value in CLAIMS.items() if key != "jti"},
}  # fmt: skip


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_i3_a_good_signature_does_not_make_a_payload_ours(payload):
    assert Fault.BAD is CODEC.read_access(sign(OURS, payload, SECRET))


@pytest.mark.parametrize(
    "payload", [b"null", b"[]", b"{}", b"text", raw("gen", b"true"), raw("exp", b"1e3"), raw("sub", b'""')]
)
def test_i3_nor_that_of_a_refresh_token(payload):
    assert Fault.BAD is CODEC.read_refresh(sign(OURS | {"typ": "rt+jwt"}, payload, SECRET))


def test_a_payload_of_ours_signed_elsewhere_is_read():
    """What the two tables above change is thus what makes them fail."""
    assert CODEC.read_access(ACCESS) == CODEC.read_access(sign(OURS, claims_of(ACCESS), SECRET))


# --- Any change at all

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
ANY_CHARACTER = st.sampled_from(LETTERS) | st.characters()


@given(st.integers(0, len(ACCESS) - 1), ANY_CHARACTER)
@settings(deadline=None, database=None, max_examples=300)
def test_a_token_with_any_character_changed_is_never_accepted(at, character):
    changed = ACCESS[:at] + character + ACCESS[at + 1 :]
    assert changed == ACCESS or isinstance(CODEC.read_access(changed), Fault)


@pytest.mark.parametrize("token", [ACCESS, REFRESH], ids=["access", "refresh"])
def test_a_token_with_any_bit_flipped_is_never_accepted(token):
    for at, character in enumerate(token):
        for bit in range(7):
            changed = token[:at] + chr(ord(character) ^ 1 << bit) + token[at + 1 :]
            assert isinstance(CODEC.read_access(changed), Fault)
            assert isinstance(CODEC.read_refresh(changed), Fault)


@given(st.integers(0, len(REFRESH)), st.integers(0, len(REFRESH)), st.text(ANY_CHARACTER, max_size=6))
@settings(deadline=None, database=None, max_examples=300)
def test_a_token_with_any_part_replaced_is_never_accepted(start, end, text):
    changed = REFRESH[:start] + text + REFRESH[end:]
    assert changed == REFRESH or isinstance(CODEC.read_refresh(changed), Fault)


@given(st.text() | st.text(LETTERS, max_size=400) | st.binary().map(lambda raw: raw.decode("latin-1")))
@settings(deadline=None, database=None, max_examples=300)
def test_i3_no_text_breaks_the_reading(text):
    assert isinstance(CODEC.read_access(text), Fault)
    assert isinstance(CODEC.read_refresh(text), Fault)


@given(st.binary(max_size=200))
@settings(deadline=None, database=None, max_examples=200)
def test_i3_no_header_breaks_the_reading(header):
    assert isinstance(CODEC.read_access(f"{b64(header)}.{PAYLOAD}.{SIGNATURE}"), Fault)
