"""A checkpoint folder as one file: a registry is slow by the file, and half a folder is none."""

import shutil
import tarfile
from pathlib import Path


def pack(folder: Path, archive: Path) -> None:
    """Write the folder's files into a tar archive. Raises `OSError`."""
    with tarfile.open(archive, "w") as tar:
        for file in sorted(folder.iterdir()):
            tar.add(file, arcname=file.name, recursive=False)


def unpack(archive: Path, into: Path) -> None:
    """Put the archive's files into the folder `into`, which appears when all are there.

    Raises:
        ValueError: it holds anything but plain files by plain names.
        tarfile.TarError: it is no archive.
        OSError: the disk.
    """
    unfinished = into.with_name(f".{into.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is None or Path(member.name).name != member.name:
                    raise ValueError(f"the archive holds {member.name!r}, which is not a plain file")
                with content, (unfinished / member.name).open("xb") as file:
                    shutil.copyfileobj(content, file)
        shutil.rmtree(into, ignore_errors=True)
        unfinished.rename(into)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
