"""`penstock retrain`: learn from scratch, compare with the live model on events held out, publish the winner."""

import json
import logging
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console

from penstock.errors import ConfigurationError
from penstock.flow import Offsets
from penstock.learning.comparison import answers, compare
from penstock.learning.device import use_threads
from penstock.learning.held_out import HeldOutSlice
from penstock.learning.predictor import Predictor
from penstock.learning.rows import Columns
from penstock.processes import logs
from penstock.processes.retrain.files import FIRST_PARTITION
from penstock.processes.retrain.live import LiveModel, read_live
from penstock.processes.retrain.publishing import Published, publish
from penstock.processes.retrain.result import Result
from penstock.processes.retrain.result_json import to_json
from penstock.processes.retrain.result_text import to_text
from penstock.processes.retrain.sources import FileSource, Source, TopicSource
from penstock.processes.retrain.teaching import Bar, Pupil
from penstock.settings import Settings
from penstock.wire import columns as column
from penstock.wording import counted

WIDTH = 110
"""Of tables where there is no terminal."""


def run(
    settings: Settings,
    *,
    files: Sequence[Path],
    held_out_share: float,
    most_held_out: int,
    publish_winner: bool,
    anyway: bool,
    as_json: bool,
) -> int:
    """Print the comparison; 0, also where the live model stays. Ctrl-C ends it without a trace."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    logs.configure(logging.WARNING)
    use_threads(settings.training.num_threads)
    with ExitStack() as resources:
        live = read_live(settings)
        source = FileSource(settings, files, resources) if files else TopicSource(settings, resources)
        with Bar() as bar:
            result = _compared(settings, source, live, bar, share=held_out_share, most=most_held_out)
        if not as_json:
            _console().print(to_text(result))
        published = None
        if publish_winner and (anyway or not result.reason_against):
            with Bar() as bar:
                published = publish(settings, source, live.update.offsets if live else Offsets(), bar)
    if as_json:
        click.echo(json.dumps(to_json(result, published), indent=2))
    elif publish_winner:
        click.echo(_about(published) if published else f"Not published: {result.reason_against}.")
    return 0


def _compared(
    settings: Settings, source: Source, live: LiveModel | None, bar: Bar, *, share: float, most: int
) -> Result:
    held_out, pupil = HeldOutSlice(settings.model, share=share, most=most), Pupil(settings)
    pupil.learn(held_out.without(batch) for batch in source.batches(bar, "learning from scratch"))
    events, served = held_out.events, live.served if live else None
    if not pupil.learner.class_names:
        raise ConfigurationError(_nothing_learnt(source, held_out.num_held_out, share))
    fresh = _Captured(settings, pupil)
    asked_live = answers(served, events, settings.model.schema) if served else None
    live_names = served.class_names if served else ()
    return Result(
        model=settings.model.name,
        source=source.name,
        gone_messages=source.gone_messages,
        invalid=source.invalid(),
        comparison=compare(events, asked_live, answers(fresh, events, settings.model.schema)),
        num_held_out=held_out.num_held_out,
        live=live.update if live else None,
        live_problem=live.problem if live else "",
        live_has_learnt=None if live is None else _learnt_by(live, events),
        last_report=pupil.last_report,
        events_learnt=pupil.learner.events_learnt,
        num_classes=len(pupil.learner.class_names),
        num_live_classes=len(live_names) if served else None,
        seconds=pupil.seconds,
        class_margin=settings.publish.gate.class_margin,
        forgotten=tuple(name for name in live_names if name not in set(pupil.learner.class_names)),
    )


def _nothing_learnt(source: Source, num_held_out: int, share: float) -> str:
    if not num_held_out:
        return f"{source.name} holds no labelled event that this model could learn from."
    return (
        f"{source.name} holds too few events: {counted(num_held_out, 'labelled event')}, and all is held out to compare"
        f" on. More are needed, of other inputs, or a smaller --holdout than {share:g}."
    )


class _Captured:
    """The fresh model as replicas would answer with it."""

    def __init__(self, settings: Settings, pupil: Pupil) -> None:
        _, weights = pupil.learner.capture(epoch=0, version=0, mlflow_run_id=None, full_reservoir=False)
        device = torch.device("cpu")
        self._predictor = Predictor.from_weights(weights.content, model=settings.model, device=device)
        self.class_names = self._predictor.class_names

    def probabilities(self, columns: Columns) -> npt.NDArray[np.float32]:
        return self._predictor.probabilities(self._predictor.encode(columns))


def _learnt_by(live: LiveModel, events: Any) -> int | None:
    """How many of the events come before the live model's offsets; None for those of files."""
    partitions = events.column(column.PARTITION).to_numpy()
    offsets = events.column(column.OFFSET).to_numpy()
    if (partitions >= FIRST_PARTITION).any():
        return None
    reached = np.array([live.update.offsets[partition] for partition in partitions.tolist()], dtype=np.int64)
    return int((offsets < reached).sum())


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def _about(published: Published) -> str:
    update = published.update
    said = (
        f"Published as version {update.version} (epoch {update.epoch}); it has learnt everything up to "
        f"{update.offsets.to_json()}. A trainer that runs stops at its next update. Start it again: it goes on from "
        f"the checkpoint in {published.handover_folder}"
    )
    if published.is_recorded:
        return f"{said}, or from MLflow's record where that folder is not its own."
    return f"{said}. MLflow has no record: a trainer with another state folder would go on from its own, older state."
