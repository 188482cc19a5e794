"""Keys: what is a secret, what is none, and that it is never shown."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.keys import Key, KeySet

SECRET = "correct horse battery staple, thirty-two bytes and more"


def refusal(build, *args, **options) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        build(*args, **options)
    return caught.value


def test_a_secret_is_text_or_bytes():
    assert SECRET.encode() == Key(SECRET).signing == Key(SECRET.encode()).signing
    assert Key(SECRET).kid == Key(SECRET.encode()).kid


@pytest.mark.parametrize(("algorithm", "minimum"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_is_as_long_as_the_hash_at_least(algorithm, minimum):
    """RFC 7518 section 3.2; bytes count, not characters."""
    assert algorithm == Key("s" * minimum, algorithm=algorithm).algorithm
    assert Key("é" * (minimum // 2), algorithm=algorithm)
    error = refusal(Key, "s" * (minimum - 1), algorithm=algorithm)
    assert "secret" == error.option
    assert f"{minimum - 1} bytes, fewer than the {minimum} that {algorithm} needs" in str(error)
    assert "secrets.token_urlsafe" in error.remedy


@pytest.mark.parametrize("secret", [None, 7, True, ["s" * 32], bytearray(b"s" * 32), memoryview(b"s" * 32), object()])
def test_what_is_neither_text_nor_bytes_is_no_secret(secret):
    error = refusal(Key, secret)
    assert ("secret", "pass the secret itself") == (error.option, error.remedy)


@pytest.mark.parametrize("secret", ["", b"", "short", b"short"])
def test_p32_a_short_or_empty_secret_is_refused_and_none_is_made_up(secret):
    assert "secret" == refusal(Key, secret).option


PEM = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n"


@pytest.mark.parametrize(
    "secret",
    [
        PEM,
        PEM.encode(),
        "\n  " + PEM,
        PEM.replace("PUBLIC KEY", "CERTIFICATE"),
        PEM.replace("PUBLIC KEY", "RSA PRIVATE KEY"),
        "---- BEGIN SSH2 PUBLIC KEY ----\nAAAAB3NzaC1yc2EAAAADAQABAAAB\n---- END SSH2 PUBLIC KEY ----",
        '{"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}',
        '\n{"keys": [{"kty": "RSA", "n": "AAAA", "e": "AQAB"}]}',
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC user@host",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB user@host",
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY= user@host",
    ],
)
def test_p36_a_public_key_is_no_secret(secret):
    """Whoever knows it, and all may, could sign."""
    error = refusal(Key, secret)
    assert "secret" == error.option
    assert error.remedy.startswith("pass a random secret, or the key with its algorithm")


@pytest.mark.parametrize("algorithm", ["ES256K", "RS1", "RSA1_5", "none", "hs256", "", None, 7, ["HS256"], {"HS256": 1}])
def test_another_algorithm_is_refused_with_the_list(algorithm):
    error = refusal(Key, SECRET, algorithm=algorithm)
    assert "keys" == error.option
    assert "HS256, HS384, HS512" in error.remedy


def test_a_kid_is_derived_from_the_secret_so_that_all_processes_agree():
    command = f"from asgi_tokenguard import Key; print(Key({SECRET!r}).kid)"
    other = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert Key(SECRET).kid == other.stdout.strip()
    assert 8 == len(Key(SECRET).kid)
    assert Key(SECRET).kid != Key(SECRET + "!").kid


@pytest.mark.parametrize("kid", ["2026-10", "a", "k" * 64, 'q"\\'])
def test_a_kid_may_be_given(kid):
    assert kid == Key(SECRET, kid=kid).kid


@pytest.mark.parametrize("kid", ["", "k" * 65, "é", "a\nb", "\0", 7, True, b"kid", ["kid"]])
def test_a_kid_is_a_short_printable_name(kid):
    error = refusal(Key, SECRET, kid=kid)
    assert ("keys", "use up to 64 ASCII characters") == (error.option, error.remedy)


def test_p35_a_key_never_shows_its_secret():
    shown = repr(Key(SECRET)) + str(KeySet([Key(SECRET, kid="2026")])) + repr([Key(SECRET)])
    assert "Key(kid='2026', algorithm='HS256')" in shown
    assert SECRET not in shown


@given(st.text(max_size=80) | st.binary(max_size=80))
@settings(deadline=None, database=None)
def test_any_text_or_bytes_are_a_key_or_refused_without_being_shown(secret):
    error = None
    try:
        Key(secret)
    except ConfigurationError as refused:
        error = refused
    if error is not None and len(secret) >= 8:
        assert str(secret) not in f"{error} {error.__cause__!r} {error.__context__!r}"


@pytest.mark.parametrize("secret", ["\udcff" * 16, "\ud800" + "s" * 40])
def test_bytes_of_the_environment_that_are_no_unicode_are_a_secret_as_well(secret):
    """`os.environ` shows them as surrogates, and an error of encoding them would carry the secret."""
    assert Key(secret).kid == Key(secret).kid
