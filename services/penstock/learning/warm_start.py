"""Beginning with weights that were learnt elsewhere: layers by name, and the classes of a weights file of ours.

A file of safetensors, never code. What is of no use here is left, and said; what has a name of ours but another shape
is refused, since it would otherwise be lost in silence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from penstock.errors import ConfigurationError, RefusedUpdateError
from penstock.learning.network import BACKBONE, HEAD, INVERSE_DEVIATION, MEAN
from penstock.learning.parts import LearnerParts
from penstock.learning.weights import ModelCard, has_card, read_card

PRIOR_ROWS = 1000
"""What the source's means and deviations of number columns count for among the rows to come."""
NAMED = 8
"""Names that a log line lists."""

_PREFIXES = ("", BACKBONE, f"{BACKBONE}module.")


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """What became of a file's tensors, each list by the names in the file (`initial`: by ours)."""

    taken: tuple[str, ...]
    left: tuple[str, ...]
    initial: tuple[str, ...]
    classes: tuple[str, ...]
    knows_inputs: bool
    """Whether features are the same, so that their scales could be taken over."""


def start_from(parts: LearnerParts, content: bytes, uri: str) -> Mapped:
    """Give parts that have learnt nothing the weights of a safetensors file.

    Raises:
        ConfigurationError: it is no such file, no tensor of it is ours, or one of ours has another shape there; the
            parts are then unchanged.
    """
    where = f"model.warm_start.uri is {uri!r}"
    tensors, card = _read(content, where)
    knows_inputs = card is not None and card.schema_digest == parts.encoder.schema.digest
    found = _by_our_names(tensors, parts, is_ours=card is not None, knows_inputs=knows_inputs)
    ours = parts.network.tensors()
    if not any(name.startswith(BACKBONE) or name == HEAD for name in found):
        raise ConfigurationError(
            f"{where}, but no tensor there is of this model: it has {shown(sorted(tensors))}; this model has"
            f" {shown(sorted(ours))}."
        )
    for name, theirs in found.items():
        shape = tuple(ours[name].shape)
        if name == HEAD and card is not None:
            shape = (len(card.ledger), *shape[1:])
        _check(where, theirs, tensors[theirs], shape, ours[name].dtype)
    device = parts.network.device
    values = {name: tensors[theirs].to(device, ours[name].dtype) for name, theirs in found.items()}
    classes = _take_network(parts, values, card)
    if knows_inputs and card is not None:
        _take_scales(parts, values, card)
    parts.descent.begin()
    return Mapped(
        taken=tuple(sorted(found.values())),
        left=tuple(sorted(tensors.keys() - set(found.values()))),
        initial=tuple(sorted(ours.keys() - found.keys())),
        classes=classes,
        knows_inputs=knows_inputs,
    )


def shown(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (", ".join(names[:NAMED]) or "none") + more


def _read(content: bytes, where: str) -> tuple[dict[str, Tensor], ModelCard | None]:
    try:
        tensors = safetensors.torch.load(content)
        return tensors, read_card(content) if has_card(content) else None
    except (SafetensorError, KeyError, ValueError) as error:
        raise ConfigurationError(
            f"{where}, which is not a safetensors file: {error}. Pickled checkpoints are not read; save the weights as"
            " safetensors."
        ) from None
    except RefusedUpdateError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _by_our_names(
    tensors: Mapping[str, Tensor], parts: LearnerParts, *, is_ours: bool, knows_inputs: bool
) -> dict[str, str]:
    """The name in the file by our name. A head without a class ledger, or scales of other features, mean nothing."""
    ours = parts.network.tensors()
    found = {}
    for theirs in tensors:
        name = next((prefix + theirs for prefix in _PREFIXES if prefix + theirs in ours), "")
        if (
            name.startswith(BACKBONE)
            or (name == HEAD and is_ours)
            or (name in (MEAN, INVERSE_DEVIATION) and knows_inputs)
        ):
            found[name] = theirs
    return found


def _check(where: str, theirs: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if tuple(tensor.shape) != shape:
        raise ConfigurationError(
            f"{where}: its tensor {theirs!r} has the shape {list(tensor.shape)}; this model's has {list(shape)}."
        )
    if tensor.is_floating_point() != dtype.is_floating_point:
        raise ConfigurationError(f"{where}: its tensor {theirs!r} is of {tensor.dtype}; this model's is of {dtype}.")
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise ConfigurationError(f"{where}: its tensor {theirs!r} holds a value that is not finite.")


def _take_network(parts: LearnerParts, values: Mapping[str, Tensor], card: ModelCard | None) -> tuple[str, ...]:
    """Returns the names of the classes that come with it: those that were live."""
    backbone = {name.removeprefix(BACKBONE): t for name, t in values.items() if name.startswith(BACKBONE)}
    parts.network.backbone.load_state_dict(backbone, strict=False)
    if card is None or HEAD not in values:
        return ()
    live = [entry for entry in card.ledger.entries if entry.state == "live"]
    for entry in live:
        parts.ledger.enter(entry.name, entry.born_offset)
    parts.network.head.extend(values[HEAD][[entry.index for entry in live]])
    parts.know_classes(len(live))
    if parts.ensemble is not None:
        parts.ensemble.grow(len(live))
        parts.ensemble.attendance.grow(len(live))
    return tuple(entry.name for entry in live)


def _take_scales(parts: LearnerParts, values: Mapping[str, Tensor], card: ModelCard) -> None:
    """The same features: what the first rows would fix is known already."""
    parts.encoder = parts.encoder.with_constants(card.encoder)
    if MEAN in values and INVERSE_DEVIATION in values and parts.moments.width:
        mean, inverse_deviation = (values[name].double().cpu().numpy() for name in (MEAN, INVERSE_DEVIATION))
        parts.moments.begin(mean, inverse_deviation, PRIOR_ROWS)
        parts.network.standardiser.follow(parts.moments)
