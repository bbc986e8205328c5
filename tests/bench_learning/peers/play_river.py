"""river's classifiers, one row at a time, as river means them to be used."""

from collections.abc import Callable
from functools import partial

import numpy as np
from exchange import Figures, Given, Method, played, run
from river import base, ensemble, forest, linear_model, multiclass, naive_bayes, preprocessing, tree


def play(make: Callable[[int], base.Classifier], given: Given) -> Figures:
    """The model made with the given seed."""
    model = make(given.seed)

    def learn(rows: np.ndarray, classes: np.ndarray) -> None:
        for row, label in zip(rows.tolist(), classes.tolist(), strict=True):
            model.learn_one(dict(enumerate(row)), label)

    def predict(rows: np.ndarray) -> np.ndarray:
        found = [model.predict_one(dict(enumerate(row))) for row in rows.tolist()]
        return np.array([-1 if label is None else label for label in found])

    return played(given, 1, learn, predict)


METHODS: dict[str, Method] = {
    "ARF": partial(play, lambda seed: forest.ARFClassifier(seed=seed)),
    "AMF": partial(play, lambda seed: forest.AMFClassifier(seed=seed)),
    "SRP": partial(play, lambda seed: ensemble.SRPClassifier(model=tree.HoeffdingTreeClassifier(), seed=seed)),
    "softmax": partial(play, lambda seed: preprocessing.StandardScaler() | linear_model.SoftmaxRegression()),
    "naive Bayes": partial(play, lambda seed: naive_bayes.GaussianNB()),
    "one-vs-rest": partial(
        play,
        lambda seed: preprocessing.StandardScaler() | multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
    ),
}

if __name__ == "__main__":
    run(METHODS)
