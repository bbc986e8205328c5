"""Files that are on the disk when the call returns, with the digest of what was written."""

import hashlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

READ_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class FileDigest:
    """What a file must hold: its size and the sha256 of all its bytes, in hex."""

    sha256: str
    size_bytes: int


def write_file(path: Path, parts: Iterable[bytes | memoryview]) -> FileDigest:
    """Write a new file of these parts, one after the other, and fsync it. Raises `OSError`."""
    digest, size_bytes = hashlib.sha256(), 0
    with path.open("xb") as file:
        for part in parts:
            digest.update(part)
            size_bytes += file.write(part)
        file.flush()
        os.fsync(file.fileno())
    return FileDigest(sha256=digest.hexdigest(), size_bytes=size_bytes)


def digest_of_parts(parts: Iterable[bytes | memoryview]) -> FileDigest:
    """What `write_file` would return."""
    digest, size_bytes = hashlib.sha256(), 0
    for part in parts:
        digest.update(part)
        size_bytes += len(part)
    return FileDigest(sha256=digest.hexdigest(), size_bytes=size_bytes)


def read_file(path: Path) -> tuple[memoryview, FileDigest]:
    """All bytes of a file (mutable, so that arrays over them are writable) and their digest. Raises `OSError`.

    No Python object is made of them: to clear one of 80 MB takes 40 ms in which no other thread of the process runs.
    """
    content = np.empty(path.stat().st_size, dtype=np.uint8).data
    with path.open("rb", buffering=0) as file:
        filled = 0
        while filled < len(content) and (count := file.readinto(content[filled:])):
            filled += count
    return content, FileDigest(sha256=hashlib.sha256(content[:filled]).hexdigest(), size_bytes=filled)


def digest_of(path: Path) -> FileDigest:
    """The digest of a file, read in pieces. Raises `OSError`."""
    digest, size_bytes = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
            size_bytes += len(piece)
    return FileDigest(sha256=digest.hexdigest(), size_bytes=size_bytes)


def link_or_copy(source: Path, target: Path) -> None:
    """The same file under another name; a copy, fsynced, where the file system has no hard links. Raises `OSError`."""
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
        with target.open("rb") as file:
            os.fsync(file.fileno())


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, so that they last; it may be there already. Raises `OSError`."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Make names created, renamed or removed in this folder last. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
