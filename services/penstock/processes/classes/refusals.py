"""Why the trainer refused a control: the sentence of the dead letter that it became."""

import time
from collections.abc import Mapping

from penstock.adapters.kafka.dead_letter_reader import read_letters
from penstock.adapters.kafka.topic_ends import read_ends
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.errors import ConfigurationError, UnavailableError
from penstock.processes.classes.controls import Sent
from penstock.settings import Settings
from penstock.wording import masked

PATIENCE_SECONDS = 5.0
"""A version may be announced a moment before the letter is on the broker."""
PAUSE_SECONDS = 0.25


def ends_of_letters(settings: Settings) -> Mapping[int, int] | None:
    """Behind the dead letters that are there now, by partition; None where they cannot be read: not everyone may."""
    try:
        return read_ends(settings.kafka, TopicNames(settings.model.name).dead_letters).next
    except (ConfigurationError, UnavailableError):
        return None


def why_refused(settings: Settings, sent: Sent, since: Mapping[int, int] | None) -> str | None:
    """The trainer's sentence on this control, from the letters behind `since`; None if there is none to be had."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while since is not None:
        try:
            for letter in read_letters(settings.kafka, TopicNames(settings.model.name).dead_letters, since):
                if ":".join(letter.origin) == f"{sent.topic}:{sent.in_log}":
                    return masked(letter.sentence)
        except (ConfigurationError, UnavailableError):
            return None
        if time.monotonic() > deadline:
            return None
        time.sleep(PAUSE_SECONDS)
    return None
