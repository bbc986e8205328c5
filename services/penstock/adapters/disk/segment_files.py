"""The reservoir's segments in the folder of a checkpoint: links to earlier ones, and a new one with what changed."""

from pathlib import Path

from penstock.adapters.disk.files import link_or_copy
from penstock.adapters.disk.folder import merged_files
from penstock.adapters.disk.manifest import TornCheckpointError
from penstock.adapters.disk.segments import SegmentChain, to_arrays
from penstock.adapters.disk.tensor_file import write_tensors
from penstock.flow import SlotChanges


def extended(
    chain: SegmentChain | None, changes: SlotChanges, newest: Path | None, folder: Path, sequence: int
) -> SegmentChain:
    """Put all segments into `folder`, that of checkpoint `sequence`; `chain` are those of `newest`, the one before.

    Raises:
        OSError: the disk; or there is none before, and the changes are not the full reservoir.
    """
    name, rows = f"reservoir-{sequence:08d}.safetensors", len(changes.slots)
    if changes.full:
        digest = write_tensors(folder / name, to_arrays(changes))
        return SegmentChain(files={name: digest}, full_rows=rows, rows=rows)
    if chain is None or newest is None:
        raise OSError("the checkpoint before was not saved, so this one needs the full reservoir")
    chain = _merged(chain, newest, folder, sequence)
    return chain.with_segment(name, write_tensors(folder / name, to_arrays(changes)), rows) if rows else chain


def _merged(chain: SegmentChain, newest: Path, folder: Path, sequence: int) -> SegmentChain:
    """Link the segments of the newest checkpoint into the folder, those to be merged as one new file."""
    gone = chain.to_merge
    for earlier in chain.files:
        if earlier not in gone:
            link_or_copy(newest / earlier, folder / earlier)
    if not gone:
        return chain
    try:
        rows = merged_files(newest, {name: chain.files[name] for name in gone})
    except TornCheckpointError as error:
        raise OSError(f"the reservoir's segments of the checkpoint before cannot be merged: {error}") from error
    name = f"reservoir-{sequence:08d}-merged.safetensors"
    return chain.with_merged(name, write_tensors(folder / name, to_arrays(rows)), len(rows.slots))
