"""sign, verify --key, and the verbs of the cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stand_in_engine import stand_in_engine

from edgefer.bundle.container import Bundle
from edgefer.cli.main import main
from edgefer.engine.cache import EngineCache
from edgefer.engine.cache_entry import PLAN
from edgefer.engine.cache_key import CacheKey, cache_key
from edgefer.engine.compile import CompileRequest
from edgefer.engine.driver import CudaDriver, Gpu
from edgefer.errors import UsageError
from edgefer.size import size

Capture = pytest.CaptureFixture[str]
# No machine that runs these tests has this release of TensorRT, so that its engines are for none of them.
RELEASE = "10.3.0.99"
ORIN = CudaDriver(version="12.6", gpus=(Gpu(name="Orin", compute_capability="8.7", memory_bytes=8 << 30),))


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, str]:
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
    one, two = tmp_path / "key.pem", tmp_path / "public.pem"
    one.write_bytes(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, none))
    two.write_bytes(private.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return str(one), str(two)


@pytest.fixture
def filled(tiny_bundle: Path, tmp_path: Path) -> tuple[str, CacheKey]:
    """A cache with an engine of the bundle for an Orin, and the engine's key."""
    bundle = Bundle.read(tiny_bundle)
    key = cache_key(bundle.onnx(bundle.graph()), CompileRequest("tensorrt"), RELEASE, ORIN)
    EngineCache(tmp_path / "cache").put(key, stand_in_engine(b"plan" * 1000, version=RELEASE))
    return str(tmp_path / "cache"), key


