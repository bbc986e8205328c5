"""Generators of our own in which the world turns slowly, by habit, or for a rare class only."""

import numpy as np

from bench_learning.stream import Stream, names_of

NUM_ROWS = 6_000
NUM_SHEETS = 1_200


def turning_plane(seed: int) -> Stream:
    """Two classes on either side of a plane in 6 dimensions that turns by a full circle; 8 % of labels are noise."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(NUM_ROWS, 6))
    first, second = np.linalg.qr(rng.normal(size=(6, 2)))[0].T
    angle = 2 * np.pi * np.arange(NUM_ROWS)[:, None] / NUM_ROWS
    side = np.einsum("nk,nk->n", rows, np.cos(angle) * first + np.sin(angle) * second) > 0
    return Stream(rows=rows, labels=names_of(side ^ (rng.uniform(size=NUM_ROWS) < 0.08)))


def wandering_clouds(seed: int) -> Stream:
    """Twelve Gaussian clouds of 5 classes in 8 dimensions, each a random walk."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-1, 1, size=(12, 8))
    centres = centres + np.cumsum(0.008 * rng.normal(size=(NUM_ROWS, 12, 8)), axis=0)
    cloud = rng.integers(0, 12, NUM_ROWS)
    rows = centres[np.arange(NUM_ROWS), cloud] + 0.45 * rng.normal(size=(NUM_ROWS, 8))
    return Stream(rows=rows, labels=names_of(cloud % 5))


def rare_and_moving(seed: int) -> Stream:
    """Four classes, 70, 20, 8 and 2 of a hundred rows, whose centres move: a rare class is not an absent one."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(4, 6)) + np.cumsum(0.02 * rng.normal(size=(NUM_ROWS, 4, 6)), axis=0)
    classes = rng.choice(4, NUM_ROWS, p=(0.7, 0.2, 0.08, 0.02))
    return Stream(rows=centres[np.arange(NUM_ROWS), classes] + rng.normal(size=(NUM_ROWS, 6)), labels=names_of(classes))


def habits(seed: int) -> Stream:
    """Prices up or down, as a market tells them every half hour: the last label is right 87 times of a hundred.

    Hour, weekday and two slow loads are the columns; how much the loads count drifts with the season.
    """
    rng = np.random.default_rng(seed)
    time = np.arange(NUM_ROWS)
    hour, weekday = time % 48 / 48, time // 48 % 7
    loads = np.stack([_slow(rng, 0.97), _slow(rng, 0.9)], axis=1)
    season = np.cos(2 * np.pi * time / NUM_ROWS)
    pull = np.sin(2 * np.pi * hour) + season * loads[:, 0] + 0.5 * loads[:, 1] + 0.8 * _slow(rng, 0.8)
    up = pull > np.median(pull)
    return Stream(rows=np.column_stack((hour, weekday, loads)), labels=names_of(up))


def question_sheets(seed: int) -> Stream:
    """Eight questions of three answers and a yes or no: half of all sheets are filled in as one before.

    Answers go together, as a mood lies behind them. They make a yes likely or unlikely, so that sheets that are equal
    may end either way; some 87 times of a hundred it ends as is more likely.
    """
    rng = np.random.default_rng(seed)
    mood = rng.normal(size=(NUM_SHEETS, 1))
    leaning = mood * rng.uniform(0.4, 2.4, size=8) + rng.normal(size=(NUM_SHEETS, 8))
    answers = np.digitize(leaning, (-0.8, 0.8))
    taste = rng.normal(size=(8, 3)) * 1.8
    pull = taste[np.arange(8), answers].sum(axis=1) + 1.5 * (answers[:, 0] == answers[:, 1]) * (answers[:, 2] - 1)
    likely = 1 / (1 + np.exp(np.median(pull) - pull))
    return Stream(rows=answers.astype(np.float64), labels=names_of(rng.uniform(size=NUM_SHEETS) < likely))


def _slow(rng: np.random.Generator, memory: float) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """A stationary process of variance 1 whose value lasts."""
    noise = rng.normal(size=NUM_ROWS) * np.sqrt(1 - memory**2)
    values = np.empty(NUM_ROWS)
    last = rng.normal()
    for place in range(NUM_ROWS):
        last = values[place] = memory * last + noise[place]
    return values
