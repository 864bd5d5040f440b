"""Skill metrics learned from features: Poisson or ridge regression, one model for each fold.

Surgeons are kept together: whoever is in a fold is not in the training of its model, and the
penalty of that model is chosen inside of its training, again by surgeons. So the predictions out of
fold are those of somebody never seen. Of a new recording the prediction is the mean over the folds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, Int

from assay.errors import DataError, ParameterError, did_you_mean

__all__ = [
    "MODELS",
    "Counts",
    "Model",
    "fit_counts",
    "grouped_folds",
    "poisson",
    "predict",
    "ridge",
]

Model = Literal["poisson", "ridge", "median"]
MODELS: tuple[Model, ...] = get_args(Model)
"""How counts are learned; the training median is the trivial reference."""
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)
FURTHEST = 4.0
"""Features count at most so many standard deviations: who is a stranger is not guessed wildly."""
NEARLY_NONE = 1e-6
"""Expected count where none was seen in training; its logarithm is a number."""


@dataclass(frozen=True, eq=False)
class Counts:
    """A model of skill metrics for each fold.

    Attributes:
        model: One of `MODELS`.
        mean: Mean of the features in training ``[fold, feature]``.
        sd: Their standard deviation, 1 where it is 0 ``[fold, feature]``.
        weights: Of the standardised features ``[fold, metric, feature]``.
        intercept: ``[fold, metric]``.
        penalty: The one chosen ``[fold, metric]``; NaN where there is nothing to choose.
        fold: Fold of each case of the training ``[case]``.
        out_of_fold: What the model that did not see it predicts of each case ``[case, metric]``.
    """

    model: Model
    mean: Float[np.ndarray, "fold feature"]
    sd: Float[np.ndarray, "fold feature"]
    weights: Float[np.ndarray, "fold metric feature"]
    intercept: Float[np.ndarray, "fold metric"]
    penalty: Float[np.ndarray, "fold metric"]
    fold: Int[np.ndarray, " case"]
    out_of_fold: Float[np.ndarray, "case metric"]


class Line(NamedTuple):
    """A linear predictor: weights ``[feature]`` and an intercept."""

    weights: np.ndarray
    intercept: float


def fit_counts(
    features: Float[np.ndarray, "case feature"],
    targets: Float[np.ndarray, "case metric"],
    groups: Int[np.ndarray, " case"],
    *,
    model: Model = "poisson",
    folds: int = 5,
    seed: int,
) -> Counts:
    """Learn skill metrics from features.

    Args:
        features: One row for each case, all numbers.
        targets: At least 0; NaN where a metric is not known, which then is left out of its model.
        groups: Surgeon of each case.
        model: One of `MODELS`.
        folds: How many; fewer where there are fewer surgeons.
        seed: Of the folds.

    Raises:
        DataError: If the arrays do not fit together, a value is refused, there are fewer than three
            surgeons, or a metric is not known outside of a fold.
        ParameterError: If the model is not known.
    """
    if model not in MODELS:
        raise ParameterError(
            f"no model {model!r}", where="fit_counts", next=did_you_mean(model, MODELS)
        )
    _require(features, targets, groups)
    fold = grouped_folds(groups, folds, seed)
    shape = int(fold.max()) + 1, targets.shape[1]
    weights, mean, sd = (np.zeros((*s, features.shape[1])) for s in (shape, shape[:1], shape[:1]))
    intercept, penalty = np.zeros(shape), np.full(shape, np.nan)
    predicted = np.zeros_like(targets)
    for k in range(shape[0]):
        train = fold != k
        mean[k], sd[k] = features[train].mean(axis=0), features[train].std(axis=0)
        sd[k][sd[k] < 1e-9] = 1.0
        rows = _standardised(features, mean[k], sd[k])
        for metric in range(shape[1]):
            known = train & ~np.isnan(targets[:, metric])
            if not known.any():
                raise DataError(
                    f"metric {metric + 1} is known of nobody outside of fold {k + 1}",
                    where="targets", next="Take other folds, or leave the metric out.",
                )  # fmt: skip
            of = rows[known], targets[known, metric], groups[known]
            line, penalty[k, metric] = _chosen(model, *of, folds=folds, seed=seed)
            weights[k, metric], intercept[k, metric] = line
            predicted[~train, metric] = _mean_of(model, line, rows[~train])
    return Counts(model, mean, sd, weights, intercept, penalty, fold, predicted)


def predict(
    counts: Counts, features: Float[np.ndarray, "case feature"]
) -> Float[np.ndarray, "case metric"]:
    """The mean of what the models of all folds predict, at least 0."""
    each = []
    for k in range(len(counts.mean)):
        rows = _standardised(features, counts.mean[k], counts.sd[k])
        lines = zip(counts.weights[k], counts.intercept[k], strict=True)
        each.append([_mean_of(counts.model, Line(*line), rows) for line in lines])
    return np.mean(each, axis=0).T


def grouped_folds(groups: Int[np.ndarray, " case"], folds: int, seed: int) -> np.ndarray:
    """Folds of about the same size, none of which parts a group.

    Args:
        groups: Group of each case.
        folds: How many; as many as groups if there are fewer.
        seed: Which groups come together.

    Returns:
        The fold of each case, from 0.

    Example:
        >>> grouped_folds(np.array([7, 7, 7, 8, 9, 9]), 2, seed=0).tolist()
        [0, 0, 0, 1, 1, 1]
    """
    names, group = np.unique(groups, return_inverse=True)
    sizes, shuffled = np.bincount(group), np.random.default_rng(seed).permutation(len(names))
    largest_first = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    held = np.zeros(min(folds, len(names)), int)
    fold_of = np.zeros(len(names), int)
    for name in largest_first:
        fold_of[name] = held.argmin()
        held[fold_of[name]] += sizes[name]
    return fold_of[group]


def ridge(
    rows: Float[np.ndarray, "case feature"], y: Float[np.ndarray, " case"], penalty: float
) -> Line:
    """Least squares with a penalty on the square of the weights, not on the intercept."""
    middle = rows.mean(axis=0)
    centred = rows - middle
    gram = centred.T @ centred + penalty * np.eye(rows.shape[1])
    weights = np.linalg.solve(gram, centred.T @ (y - y.mean()))
    return Line(weights, float(y.mean() - middle @ weights))


def poisson(
    rows: Float[np.ndarray, "case feature"], y: Float[np.ndarray, " case"], penalty: float
) -> Line:
    """Poisson regression with a logarithmic link, by maximum likelihood.

    Half the penalty times the square of the weights, not of the intercept, is taken from the
    likelihood. Of numbers that are no counts it is the quasi-likelihood with a variance that is
    proportional to the mean.
    """
    from scipy.optimize import minimize

    if not y.any():
        return Line(np.zeros(rows.shape[1]), float(np.log(NEARLY_NONE)))
    design = np.column_stack([rows, np.ones(len(rows))])
    shrunk = np.append(np.full(rows.shape[1], penalty), 0.0)

    def expected(line: np.ndarray) -> np.ndarray:
        return np.exp(np.minimum(design @ line, 30.0))

    found = minimize(
        lambda line: (expected(line) - y * (design @ line)).sum() + (shrunk * line**2).sum() / 2,
        np.append(np.zeros(rows.shape[1]), np.log(y.mean())),
        jac=lambda line: design.T @ (expected(line) - y) + shrunk * line,
        hess=lambda line: (design.T * expected(line)) @ design + np.diag(shrunk),
        method="trust-exact",
        options={"gtol": 1e-6 * max(1.0, float(y.sum()))},
    )  # fmt: skip
    return Line(found.x[:-1], float(found.x[-1]))


def _chosen(
    model: Model, rows: np.ndarray, y: np.ndarray, groups: np.ndarray, *, folds: int, seed: int
) -> tuple[Line, float]:
    """The model with the penalty that predicts best from surgeon to surgeon."""
    if model == "median":
        return Line(np.zeros(rows.shape[1]), float(np.median(y))), np.nan
    fit: Callable[[np.ndarray, np.ndarray, float], Line] = poisson if model == "poisson" else ridge
    inner = grouped_folds(groups, folds, seed)
    parts = range(int(inner.max()) + 1) if inner.any() else ()
    losses = np.zeros(len(PENALTIES))
    for number, penalty in enumerate(PENALTIES):
        for k in parts:
            of = inner == k
            line = fit(rows[~of], y[~of], penalty)
            losses[number] += _loss(model, _mean_of(model, line, rows[of]), y[of])
    penalty = PENALTIES[int(losses.argmin())] if len(parts) else PENALTIES[-1]
    return fit(rows, y, penalty), penalty


def _loss(model: Model, expected: np.ndarray, y: np.ndarray) -> float:
    if model == "ridge":
        return float(np.square(y - expected).sum())
    return float((expected - y * np.log(np.maximum(expected, NEARLY_NONE))).sum())


def _mean_of(model: Model, line: Line, rows: np.ndarray) -> np.ndarray:
    linear = rows @ line.weights + line.intercept
    return np.exp(np.minimum(linear, 30.0)) if model == "poisson" else np.maximum(linear, 0.0)


def _standardised(features: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    return np.clip((features - mean) / sd, -FURTHEST, FURTHEST)


def _require(features: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> None:
    rows = {len(features), len(targets), len(groups)}
    if len(rows) > 1:
        raise DataError(
            f"{len(features)} rows of features, {len(targets)} of targets, {len(groups)} groups",
            where="fit_counts", accepted="one of each for each case",
        )  # fmt: skip
    if not np.isfinite(features).all():
        case, feature = np.argwhere(~np.isfinite(features))[0]
        raise DataError(f"feature {feature + 1} of case {case + 1} is not a number",
                        where="features")  # fmt: skip
    if (targets < 0).any() or np.isinf(targets).any():
        case, metric = np.argwhere((targets < 0) | np.isinf(targets))[0]
        raise DataError(
            f"metric {metric + 1} of case {case + 1} is {targets[case, metric]:g}",
            where="targets", accepted="at least 0, or NaN",
        )  # fmt: skip
    if len(np.unique(groups)) < 3:
        raise DataError(
            f"{len(np.unique(groups))} surgeons", where="groups",
            accepted="three or more: one to test on, one to choose the penalty with, one to learn "
            "from",
        )  # fmt: skip
