"""One key pair for each asymmetric algorithm, made once in a process; and files of them."""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

_CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@cache
def pair(name: str):
    """A private key for the algorithm *name*; `Ed448` is the other curve of EdDSA."""
    if name in _CURVES:
        return ec.generate_private_key(_CURVES[name])
    if name == "Ed448":
        return ed448.Ed448PrivateKey.generate()
    return ed25519.Ed25519PrivateKey.generate() if name == "EdDSA" else rsa_pair(2048)


@cache
def rsa_pair(bits: int, exponent: int = 65537):
    return rsa.generate_private_key(exponent, bits)


def pem(name: str, *, private: bool = True, password: bytes | None = None) -> str:
    return pem_of(pair(name), private=private, password=password)


def pem_of(key, *, private: bool = True, password: bytes | None = None) -> str:
    if not private:
        return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    sealed = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed).decode()


NAMES = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
PAIRS = {name: pem(name) for name in NAMES}
