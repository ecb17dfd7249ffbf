"""Signatures of certificates: Ed25519 (RFC 8032) over bytes, with keys in PEM files."""

import base64
import binascii
import hashlib
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from ...specs.files.errors import InputError
from ...specs.files.yaml_file import Row


class Signature(Row):
    """A signature and the public key that belongs to it, both in base64."""

    algorithm: Literal["Ed25519"]
    public_key: str
    signature: str

    def is_valid(self, content: bytes) -> bool:
        """Return whether the key's owner signed exactly these bytes."""
        try:
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(self.public_key, validate=True))
            key.verify(base64.b64decode(self.signature, validate=True), content)
        except (InvalidSignature, ValueError, binascii.Error):
            return False
        return True

    @property
    def fingerprint(self) -> str:
        """The first 16 digits of the public key's digest."""
        return fingerprint(self.public_key)


def fingerprint(public_key: str) -> str:
    """Return the first 16 digits of the digest of a public key in base64."""
    return hashlib.sha256(public_key.encode()).hexdigest()[:16]


def sign(content: bytes, key: Ed25519PrivateKey) -> Signature:
    """Return the signature of some bytes."""
    return Signature(
        algorithm="Ed25519",
        public_key=_text(key.public_key().public_bytes_raw()),
        signature=_text(key.sign(content)),
    )


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in a PEM file that no password protects; raises InputError."""
    content = _read(path)
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError(path, "holds no private key in PEM format that can be read without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(path, f"expected an Ed25519 private key, got {type(key).__name__}")
    return key


def read_public_key(path: Path) -> str:
    """Return the public key in a PEM file in base64, as a signature holds it; raises InputError."""
    content = _read(path)
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(path, "holds no public key in PEM format") from None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(path, f"expected an Ed25519 public key, got {type(key).__name__}")
    return _text(key.public_bytes_raw())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from None


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
