"""Every error Penstock raises, named for what the caller does next.

PenstockError
├── InvalidEventError        the sender's fault: dead-letter this event, go on
├── UnavailableError         the outside is away: keep what we have, try again
├── RefusedUpdateError       an update is not whole or not ours: keep the current model, count it
└── StopError                stop the process loudly with this sentence, exit code 1
    ├── ConfigurationError   the operator's file or environment is wrong
    ├── FencedError          another trainer holds a higher claim
    ├── PoisonedStreamError  too many invalid events in a row or in a window
    ├── RetentionError       events between the checkpoint and the log's start are gone
    ├── IntakeEndedError     the process that reads and decodes is gone
    ├── StateError           the state folder cannot be used: other model, other schema, not writable
    └── DivergedError        weights or loss are no longer finite
"""


class PenstockError(Exception):
    """Base of all errors; its text is one sentence for a person."""


class InvalidEventError(PenstockError):
    """One event does not decode or does not fit the model.

    Args:
        reason: a short machine name (`decode`, `field`, `label`, `weight`, …): the metric's label.
        sentence: names the field, the value and what is allowed.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class UnavailableError(PenstockError):
    """A component outside this process did not answer; trying again later may succeed."""


class RefusedUpdateError(PenstockError):
    """A model update must not be served.

    Args:
        reason: a short machine name (`digest`, `schema`, `ledger`, `not_finite`, …): the metric's label.
        sentence: what is wrong with it.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class StopError(PenstockError):
    """The process must end, with this sentence as its last word."""


class ConfigurationError(StopError):
    """The configuration file or an environment override is wrong."""


class FencedError(StopError):
    """Another trainer has claimed this model since; this one must not publish again."""


class PoisonedStreamError(StopError):
    """More invalid events than the configured limit: dead-lettering on would drain the topic."""


class RetentionError(StopError):
    """The topic no longer holds the events that follow the checkpoint."""


class IntakeEndedError(StopError):
    """The process that reads and decodes for the trainer has ended by itself."""


class StateError(StopError):
    """The state folder belongs to another model or schema, or cannot be written."""


class DivergedError(StopError):
    """A loss or a weight is no longer finite."""
