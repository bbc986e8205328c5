"""The protocol's messages, from `open_inference.binpb`, in a pool of their own.

The default pool of a process knows every message name once only; a client library in it has the same names.
"""

from importlib import resources
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

SERVICE: Final = "inference.GRPCInferenceService"
DESCRIPTORS: Final = FileDescriptorSet.FromString(
    resources.files(__package__).joinpath("open_inference.binpb").read_bytes()
)

_pool = DescriptorPool()
for _file in DESCRIPTORS.file:
    _pool.Add(_file)


def message(name: str) -> Any:
    """The class of a message of the protocol."""
    return GetMessageClass(_pool.FindMessageTypeByName(f"inference.{name}"))


METHODS: Final[dict[str, tuple[Any, Any]]] = {
    method.name: (GetMessageClass(method.input_type), GetMessageClass(method.output_type))
    for method in _pool.FindServiceByName(SERVICE).methods
}
"""Request and response of each method, by its name."""

ModelInferRequest: Final = message("ModelInferRequest")
ModelInferResponse: Final = message("ModelInferResponse")
ModelMetadataResponse: Final = message("ModelMetadataResponse")
ModelReadyResponse: Final = message("ModelReadyResponse")
RepositoryIndexResponse: Final = message("RepositoryIndexResponse")
ServerLiveResponse: Final = message("ServerLiveResponse")
ServerMetadataResponse: Final = message("ServerMetadataResponse")
ServerReadyResponse: Final = message("ServerReadyResponse")
