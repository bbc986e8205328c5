"""From probabilities to the output tensors that a request asks for."""

import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from penstock.serving.inference import Answer, Probabilities
from penstock.serving.refusals import BadInputError
from penstock.serving.requests import InferRequest, OutputTensor, Parameters, RequestedOutput

TOP_K: Final = "top_k"
"""Of the request, or of `label` and `probability`: that many classes a row, the likeliest first, as [n, k]."""
CLASSIFICATION: Final = "classification"
"""Of `probabilities` (Triton's classification extension): that many `probability:index:name` texts a row."""
DEFAULT_OUTPUTS: Final = (RequestedOutput(name="label"), RequestedOutput(name="probability"))


class WantedOutput(msgspec.Struct, frozen=True, kw_only=True):
    """`top` None: what the output is without a parameter."""

    name: str
    top: int | None


def wanted_outputs(request: InferRequest) -> Sequence[WantedOutput]:
    """What the request asks for, checked.

    Raises:
        BadInputError: names the output or the parameter, what was given and what is expected.
    """
    if not request.outputs and TOP_K not in request.parameters:
        return _PLAIN
    top_k = _count_in(request.parameters, TOP_K, "the request")
    wanted = [_wanted(output, top_k) for output in request.outputs or DEFAULT_OUTPUTS]
    names = [output.name for output in wanted]
    for name in names:
        if names.count(name) > 1:
            raise BadInputError(f"Output {name!r} is requested twice; name each output once.")
    return wanted


def output_of(answer: Answer, wanted: WantedOutput) -> OutputTensor:
    """One output of all rows."""
    return OUTPUTS[wanted.name](answer, wanted.top)


def _wanted(output: RequestedOutput, top_k: int | None) -> WantedOutput:
    name, parameters = output.name, output.parameters
    if name not in OUTPUTS:
        raise BadInputError(f"Output {reprlib.repr(name)} is unknown; there are {', '.join(map(repr, OUTPUTS))}.")
    ranked = name != "probabilities"
    refused = CLASSIFICATION if ranked else TOP_K
    if refused in parameters:
        allowed = "probabilities" if ranked else "label and probability"
        raise BadInputError(f"Output {name!r} has the parameter {refused!r}, which is for {allowed}.")
    if ranked:
        own = _count_in(parameters, TOP_K, f"output {name!r}")
        return WantedOutput(name=name, top=top_k if own is None else own)
    return WantedOutput(name=name, top=_count_in(parameters, CLASSIFICATION, f"output {name!r}"))


def _count_in(parameters: Parameters, key: str, where: str) -> int | None:
    value = parameters.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadInputError(f"Parameter {key!r} of {where} is {reprlib.repr(value)}; it is an integer of at least 1.")
    return value


def _label(answer: Answer, top: int | None) -> OutputTensor:
    names = answer.served.class_names
    if top is None:
        labels = [names[index] for index in answer.probabilities.argmax(axis=1).tolist()]
        return OutputTensor(name="label", datatype="BYTES", shape=(len(labels),), values=labels)
    best = _best(answer.probabilities, top)
    labels = [names[index] for index in best.ravel().tolist()]
    return OutputTensor(name="label", datatype="BYTES", shape=best.shape, values=labels)


def _probability(answer: Answer, top: int | None) -> OutputTensor:
    if top is None:
        values: Probabilities = answer.probabilities.max(axis=1)
    else:
        values = np.take_along_axis(answer.probabilities, _best(answer.probabilities, top), axis=1)
    return OutputTensor(name="probability", datatype="FP32", shape=values.shape, values=values)


def _probabilities(answer: Answer, top: int | None) -> OutputTensor:
    names, probabilities = answer.served.class_names, answer.probabilities
    if top is None:
        return OutputTensor(
            name="probabilities", datatype="FP32", shape=probabilities.shape, values=probabilities, labels=names
        )
    best = _best(probabilities, top)
    texts = []
    for row, indices in zip(probabilities, best, strict=True):  # all rows at once may be millions of numbers
        chosen = zip(row[indices].tolist(), indices.tolist(), strict=True)
        texts += [f"{probability:f}:{index}:{names[index]}" for probability, index in chosen]
    return OutputTensor(name="probabilities", datatype="BYTES", shape=best.shape, values=texts)


def _best(probabilities: Probabilities, top: int) -> "np.ndarray[tuple[int, int], np.dtype[np.intp]]":
    """Class indices [n, k], the likeliest first; of equal ones the lowest. `k` is at most the number of classes."""
    return np.argsort(-probabilities, axis=1, kind="stable")[:, :top]


OUTPUTS: Mapping[str, Callable[[Answer, int | None], OutputTensor]] = {
    "label": _label,
    "probability": _probability,
    "probabilities": _probabilities,
}
_PLAIN: Final = tuple(WantedOutput(name=output.name, top=None) for output in DEFAULT_OUTPUTS)
