"""An answer as tensors of the weights file, and back."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from penstock.flow import Array, Json
from penstock.learning.heads.answer import Answer
from penstock.learning.heads.discriminant import Readout
from penstock.learning.heads.features import RandomFeatures
from penstock.learning.heads.frozen import FrozenFeatures
from penstock.learning.heads.inputs import HeadInputs
from penstock.learning.heads.neighbours import Neighbours
from penstock.learning.network import Network

_LOWEST = float(np.finfo(np.float32).min)
"""Stands for −∞: a weights file holds finite numbers only."""


def answer_json(answer: Answer, seed: int, *, read_backbone: bool) -> dict[str, Json]:
    """What the card of a weights file says of the heads."""
    num_random = 0 if answer.features is None else answer.features.num_random
    card: dict[str, Json] = {"members": list(answer.members), "seed": seed, "num_random": num_random}
    return card | {"inputs": "backbone"} if read_backbone else card


def answer_tensors(answer: Answer, inputs: HeadInputs) -> dict[str, Array]:
    """By name; read-outs and stored rows in float32, which is what they are rounded to already."""
    tensors: dict[str, Array] = {
        "inputs.mean": inputs.mean.copy(),
        "inputs.inverse_deviation": inputs.inverse_deviation.copy(),
    }
    for member, readout in answer.readouts.items():
        if readout is not None:
            tensors[f"{member}.weights"] = readout.weights.astype(np.float32)
            tensors[f"{member}.biases"] = np.maximum(readout.biases, _LOWEST).astype(np.float32)
    for member, rows in answer.neighbours.items():
        if rows is not None and member in answer.members:
            tensors[f"{member}.rows"] = rows.rows.astype(np.float32)
            tensors[f"{member}.classes"] = rows.classes.astype(np.int32)
    if answer.abstaining is not None:
        tensors["abstaining"] = answer.abstaining.copy()
    return tensors


def read_inputs(
    tensors: Mapping[str, Array], *, num_numbers: int, dense_width: int, heads: Json, network: Network
) -> HeadInputs:
    """Raises `KeyError`, `TypeError` or `ValueError` where they do not fit."""
    card = _heads(heads)
    what = card.get("inputs", "encoded")
    if what not in ("encoded", "backbone"):
        raise ValueError(f"the heads read {what!r}, which is not known here")
    features = FrozenFeatures(network.backbone, network.device) if what == "backbone" else None
    inputs = HeadInputs(num_numbers, dense_width, seed=card["seed"], features=features)
    for name in ("mean", "inverse_deviation"):
        values = tensors[f"inputs.{name}"].astype(np.float64)
        if values.shape != (num_numbers,):
            raise ValueError(f"inputs.{name} has the shape {values.shape}, not {(num_numbers,)}")
        setattr(inputs, name, values)
    return inputs


def read_answer(tensors: Mapping[str, Array], *, width: int, num_classes: int, heads: Json, live: Any = None) -> Answer:
    """The inverse of `answer_tensors`. Raises `KeyError`, `TypeError` or `ValueError` where they do not fit."""
    card = _heads(heads)
    members = tuple(card["members"])
    features = RandomFeatures(width, card["num_random"], seed=card["seed"]) if "analytic" in members else None
    sizes = {"analytic": features.size if features is not None else 0, "forgetting": width}
    return Answer(
        members=members,
        num_classes=num_classes,
        features=features,
        readouts={name: _readout(tensors, name, sizes[name], num_classes) for name in sizes if name in members},
        neighbours={name: _rows(tensors, name, width, num_classes) for name in ("near", "far") if name in members},
        live=live,
        abstaining=tensors["abstaining"].astype(np.bool_) if "abstaining" in tensors else None,
    )


def _heads(heads: Json) -> dict[str, Any]:
    if not isinstance(heads, dict):
        raise TypeError(f"the heads of the card are {heads!r}")
    return cast(dict[str, Any], heads)


def _readout(tensors: Mapping[str, Array], name: str, size: int, num_classes: int) -> Readout | None:
    if f"{name}.weights" not in tensors:
        return None
    weights, biases = tensors[f"{name}.weights"].astype(np.float64), tensors[f"{name}.biases"].astype(np.float64)
    if weights.shape != (size, len(biases)) or len(biases) > num_classes:
        raise ValueError(f"{name}.weights has the shape {weights.shape}, not {(size, num_classes)}")
    return Readout(weights=weights, biases=np.where(biases <= _LOWEST, -np.inf, biases))


def _rows(tensors: Mapping[str, Array], name: str, width: int, num_classes: int) -> Neighbours | None:
    if f"{name}.rows" not in tensors:
        return None
    rows, classes = tensors[f"{name}.rows"].astype(np.float64), tensors[f"{name}.classes"].astype(np.int64)
    if rows.shape != (len(classes), width) or not len(rows) or classes.min() < 0 or classes.max() >= num_classes:
        raise ValueError(f"{name}.rows has the shape {rows.shape} for {len(classes)} classes of {num_classes}")
    return Neighbours.of(rows, classes, np.zeros(len(rows), dtype=np.uint64))
