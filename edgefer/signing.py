"""Signatures of files: Ed25519 (RFC 8032) over all bytes of a file, in 64 bytes beside it.

A signature is what `openssl pkeyutl -sign -rawin` gives for the same key and file, so either can check the other's.
The signed file itself stays as it is. Every byte of a bundle or an archive follows from its contents, so that a
signature of the file is one of the contents.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefer.atomic import write_bytes
from edgefer.errors import EnvironmentMismatch, InputError, SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SUFFIX = ".sig"
PASSPHRASE = "EDGEFER_KEY_PASSPHRASE"
"""The variable with the passphrase of an encrypted private key."""

SIGNATURE_BYTES = 64
_MAX_KEY_BYTES = 1 << 16
_MAKE = "openssl genpkey -algorithm ed25519 -out KEY.pem; openssl pkey -in KEY.pem -pubout -out PUBLIC.pem"


def signature_path(path: str | os.PathLike[str]) -> Path:
    """Where the signature of a file lies: beside it, with `.sig` after the whole name."""
    return Path(f"{os.fspath(path)}{SUFFIX}")


def sign(data: bytes, key: str | os.PathLike[str]) -> bytes:
    """The signature of `data` by the private key in the PEM file `key`.

    Raises:
        SignatureError: the file holds no private Ed25519 key, or its passphrase is missing or wrong.
        InputError: the key cannot be read.
        EnvironmentMismatch: the package `cryptography` is missing.
    """
    return _private(Path(key)).sign(data)


def write_signature(target: str | os.PathLike[str], signature: bytes) -> Path:
    """Write the file with a signature, the whole of it or nothing.

    Raises:
        InputError: it cannot be written.
    """
    try:
        return write_bytes(target, signature)
    except OSError as error:
        raise InputError(
            f"{target}: the signature cannot be written: {error.strerror or error}",
            hint="check that the folder exists and can be written to",
        ) from error


def check_signature(data: bytes, signature: str | os.PathLike[str], key: str | os.PathLike[str]) -> None:
    """Check that the file `signature` is the signature of `data` by the owner of the public key in the PEM file `key`.

    Raises:
        SignatureError: it is not, or there is none, or the file holds no public Ed25519 key.
        InputError: the key cannot be read.
        EnvironmentMismatch: the package `cryptography` is missing.
    """
    public = _public(Path(key))
    from cryptography.exceptions import InvalidSignature

    path = Path(signature)
    try:
        with path.open("rb") as stream:
            found = stream.read(SIGNATURE_BYTES + 1)
    except FileNotFoundError:
        raise SignatureError(
            f"the file is not signed: there is no {path}",
            hint="`edgefer sign FILE --key KEY.pem` writes it; copy it along with the file",
        ) from None
    except OSError as error:
        raise SignatureError(
            f"the signature {path} cannot be read: {error.strerror or error}", hint="check the path"
        ) from error
    if len(found) != SIGNATURE_BYTES:
        size = "more" if len(found) > SIGNATURE_BYTES else str(len(found))
        raise SignatureError(
            f"{path} is no signature: it has {size} bytes, expected {SIGNATURE_BYTES}", hint="copy or sign it again"
        )
    try:
        public.verify(found, data)
    except InvalidSignature:
        raise SignatureError(
            f"the signature {path} is not that of this file by the owner of {key}",
            hint="do not use the file: it was changed after it was signed, or somebody else signed it",
        ) from None


def _private(path: Path) -> Ed25519PrivateKey:
    serialisation = _cryptography(path)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    passphrase = os.environ.get(PASSPHRASE, "")
    pem = _read_key(path)
    try:
        key = serialisation.load_pem_private_key(
            pem, passphrase.encode() if b"ENCRYPTED" in pem and passphrase else None
        )
    except TypeError as error:  # no passphrase for an encrypted key
        raise SignatureError(
            f"the private key {path} is encrypted", hint=f"give its passphrase in the variable {PASSPHRASE}"
        ) from error
    except (ValueError, _unsupported()) as error:
        hint = f"check {PASSPHRASE}" if b"ENCRYPTED" in pem else _hint(pem, private=True)
        raise SignatureError(f"{path} holds no private key that can be read", hint=hint, details=str(error)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError(f"the private key {path} is not an Ed25519 key", hint=f"make one: {_MAKE}")
    return key


def _public(path: Path) -> Ed25519PublicKey:
    serialisation = _cryptography(path)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    pem = _read_key(path)
    try:
        key = serialisation.load_pem_public_key(pem)
    except (ValueError, _unsupported()) as error:
        hint = _hint(pem, private=False)
        raise SignatureError(f"{path} holds no public key that can be read", hint=hint, details=str(error)) from error
    if not isinstance(key, Ed25519PublicKey):
        raise SignatureError(f"the public key {path} is not an Ed25519 key", hint=f"make one: {_MAKE}")
    return key


def _hint(pem: bytes, *, private: bool) -> str:
    if private and b"PUBLIC KEY" in pem:
        return "this is a public key, which checks signatures; signing takes the private one"
    if not private and b"PRIVATE KEY" in pem:
        return (
            "this is a private key, which signs; get its public one: openssl pkey -in KEY.pem -pubout -out PUBLIC.pem"
        )
    return f"make one: {_MAKE}"


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            pem = stream.read(_MAX_KEY_BYTES + 1)
    except OSError as error:
        raise InputError(f"the key {path} cannot be read: {error.strerror or error}", hint="check --key") from error
    if len(pem) > _MAX_KEY_BYTES:
        raise SignatureError(f"{path} is too large for a key in PEM", hint="check --key")
    return pem


def _cryptography(path: Path) -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError)
        raise EnvironmentMismatch(
            f"using the key {path} needs the package `cryptography`, which "
            + ("is not installed" if missing else "cannot be loaded"),
            hint="pip install 'edgefer[sign]'",
            details="" if missing else str(error),
        ) from error
    return serialization


def _unsupported() -> type[Exception]:
    from cryptography.exceptions import UnsupportedAlgorithm

    return UnsupportedAlgorithm
