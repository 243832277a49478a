"""Linear probe (Radford et al. 2021, appendix A.3): how well a linear classifier on frozen image embeddings does.

    min_{W,b}  sum_i CE(W x_i + b, y_i) + |W|^2 / (2 C)        multinomial logistic regression, L-BFGS

C is the one of highest accuracy on validation pictures, then the classifier is fitted anew on training and validation
pictures, and tested once. C is sought as in the paper: 1e-6, 1e-4, ..., 1e6, then twice as finely around the best,
until 8 steps a decade; of equals the smallest C wins. x is the unit embedding that zero-shot sees, with no other
scaling. (The paper takes the features before the projection into the shared space, for its ViTs.)

What must stay true: no test picture has a part in choosing C.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from safeclip.errors import InputError
from safeclip.evaluate.wilson import wilson

COARSE = tuple(range(-6, 7, 2))
"""log10 C of the first sweep."""
FINEST = 1 / 8
MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class Embedded:
    """Unit embeddings float32 (N, D) and classes int64 (N,), none of them -1."""

    image_ND: np.ndarray
    labels_N: np.ndarray

    def __len__(self) -> int:
        return len(self.labels_N)


def linear_probe(train: Embedded, val: Embedded, test: Embedded) -> dict[str, Any]:
    """Accuracy on `test` of a classifier fitted on `train` and `val`.

    Returns top1, n, ci95 (Wilson), C, val_top1 (of the fit on `train` alone), train_n, val_n, classes (of the fit), and
    converged: whether every fit reached its tolerance within 1,000 iterations. Raises InputError where a part is empty
    or the training pictures have fewer than two classes.
    """
    for part, pictures in (("train", train), ("val", val), ("test", test)):
        if not len(pictures):
            raise InputError(f"linear probe: no {part} picture has a class; give data whose {part} split has classes")
    if len(np.unique(train.labels_N)) < 2:
        raise InputError("linear probe: all training pictures are of one class; give data with more classes")
    fits: list[bool] = []

    def hits(fitted_on: Embedded, exponent: float, measured_on: Embedded) -> int:
        classifier, converged = _fit(fitted_on, exponent)
        fits.append(converged)
        return int((classifier.predict(measured_on.image_ND.astype(np.float64)) == measured_on.labels_N).sum())

    best, val_hits = sought(lambda exponent: hits(train, exponent, val))
    both = Embedded(np.concatenate([train.image_ND, val.image_ND]), np.concatenate([train.labels_N, val.labels_N]))
    k, n = hits(both, best, test), len(test)
    return {
        "top1": k / n,
        "n": n,
        "ci95": list(wilson(k, n)),
        "C": 10.0**best,
        "val_top1": val_hits / len(val),
        "train_n": len(train),
        "val_n": len(val),
        "classes": len(np.unique(both.labels_N)),
        "converged": all(fits),
    }


def sought(score: Callable[[float], int]) -> tuple[float, int]:
    """The exponent of highest score, the smallest of equals, and its score: the coarse sweep, then halved steps."""
    scores = {float(exponent): score(exponent) for exponent in COARSE}
    step = float(COARSE[1] - COARSE[0])
    while step > FINEST:
        step /= 2
        best = _best(scores)
        for exponent in (best - step, best + step):
            if COARSE[0] <= exponent <= COARSE[-1]:
                scores[exponent] = score(exponent)
    return _best(scores), max(scores.values())


def _best(scores: dict[float, int]) -> float:
    return min(scores, key=lambda exponent: (-scores[exponent], exponent))


def _fit(pictures: Embedded, exponent: float) -> tuple[Any, bool]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    strength = 10.0**exponent
    if len(np.unique(pictures.labels_N)) == 2:  # of which it fits one row, the difference: half as large a square
        strength *= 2
    classifier = LogisticRegression(C=strength, solver="lbfgs", max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is counted instead
        classifier.fit(pictures.image_ND.astype(np.float64), pictures.labels_N)
    return classifier, int(np.max(classifier.n_iter_)) < MAX_ITERATIONS
