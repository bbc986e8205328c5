"""Keep a checkpoint folder while it is uploaded, although the store prunes it meanwhile."""

import shutil
from pathlib import Path

from penstock.adapters.disk.files import link_or_copy


def pin(folder: Path, into: Path) -> Path:
    """A copy of the folder in `into`, made of hard links where the file system has them; returns the copy.

    The copy pinned just before stays (it may be in upload); older ones are removed.

    Raises:
        FileNotFoundError: the folder was pruned already.
        OSError: the disk.
    """
    target = into / folder.name
    if target.exists():
        return target
    into.mkdir(parents=True, exist_ok=True)
    for older in sorted(into.iterdir(), key=lambda path: path.stat().st_ctime_ns)[:-1]:
        shutil.rmtree(older)
    unfinished = into / f".{folder.name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir()
        for file in folder.iterdir():
            link_or_copy(file, unfinished / file.name)
        return unfinished.rename(target)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
