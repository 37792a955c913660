"""Signatures: made and checked here and by OpenSSL, refused when anything differs, and keys that cannot be used."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgefer.errors import EnvironmentMismatch, InputError, SignatureError
from edgefer.signing import PASSPHRASE, check_signature, sign, signature_path, write_signature

pytest.importorskip("cryptography")
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

PEM = serialization.Encoding.PEM
DATA = b"all bytes of a file"


def write_keys(folder: Path, name: str = "fleet", passphrase: str = "") -> tuple[Path, Path]:
    """A private and a public key in PEM files, as OpenSSL writes them."""
    private = ed25519.Ed25519PrivateKey.generate()
    hidden: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        hidden = serialization.BestAvailableEncryption(passphrase.encode())
    one, two = folder / f"{name}.pem", folder / f"{name}-public.pem"
    one.write_bytes(private.private_bytes(PEM, serialization.PrivateFormat.PKCS8, hidden))
    two.write_bytes(private.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return one, two


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path)


def test_a_signature_is_right_for_its_file_and_key_alone(keys: tuple[Path, Path], tmp_path: Path) -> None:
    private, public = keys
    path = write_signature(signature_path(tmp_path / "fusion.edgefer"), sign(DATA, private))
    assert path.name == "fusion.edgefer.sig"
    check_signature(DATA, path, public)
    for data in (DATA[:-1], DATA + b"\0", b"", DATA.replace(b"all", b"any")):
        with pytest.raises(SignatureError, match="not that of this file"):
            check_signature(data, path, public)
    with pytest.raises(SignatureError, match="not that of this file"):
        check_signature(DATA, path, write_keys(tmp_path, "another")[1])
    changed = bytearray(path.read_bytes())
    for position in range(64):
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(SignatureError, match="not that of this file"):
            check_signature(DATA, path, public)
        changed[position] ^= 1


def test_a_file_without_a_signature_is_not_signed(keys: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(SignatureError, match="not signed") as caught:
        check_signature(DATA, tmp_path / "none.sig", keys[1])
    assert "edgefer sign" in caught.value.hint
    with pytest.raises(SignatureError, match="cannot be read"):
        check_signature(DATA, tmp_path, keys[1])


@pytest.mark.parametrize("content", [b"", b"x" * 63, b"x" * 65, b"x" * 5000])
def test_what_is_no_signature_is_said(content: bytes, keys: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "odd.sig"
    path.write_bytes(content)
    with pytest.raises(SignatureError, match="expected 64"):
        check_signature(DATA, path, keys[1])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_openssl_makes_the_keys_and_agrees(tmp_path: Path) -> None:
    def openssl(*words: str) -> None:
        done = subprocess.run(["openssl", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    openssl("genpkey", "-algorithm", "ed25519", "-out", "KEY.pem")
    openssl("pkey", "-in", "KEY.pem", "-pubout", "-out", "PUBLIC.pem")
    (tmp_path / "file").write_bytes(DATA)
    write_signature(tmp_path / "file.sig", sign(DATA, tmp_path / "KEY.pem"))
    verify = ("pkeyutl", "-verify", "-pubin", "-inkey", "PUBLIC.pem", "-rawin", "-in", "file", "-sigfile")
    openssl(*verify, "file.sig")
    openssl("pkeyutl", "-sign", "-inkey", "KEY.pem", "-rawin", "-in", "file", "-out", "theirs.sig")
    check_signature(DATA, tmp_path / "theirs.sig", tmp_path / "PUBLIC.pem")


def test_an_encrypted_key_takes_its_passphrase_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = write_keys(tmp_path, passphrase="correct horse")
    monkeypatch.delenv(PASSPHRASE, raising=False)
    with pytest.raises(SignatureError, match="is encrypted") as caught:
        sign(DATA, private)
    assert PASSPHRASE in caught.value.hint
    monkeypatch.setenv(PASSPHRASE, "wrong")
    with pytest.raises(SignatureError, match="no private key that can be read") as caught:
        sign(DATA, private)
    assert PASSPHRASE in caught.value.hint
    monkeypatch.setenv(PASSPHRASE, "correct horse")
    check_signature(DATA, write_signature(tmp_path / "s", sign(DATA, private)), public)
    sign(DATA, write_keys(tmp_path, "plain")[0])  # whose passphrase the variable is not


def test_keys_of_the_wrong_half_or_kind_are_named(keys: tuple[Path, Path], tmp_path: Path) -> None:
    private, public = keys
    signature = write_signature(tmp_path / "s", sign(DATA, private))
    with pytest.raises(SignatureError, match="no private key") as caught:
        sign(DATA, public)
    assert "this is a public key" in caught.value.hint
    with pytest.raises(SignatureError, match="no public key") as caught:
        check_signature(DATA, signature, private)
    assert "this is a private key" in caught.value.hint
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (tmp_path / "rsa.pem").write_bytes(
        other.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (tmp_path / "rsa-public.pem").write_bytes(
        other.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(SignatureError, match="not an Ed25519 key") as caught:
        sign(DATA, tmp_path / "rsa.pem")
    assert "openssl genpkey" in caught.value.hint
    with pytest.raises(SignatureError, match="not an Ed25519 key"):
        check_signature(DATA, signature, tmp_path / "rsa-public.pem")


@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_key_is_said(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd.pem"
    path.write_bytes(content)
    with pytest.raises(SignatureError, match="no private key"):
        sign(DATA, path)
    with pytest.raises(SignatureError, match="no public key"):
        check_signature(DATA, path, path)


def test_files_that_cannot_be_read_or_written(keys: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        sign(DATA, tmp_path / "none.pem")
    (tmp_path / "large.pem").write_bytes(b"x" * 100_000)
    with pytest.raises(SignatureError, match="too large"):
        sign(DATA, tmp_path / "large.pem")
    with pytest.raises(InputError, match="cannot be written"):
        write_signature(tmp_path / "no" / "s.sig", sign(DATA, keys[0]))


def test_a_missing_package_is_named_with_its_extra(
    keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    for action in (lambda: sign(DATA, keys[0]), lambda: check_signature(DATA, tmp_path / "s", keys[1])):
        with pytest.raises(EnvironmentMismatch) as caught:
            action()
        assert "edgefer[sign]" in caught.value.hint
