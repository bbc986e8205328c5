"""I4 and I5 as callers see them: a replica that is asked without pause."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from line import ask
from penstock.flow import ModelUpdate

PAUSE_SECONDS = 0.005


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one request got: `version` 0 and no `sha256` where it was refused; `status` 0 where nobody answered."""

    at_seconds: float
    status: int
    version: int
    sha256: str
    labels: tuple[str, ...]


class Asking:
    """Asks one replica the same question over and over, from `with` to its end."""

    def __init__(self, url: str, model: str, body: Mapping[str, Any], pause_seconds: float = PAUSE_SECONDS) -> None:
        self.answers: list[Answer] = []
        self._url = f"{url}/v2/models/{model}/infer"
        self._body = body
        self._pause_seconds = pause_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="asking")

    def __enter__(self) -> "Asking":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def newest_version(self) -> int:
        """Of the last answer; 0 before the first."""
        return self.answers[-1].version if self.answers else 0

    def pause(self, seconds: float) -> None:
        """Go on asking for so long."""
        self._stop.wait(seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.answers.append(self._asked())
            self._stop.wait(self._pause_seconds)

    def _asked(self) -> Answer:
        status, answer = ask(self._url, self._body)
        if status != 200:
            return Answer(at_seconds=time.monotonic(), status=status, version=0, sha256="", labels=())
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        return Answer(
            at_seconds=time.monotonic(),
            status=status,
            version=int(answer["model_version"]),
            sha256=answer["parameters"]["sha256"],
            labels=tuple(outputs["label"]),
        )


def assert_answers_hold(answers: Sequence[Answer], acceptable: Mapping[int, ModelUpdate]) -> None:
    """I4, I5: from the first answer on all requests are answered, by whole versions that may be served, that only grow.

    `acceptable` are the updates by version that no higher claim stands before: `verifying.updates.acceptable`.
    """
    first = next((number for number, answer in enumerate(answers) if answer.status == 200), len(answers))
    assert first < len(answers), "the replica has never answered"
    newest = 0
    for answer in answers[first:]:
        assert answer.status == 200, f"the replica, which had answered, said {answer.status}"
        assert answer.version >= newest, f"version {answer.version} answers after {newest}"
        assert answer.version in acceptable, f"version {answer.version} answers, which must not be served"
        assert acceptable[answer.version].sha256 == answer.sha256, f"version {answer.version} is not its weights"
        newest = answer.version
