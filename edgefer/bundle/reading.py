"""The steps of reading a bundle: the file, its layout, the digests, what must hold between the fields."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from edgefer.bundle.layout import MAX_BUNDLE_BYTES, unpack
from edgefer.bundle.manifest import Manifest, Member
from edgefer.bundle.recognise import recognise
from edgefer.bundle.semantics import faults
from edgefer.errors import BundleError

Content = bytes | memoryview


def read_file(path: Path) -> bytes:
    """The bytes of a regular file, with at most the allowed number of them ever in memory.

    Raises:
        BundleError: there is no such file, or it cannot be read, or is too large.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # opening a named pipe would wait for a writer
            raise BundleError("this is not a regular file", hint="name the file itself")
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_BUNDLE_BYTES:
                raise BundleError(f"the file has {size} bytes, more than the {MAX_BUNDLE_BYTES} allowed")
            data = stream.read(MAX_BUNDLE_BYTES + 1)
    except FileNotFoundError:
        raise BundleError("there is no such file", hint="check the path") from None
    except IsADirectoryError:
        raise BundleError("this is a folder, a bundle is one file", hint="name the .edgefer file in it") from None
    except PermissionError:
        raise BundleError("there is no permission to read the file", hint="check its owner and mode") from None
    except (OSError, ValueError) as error:
        raise BundleError("the file cannot be read", details=str(error), hint="check the path and the disk") from error
    if len(data) > MAX_BUNDLE_BYTES:
        raise BundleError(f"the file has more than the {MAX_BUNDLE_BYTES} bytes allowed")
    return data


def split(data: bytes) -> dict[str, memoryview]:
    """The members of a bundle, `manifest.json` first, with names, sizes, layout and checksums verified.

    Raises:
        BundleError: the bytes are something else than a bundle, or a damaged one.
    """
    if not data:
        raise BundleError("the file is empty", hint="copy or download it again")
    known = recognise(data[:512])
    if known is not None:
        raise BundleError(f"the file is not a bundle but {known[0]}", hint=known[1])
    return unpack(data)


def describe(content: Content) -> Member:
    """What the manifest says of a member with this content."""
    return Member(size=len(content), sha256=hashlib.sha256(content).hexdigest())


def check_digests(declared: Mapping[str, Member], members: Mapping[str, Content]) -> None:
    """Check that the members (without the manifest) are those declared, with the sizes and digests declared.

    Raises:
        BundleError: one is missing, undeclared or different.
    """
    for name in declared:
        if name not in members:
            raise BundleError(f"the manifest lists the member '{name}', which is missing", hint="build it again")
    for name, content in members.items():
        if name not in declared:
            raise BundleError(f"the member '{name}' is not in the manifest", hint="do not use this file")
        expected = declared[name]
        if len(content) != expected.size:
            raise BundleError(
                f"member '{name}' has {len(content)} bytes, the manifest says {expected.size}",
                hint="the content was changed after the bundle was written; do not use this file",
            )
        found = describe(content)
        if found.sha256 != expected.sha256:
            raise BundleError(
                f"member '{name}' has the SHA-256 {found.sha256[:16]}..., the manifest says {expected.sha256[:16]}...",
                hint="the content was changed after the bundle was written; do not use this file",
            )


def refuse_faults(manifest: Manifest, members: Mapping[str, object]) -> None:
    """Check what must hold between the fields of the manifest of a bundle with these members.

    Raises:
        BundleError: it does not; `details` lists every contradiction.
    """
    found = faults(manifest, members.keys())
    if found:
        raise BundleError("the manifest contradicts itself", details="\n".join(found), hint="build the bundle again")
