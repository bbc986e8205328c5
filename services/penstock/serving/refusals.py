"""Why a request gets no answer; transports turn each into their own code.

RequestError
├── NotReadyError       no model yet, or shutting down: try another replica, or later
├── UnknownModelError   no such model, or not this version of it
├── BadInputError       the request's fault; the sentence names the input, what was given and what is expected
├── TooLargeError       the request is larger than is taken
├── OverdueError        its time was over before it was computed
├── QueueFullError      too many requests wait already: try again after `retry_after_seconds`
└── InferenceError      the model failed on these rows: a defect, logged
"""

from penstock.errors import PenstockError

RETRY_AFTER_SECONDS = 1


class RequestError(PenstockError):
    """Base of what a data plane answers instead of a result; its text is one sentence for the caller."""


class NotReadyError(RequestError):
    """There is no model to answer with."""


class UnknownModelError(RequestError):
    """The model, or this version of it, is not served here."""


class BadInputError(RequestError):
    """The request does not fit the model."""


class TooLargeError(RequestError):
    """The request is longer than `serving.max_body_bytes`."""


class OverdueError(RequestError):
    """Nobody waits for the answer any more; it was not computed."""


class QueueFullError(RequestError):
    """The queue is full; the request was not taken."""

    retry_after_seconds = RETRY_AFTER_SECONDS


class InferenceError(RequestError):
    """The forward pass failed for a reason that is not the caller's."""
