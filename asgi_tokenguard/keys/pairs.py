"""
Key pairs: RSA, elliptic curves and Edwards curves, in PEM.  `cryptography` is the extra `keys`, and imported when one is read.

Errors say what is wrong with a key and never quote it: they end in logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asgi_tokenguard.errors import ConfigurationError
from asgi_tokenguard.keys.algorithms import ALGORITHMS, LEAST_RSA_BITS, LEAST_RSA_EXPONENT, Algorithm, Family

if TYPE_CHECKING:
    from typing import TypeAlias

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey, Ed448PublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

    PrivateKey: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey
    PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

# As cryptography calls them, and as RFC 7518 section 6.2.1.1 does.
_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
# What a key without a stated algorithm is for: of RSA's the one that every library has.
_USUAL: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA", "Ed448": "EdDSA", "": "RS256"}
PRIVATE, PUBLIC = b"PRIVATE KEY-----", b"PUBLIC KEY-----"


def read_pem(pem: bytes, password: bytes | None) -> PrivateKey | PublicKey:
    """The key in *pem*, PKCS#8, SubjectPublicKeyInfo or the older forms of OpenSSL; raises ConfigurationError."""
    require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    if PRIVATE not in pem and PUBLIC not in pem:
        remedy = "pass the key itself; of a certificate: openssl x509 -pubkey -noout -in cert.pem"
        raise ConfigurationError("keys", "it is neither a private nor a public key in PEM", remedy)
    try:
        found: Any = (
            serialization.load_pem_private_key(pem, password) if PRIVATE in pem else serialization.load_pem_public_key(pem)
        )
    except TypeError:  # encrypted and no password, or a password and not encrypted
        problem, remedy = ("it is not encrypted", "drop the password") if password else ("it is encrypted", "pass password=...")
        raise ConfigurationError("keys", problem, remedy) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError("keys", "its PEM cannot be read", "check that it is whole, and its password") from None
    return checked(found)


def require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401, PLC0415
    except ImportError:
        remedy = "pip install 'asgi-tokenguard[keys]', or sign with a secret"
        raise ConfigurationError("keys", "key pairs need the package cryptography", remedy) from None


def checked(key: Any) -> PrivateKey | PublicKey:
    """*key* where it is of a kind and a strength that are taken; raises ConfigurationError."""
    if shape_of(key) is None:
        remedy = "use RSA, P-256, P-384, P-521, Ed25519 or Ed448"
        raise ConfigurationError("keys", "its kind or its curve is not supported", remedy)
    if not hasattr(key, "curve") and hasattr(key, "key_size"):
        if key.key_size < LEAST_RSA_BITS:
            problem = f"its RSA key has {key.key_size} bits, fewer than {LEAST_RSA_BITS}"
            raise ConfigurationError("keys", problem, "make one with: openssl genpkey -algorithm ed25519")
        if public_half(key).public_numbers().e < LEAST_RSA_EXPONENT:  # type: ignore[union-attr]
            problem = f"the exponent of its RSA key is below {LEAST_RSA_EXPONENT}"
            raise ConfigurationError("keys", problem, "make one with: openssl genpkey -algorithm ed25519")
    found: PrivateKey | PublicKey = key
    return found


def shape_of(key: Any) -> tuple[Family, str] | None:
    """Family and curve (none: "") of *key*; None where it is of no kind that is taken."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa  # noqa: PLC0415

    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return Family.RSA, ""
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        curve = _CURVES.get(key.curve.name)
        return None if curve is None else (Family.EC, curve)
    if isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        return Family.EDWARDS, "Ed25519"
    if isinstance(key, ed448.Ed448PrivateKey | ed448.Ed448PublicKey):
        return Family.EDWARDS, "Ed448"
    return None


def usual_algorithm(key: PrivateKey | PublicKey) -> Algorithm:
    """What *key* is for where nobody says so."""
    _, curve = shape_of(key) or (Family.RSA, "")
    return ALGORITHMS[_USUAL[curve]]


def suits(key: PrivateKey | PublicKey, algorithm: Algorithm) -> bool:
    family, curve = shape_of(key) or (None, "")
    return family is algorithm.family and (not algorithm.curves or curve in algorithm.curves)


def is_private(key: PrivateKey | PublicKey) -> bool:
    return hasattr(key, "private_bytes")


def private_bytes(key: PrivateKey) -> bytes:
    """*key* in the one form of its own that DER has for it."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat  # noqa: PLC0415

    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def public_half(key: PrivateKey | PublicKey) -> PublicKey:
    found: PublicKey = key.public_key() if is_private(key) else key  # type: ignore[union-attr, assignment]
    return found
