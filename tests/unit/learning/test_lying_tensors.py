"""A network computes with the tensors of a weights file where they lie, if they lie in memory that is its own."""

import mmap

import numpy as np
import pytest
import torch

from penstock.errors import RefusedUpdateError
from penstock.learning.config import ModelConfig
from penstock.learning.device import CPU
from penstock.learning.predictor import Predictor
from penstock.learning.weights_content import MemoryContent
from penstock.learning.weights_layout import ALIGNMENT, Layout
from penstock.serving.builder import blank_columns
from served_models import MIXED, PIXELS, update_of

WEIGHT = "backbone.layers.0.weight"


def own_memory(content: bytes, *, off_by: int = 0) -> memoryview:
    """The content in memory that may be written to, its first tensor aligned, or so many bytes beside that."""
    first = next(iter(Layout.of(MemoryContent(content)).places.values())).begin
    pages = mmap.mmap(-1, len(content) + 2 * ALIGNMENT)
    view = memoryview(pages)[-first % ALIGNMENT + off_by :][: len(content)]
    view[:] = content
    return view


def address_of(view: memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).ctypes.data)


def built(content: bytes | memoryview, model: ModelConfig = PIXELS) -> Predictor:
    return Predictor.from_weights(MemoryContent(content), model=model, device=CPU)


def tensor_of(predictor: Predictor, name: str = WEIGHT) -> torch.Tensor:
    return predictor.network.tensors()[name]


@pytest.mark.parametrize("model", [PIXELS, MIXED], ids=lambda model: model.name)
@pytest.mark.parametrize("off_by", [0, 4])
def test_answers_are_the_same_to_the_bit_wherever_the_weights_lie(model: ModelConfig, off_by: int) -> None:
    content = bytes(update_of(1, model=model.name).inline or b"")
    copied, lying = built(content, model), built(own_memory(content, off_by=off_by), model)
    rows = copied.encode(blank_columns(model.schema, 3))
    assert np.array_equal(copied.probabilities(rows), lying.probabilities(rows))


def test_tensors_in_own_memory_are_not_copied() -> None:
    view = own_memory(bytes(update_of(1).inline or b""))
    place = Layout.of(MemoryContent(view)).places[WEIGHT]
    assert tensor_of(built(view)).data_ptr() == address_of(view) + place.begin


@pytest.mark.parametrize("off_by", [4, 8, 32])
def test_tensors_that_do_not_lie_as_torch_lays_its_own_are_copied(off_by: int) -> None:
    view = own_memory(bytes(update_of(1).inline or b""), off_by=off_by)
    assert tensor_of(built(view)).data_ptr() % ALIGNMENT == 0


def test_bytes_that_others_hold_are_copied() -> None:
    content = bytes(update_of(1).inline or b"")
    with torch.no_grad():
        tensor_of(built(content)).zero_()
    assert content == bytes(update_of(1).inline or b"")


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, -np.inf])
def test_what_lies_there_must_be_finite(spoilt: float) -> None:
    view = own_memory(bytes(update_of(1).inline or b""))
    place = Layout.of(MemoryContent(view)).places[WEIGHT]
    np.frombuffer(view, np.float32, count=1, offset=place.begin)[0] = spoilt
    with pytest.raises(RefusedUpdateError, match=f"'{WEIGHT}' that is not finite"):
        built(view)


def test_a_sum_that_overflows_is_no_reason_to_refuse() -> None:
    view = own_memory(bytes(update_of(1).inline or b""))
    place = Layout.of(MemoryContent(view)).places[WEIGHT]
    np.frombuffer(view, np.float32, count=2, offset=place.begin)[:] = np.finfo(np.float32).max
    assert torch.isfinite(tensor_of(built(view))).all()