def answer(capsys: Capture, *words: str, code: int = 0) -> Any:
    assert main([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_bundle_is_signed_and_verified(
    tiny_bundle: Path, keys: tuple[str, str], tmp_path: Path, capsys: Capture
) -> None:
    pytest.importorskip("onnxruntime")
    copy = tmp_path / "fusion.edgefer"
    copy.write_bytes(tiny_bundle.read_bytes())
    unsigned = answer(capsys, "verify", str(copy), "--key", keys[1], code=1)
    assert [check["name"] for check in unsigned["checks"]] == ["file", "signature"]
    said = answer(capsys, "sign", str(copy), "--key", keys[0])
    assert (said["kind"], said["signature"]) == ("bundle", f"{copy}.sig")
    assert copy.read_bytes() == tiny_bundle.read_bytes()
    verified = answer(capsys, "verify", str(copy), "--key", keys[1])
    assert [check["name"] for check in verified["checks"]][:3] == ["file", "signature", "layout"]
    assert main(["verify", str(copy), "--key", keys[1]]) == 0
    assert "by the owner of" in capsys.readouterr().out
    copy.write_bytes(copy.read_bytes() + b"\0")
    assert answer(capsys, "verify", str(copy), "--key", keys[1], code=1)["checks"][-1]["name"] == "signature"


def test_the_signature_may_lie_elsewhere(
    tiny_bundle: Path, keys: tuple[str, str], tmp_path: Path, capsys: Capture
) -> None:
    pytest.importorskip("onnxruntime")
    elsewhere = str(tmp_path / "elsewhere.sig")
    assert answer(capsys, "sign", str(tiny_bundle), "--key", keys[0], "-o", elsewhere)["signature"] == elsewhere
    assert answer(capsys, "verify", str(tiny_bundle), "--key", keys[1], "--signature", elsewhere)["passed"]
    error = answer(capsys, "verify", str(tiny_bundle), "--signature", elsewhere, code=2)["error"]
    assert error["type"] == "UsageError"


@pytest.mark.parametrize("content", [b"", b"some text", b"PK\x03\x04half"])
def test_what_is_not_sound_is_not_signed(
    content: bytes, keys: tuple[str, str], tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "odd.edgefer"
    path.write_bytes(content)
    error = answer(capsys, "sign", str(path), "--key", keys[0], code=1)["error"]
    assert error["type"] == "BundleError"
    assert str(path) in error["message"]
    assert not path.with_name("odd.edgefer.sig").exists()


def test_signing_needs_a_key_and_a_place(
    tiny_bundle: Path, keys: tuple[str, str], tmp_path: Path, capsys: Capture
) -> None:
    assert answer(capsys, "sign", str(tiny_bundle), code=2)["error"]["type"] == "UsageError"
    words = ("sign", str(tiny_bundle), "--key", keys[0], "-o", str(tmp_path / "no" / "s"))
    assert answer(capsys, *words, code=2)["error"]["type"] == "UsageError"
    words = ("sign", str(tiny_bundle), "--key", keys[1], "-o", str(tmp_path / "s"))
    assert answer(capsys, *words, code=1)["error"]["type"] == "SignatureError"


def test_the_cache_is_listed(filled: tuple[str, CacheKey], capsys: Capture) -> None:
    cache, key = filled
    said = answer(capsys, "cache", "list", "--cache", cache)
    (entry,) = said["engines"]
    assert (entry["digest"], entry["sound"], entry["key"]["gpu"]) == (key.digest(), True, "Orin")
    assert said["bytes"] == entry["bytes"]
    (EngineCache(cache).directory / ("0" * 64)).mkdir()
    assert main(["cache", "list", "--cache", cache]) == 0
    shown = capsys.readouterr().out
    for part in ("2 engines", key.digest()[:12], RELEASE, "Orin", "unusable"):
        assert part in shown
    assert main(["cache", "list", "--cache", f"{cache}-none"]) == 0
    assert "0 engines" in capsys.readouterr().out


def test_engines_are_exported_and_imported(
    filled: tuple[str, CacheKey], tiny_bundle: Path, keys: tuple[str, str], tmp_path: Path, capsys: Capture
) -> None:
    cache, key = filled
    archive, other = str(tmp_path / "engines.edgefer-cache"), str(tmp_path / "other")
    words = ("cache", "export", str(tiny_bundle), "-o", archive, "--cache", cache)
    assert answer(capsys, *words)["signature"] is None
    refused = answer(capsys, "cache", "import", archive, "--any", "--cache", other, "--key", keys[1], code=1)
    assert refused["error"]["type"] == "SignatureError"
    assert not Path(other).exists()
    said = answer(capsys, *words, "--key", keys[0])
    assert said["signature"] == f"{archive}.sig"
    assert said["engines"][0]["digest"] == key.digest()
    error = answer(capsys, "cache", "import", archive, "--cache", other, "--key", keys[1], code=1)["error"]
    assert error["type"] == "EngineIncompatible"
    assert "GPU: built for Orin" in error["message"]
    taken = answer(capsys, "cache", "import", archive, "--any", "--cache", other, "--key", keys[1])
    assert (taken["engines"][0]["placed"], taken["signed"]) == ("stored", True)
    assert EngineCache(other).find(key) is not None
    assert main(["cache", "import", archive, "--any", "--cache", other]) == 0
    assert "was there already" in capsys.readouterr().out
    Path(f"{archive}.sig").write_bytes(b"x" * 64)
    refused = answer(capsys, "cache", "import", archive, "--any", "--cache", other, "--key", keys[1], code=1)
    assert refused["error"]["type"] == "SignatureError"


def test_an_archive_is_verified_and_signed_like_a_bundle(
    filled: tuple[str, CacheKey], tiny_bundle: Path, keys: tuple[str, str], tmp_path: Path, capsys: Capture
) -> None:
    archive = tmp_path / "engines.edgefer-cache"
    assert main(["cache", "export", str(tiny_bundle), "-o", str(archive), "--cache", filled[0]]) == 0
    capsys.readouterr()
    assert answer(capsys, "sign", str(archive), "--key", keys[0])["kind"] == "archive"
    said = answer(capsys, "verify", str(archive), "--key", keys[1])
    assert [check["name"] for check in said["checks"]] == ["file", "signature", "contents", "engine fused"]
    assert said["digest"] == Bundle.read(tiny_bundle).digest
    assert main(["verify", str(archive)]) == 0
    shown = capsys.readouterr().out
    assert "the archive is sound" in shown
    assert "built for Orin" in shown
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(bytes(data))
    assert answer(capsys, "verify", str(archive), code=1)["checks"][-1]["name"] == "contents"
    error = answer(capsys, "cache", "import", str(archive), "--any", "--cache", filled[0], code=1)["error"]
    assert error["type"] == "ArchiveError"
    error = answer(capsys, "sign", str(archive), "--key", keys[0], code=1)["error"]
    assert error["type"] == "ArchiveError"


def test_an_export_without_engines_or_with_a_wrong_key_writes_nothing(
    filled: tuple[str, CacheKey], tiny_bundle: Path, keys: tuple[str, str], tmp_path: Path, capsys: Capture
) -> None:
    archive = tmp_path / "engines.edgefer-cache"
    words = ("cache", "export", str(tiny_bundle), "-o", str(archive), "--cache")
    error = answer(capsys, *words, str(tmp_path / "empty"), code=3)["error"]
    assert error["type"] == "EngineMissing"
    assert answer(capsys, *words, filled[0], "--key", keys[1], code=1)["error"]["type"] == "SignatureError"
    assert answer(capsys, *words, filled[0], "--graph", "saliency", code=1)["error"]["type"] == "InputError"
    assert not archive.exists()


def test_an_import_of_a_bundle_says_so(tiny_bundle: Path, tmp_path: Path, capsys: Capture) -> None:
    error = answer(capsys, "cache", "import", str(tiny_bundle), "--cache", str(tmp_path), code=1)["error"]
    assert error["type"] == "ArchiveError"
    assert "this is a bundle" in error["message"]
    words = ("cache", "import", str(tiny_bundle), "--signature", "s", "--cache", str(tmp_path))
    assert answer(capsys, *words, code=2)["error"]["type"] == "UsageError"


def test_the_cache_is_pruned(filled: tuple[str, CacheKey], capsys: Capture) -> None:
    cache, key = filled
    assert answer(capsys, "cache", "prune", "--cache", cache) == {
        "folder": f"{cache}/engines",
        "removed": [],
        "left": 1,
        "bytes": EngineCache(cache).entries()[0].bytes,
    }
    (EngineCache(cache).directory / key.digest() / PLAN).write_bytes(b"cut")
    assert answer(capsys, "cache", "prune", "--cache", cache)["removed"] == [key.digest()]
    assert main(["cache", "prune", "--to", "0", "--cache", cache]) == 0
    assert "0 left" in capsys.readouterr().out
    assert answer(capsys, "cache", "prune", "--to", "much", "--cache", cache, code=2)["error"]["type"] == "UsageError"


def test_sizes_are_read_in_decimal_units() -> None:
    assert [size(text) for text in ("0", "17", "500M", "2GB", "1.5k", "1 t")] == [
        0,
        17,
        500_000_000,
        2_000_000_000,
        1500,
        10**12,
    ]
    for text in ("", "-1", "1x", "G"):
        with pytest.raises(UsageError, match="no size"):
            size(text)


def test_a_missing_package_is_named(
    run_cli: Any, filled: tuple[str, CacheKey], tiny_bundle: Path, tmp_path: Path
) -> None:
    done = run_cli(
        "sign", str(tiny_bundle), "--key", "k.pem", "-o", str(tmp_path / "s"), "--json", blocked=("cryptography",)
    )
    assert done.returncode == 3, done.stderr
    error = json.loads(done.stdout)["error"]
    assert (error["type"], "edgefer[sign]" in error["hint"]) == ("EnvironmentMismatch", True)
    # What signs nothing needs no package beyond those of every installation.
    blocked = ("cryptography", "torch", "onnx", "onnxruntime", "cv2")
    done = run_cli(
        "cache", "export", str(tiny_bundle), "-o", str(tmp_path / "e"), "--cache", filled[0], blocked=blocked
    )
    assert done.returncode == 0, done.stderr
