"""Input tensors at the ends of what their datatypes hold, and of what a sentence about them may say."""

from typing import Any

import numpy as np
import pytest

from penstock.features import Feature, FeatureKind, FeatureSchema
from penstock.serving.inputs import columns_of_inputs
from penstock.serving.raw_tensors import read_raw
from penstock.serving.refusals import BadInputError
from penstock.serving.requests import InputTensor

LONGEST_STATUS = 4096
"""A client of gRPC takes 8 KiB of headers unless told otherwise, and a sentence is not alone in them."""


def column_of(kind: FeatureKind, datatype: str, values: Any) -> Any:
    """What one input of these values becomes."""
    schema = FeatureSchema(features=(Feature(name="one", kind=kind, width=1 if kind == "vector" else None),))
    shape = (len(values), 1) if kind == "vector" else (len(values),)
    tensor = InputTensor(name="one", datatype=datatype, shape=shape, values=values)
    return columns_of_inputs([tensor], schema)[0]["one"]


@pytest.mark.parametrize(("datatype", "value"), [("INT64", 2**63 - 1), ("INT64", -(2**63)), ("UINT64", 2**64 - 1)])
def test_the_ends_of_64_bits_are_taken_as_numbers_however_they_are_sent(datatype: str, value: int) -> None:
    raw = read_raw("one", datatype, [1], value.to_bytes(8, "little", signed=value < 2**63))
    for values in ([value], raw):
        assert column_of("number", datatype, values).tolist() == [float(value)]
        assert column_of("category", datatype, values).to_pylist() == [str(value)]


@pytest.mark.parametrize(("datatype", "value"), [("INT64", -(2**63) - 1), ("INT64", 2**63), ("UINT64", 2**64)])
@pytest.mark.parametrize("kind", ["category", "number", "vector"])
def test_one_beyond_the_ends_of_64_bits_is_refused(kind: FeatureKind, datatype: str, value: int) -> None:
    with pytest.raises(BadInputError, match=f"'one' holds {value}; {datatype} takes"):
        column_of(kind, datatype, [1, value, 2])


@pytest.mark.parametrize("shape", [[2**62] * 1_000_000, [10**4299, 10**4299], [-(2**62)] * 9])
def test_a_shape_that_no_column_has_is_refused_before_it_is_multiplied_out(shape: list[int]) -> None:
    with pytest.raises(BadInputError, match=r"'one' has shape .*, which no column has"):
        read_raw("one", "FP32", shape, b"")


def test_more_rows_than_there_can_be_are_refused() -> None:
    schema = FeatureSchema(features=(Feature(name="one", kind="vector", width=2),))
    tensor = InputTensor(name="one", datatype="FP32", shape=(10**4300 - 1, 2), values=[0.5])
    with pytest.raises(BadInputError, match="'one' has shape"):
        columns_of_inputs([tensor], schema)


def test_a_sentence_on_a_missing_input_of_a_wide_model_fits_into_a_status_of_grpc() -> None:
    schema = FeatureSchema(features=tuple(Feature(name=f"measurement_{at:04}", kind="number") for at in range(2000)))
    tensor = InputTensor(name="measurement_0000", datatype="FP32", shape=(1,), values=np.zeros(1, dtype=np.float32))
    with pytest.raises(BadInputError, match=r"'measurement_0001' is missing; .* and 1980 more") as refusal:
        columns_of_inputs([tensor], schema)
    assert len(str(refusal.value)) < LONGEST_STATUS
