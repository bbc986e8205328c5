"""deep-river's classifier with the MLP and the optimizer that do best there: Adam .01 on standardised columns."""

from functools import partial

import numpy as np
import pandas as pd
import torch
from deep_river.classification import Classifier
from exchange import Figures, Given, Method, played, run
from river import preprocessing

torch.set_num_threads(1)
HIDDEN = 64


class Mlp(torch.nn.Module):
    """d numbers, one hidden layer, one output a class; the output grows as classes come."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = torch.nn.Linear(width, HIDDEN)
        self.out = torch.nn.Linear(HIDDEN, 2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.hidden(rows)))


def play(batch_rows: int, given: Given) -> Figures:
    """Mini-batches through `learn_many`, single rows through `learn_one`."""
    torch.manual_seed(given.seed)
    network = Classifier(
        module=Mlp(given.rows.shape[1]),
        loss_fn="cross_entropy",
        optimizer_fn="adam",
        lr=0.01,
        is_class_incremental=True,
        seed=given.seed,
    )
    model = preprocessing.StandardScaler() | network
    names = [f"x{place}" for place in range(given.rows.shape[1])]

    def learn(rows: np.ndarray, classes: np.ndarray) -> None:
        if batch_rows == 1:
            model.learn_one(dict(zip(names, rows[0].tolist(), strict=True)), int(classes[0]))
        else:
            model.learn_many(pd.DataFrame(rows, columns=names), pd.Series(classes.tolist()))

    def predict(rows: np.ndarray) -> np.ndarray:
        return np.concatenate([_classes(model, names, some) for some in np.array_split(rows, len(rows) // 512 + 1)])

    return played(given, batch_rows, learn, predict)


def _classes(model: preprocessing.StandardScaler, names: list[str], rows: np.ndarray) -> np.ndarray:
    if len(rows) == 1:
        return np.array([model.predict_one(dict(zip(names, rows[0].tolist(), strict=True)))])
    probabilities = model.predict_proba_many(pd.DataFrame(rows, columns=names))
    return probabilities.columns.to_numpy()[probabilities.to_numpy().argmax(axis=1)]


METHODS: dict[str, Method] = {f"MLP, {size} a step": partial(play, size) for size in (1, 32, 256)}

if __name__ == "__main__":
    run(METHODS)
