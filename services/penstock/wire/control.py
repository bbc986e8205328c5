"""Control events: JSON on the label topic under a content type of their own, so that they have a place in its order.

`schemas/control-event.schema.json` describes them. Fields that are not known are refused: a misspelt one must not turn
a request into another.
"""

import base64
import binascii
from typing import Final, Literal

import msgspec

from penstock.flow import ClassRequest, ImportRequest
from penstock.wire.invalid import RefusedMessageError, shown

CONTROL_TYPE: Final = "application/vnd.penstock.control+json"
MAX_CLASSES: Final = 10_000
MAX_NAME_CHARACTERS: Final = 256


class ControlDocument(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The body of a control event."""

    control: Literal["hibernate", "wake", "retire", "import"]
    classes: list[str] | None = None
    tenant: str | None = None
    packet: str | None = None


def encode_control(request: ClassRequest | ImportRequest) -> bytes:
    """The value of the message; its header `content-type` must be `CONTROL_TYPE`."""
    if isinstance(request, ImportRequest):
        return msgspec.json.encode(
            ControlDocument(
                control="import",
                packet=base64.b64encode(request.packet).decode(),
                classes=None if request.name is None else [request.name],
            )
        )
    return msgspec.json.encode(
        ControlDocument(control=request.verb, classes=list(request.classes) or None, tenant=request.tenant)
    )


def decode_control(value: bytes) -> ClassRequest | ImportRequest:
    """The request that a control event makes.

    Raises:
        RefusedMessageError: it is malformed; the sentence names the field.
    """
    try:
        document = msgspec.json.decode(value, type=ControlDocument)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(f"The control event does not decode: {error}.") from error
    _check_names(document.classes)
    if document.control == "import":
        return _import(document)
    if document.packet is not None:
        raise _refused(f"packet goes with the control 'import' only, not with {document.control!r}.")
    if (document.classes is None) == (document.tenant is None):
        raise _refused(f"The control {document.control!r} must name either classes or a tenant, and not both.")
    if document.tenant is not None and not document.tenant:
        raise _refused("tenant is empty; it must name one.")
    return ClassRequest(verb=document.control, classes=tuple(document.classes or ()), tenant=document.tenant)


def _import(document: ControlDocument) -> ImportRequest:
    if document.packet is None:
        raise _refused("The control 'import' must carry a packet.")
    if document.tenant is not None:
        raise _refused("The control 'import' takes no tenant; the packet says whose class it is.")
    names = document.classes or []
    if len(names) > 1:
        raise _refused(f"A packet holds one class; classes gives {len(names)} names to it.")
    try:
        packet = base64.b64decode(document.packet, validate=True)
    except (ValueError, binascii.Error):
        packet = b""
    if not packet:
        raise _refused(f"packet is {shown(document.packet)}; it must be the bytes of a packet in base64.")
    return ImportRequest(packet=packet, name=names[0] if names else None)


def _check_names(names: list[str] | None) -> None:
    if names is None:
        return
    if not 1 <= len(names) <= MAX_CLASSES:
        raise _refused(f"classes holds {len(names)} names; it must hold 1 to {MAX_CLASSES}.")
    for name in names:
        if not is_name(name):
            raise _refused(f"classes holds {shown(name)}; a name has 1 to {MAX_NAME_CHARACTERS} characters.")


def is_name(text: str) -> bool:
    """True of what a class can be called: of a length that labels may have, and without halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return 1 <= len(text) <= MAX_NAME_CHARACTERS


def _refused(sentence: str) -> RefusedMessageError:
    return RefusedMessageError("control", sentence)
