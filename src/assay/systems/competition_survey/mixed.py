"""A linear mixed model with one covariate and a random intercept per group, by exact REML.

    y = a + b x + u_group + e,    u ~ N(0, psi s2),  e ~ N(0, s2)

Notable: given the ratio psi everything else has a closed form, so the restricted likelihood is a
function of one number, which is searched from 0 on. Normalised ranks put psi *on* that boundary,
since their mean is the same in every competition: general optimisers of mixed models do not
converge there. Inside, the result is that of statsmodels' `MixedLM` (see the tests).
Source: Pinheiro and Bates 2000, section 2.2; degrees of freedom for covariates that vary within
groups, section 2.4.2.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

__all__ = ["Fit", "random_intercept"]

LEVEL = 0.95
LARGEST_RATIO = 1e4


class Fit(NamedTuple):
    """The slope of the covariate.

    Attributes:
        effect: The slope.
        error: Its standard error.
        low: Lower end of the 95 % interval, by Student's t.
        high: Upper end.
        p: Two-sided p-value.
        ratio: Variance between groups over that within.
        problem: Why there is no fit; empty if there is one.
    """

    effect: float = np.nan
    error: float = np.nan
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan
    ratio: float = np.nan
    problem: str = ""


def random_intercept(
    y: Float[np.ndarray, " team"],
    x: Float[np.ndarray, " team"],
    group: Int[np.ndarray, " team"],
    *,
    centred: bool = False,
) -> Fit:
    """Fit the model.

    Args:
        y: The outcome.
        x: The covariate.
        group: Group of each team, any whole numbers.
        centred: Compare teams within their group only: the groups' means are taken out.

    Returns:
        The fit; where there is none, its ``problem`` in words.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import stdtr, stdtrit

    _, group = np.unique(group, return_inverse=True)
    size = np.bincount(group)
    degrees = len(y) - len(size) - 1
    if degrees < 1:
        return Fit(problem="too few teams for the number of competitions")
    design = np.column_stack([np.ones_like(x), x])
    if centred:
        means = [np.bincount(group, v) / size for v in (y, x)]
        y, design = y - means[0][group], (x - means[1][group])[:, None]
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return Fit(problem="the strategy does not vary")
    sums = _Sums(y, design, group, size)
    ratio = 0.0
    if not centred:
        found = minimize_scalar(
            lambda t: sums.deviance(t / (1 - t)),
            bounds=(0.0, LARGEST_RATIO / (1 + LARGEST_RATIO)),
            method="bounded",
            options={"xatol": 1e-10},
        )
        inside = float(found.x / (1 - found.x))
        ratio = inside if found.fun < sums.deviance(0.0) else 0.0
        if ratio > 0.99 * LARGEST_RATIO:
            return Fit(problem="the variance between competitions has no limit")
    slope, variance = sums.solve(ratio, degrees if centred else sums.n - design.shape[1])
    if not variance > 0:
        return Fit(problem="the model leaves no residuals")
    error = float(np.sqrt(variance))
    reach = float(stdtrit(degrees, 0.5 + LEVEL / 2)) * error
    p = 2 * float(stdtr(degrees, -abs(slope) / error))
    return Fit(slope, error, slope - reach, slope + reach, p, ratio)


class _Sums:
    """Sums of squares and products, within and between groups, that the likelihood is made of."""

    def __init__(self, y: np.ndarray, x: np.ndarray, group: np.ndarray, size: np.ndarray) -> None:
        columns = np.column_stack([x, y])
        self.n, self.size = len(y), size
        self.total = columns.T @ columns
        self.by_group = np.stack([np.bincount(group, c) for c in columns.T], axis=1)

    def products(self, ratio: float) -> np.ndarray:
        """X'V^-1 X bordered by X'V^-1 y and y'V^-1 y, for residual variance 1."""
        weight = ratio / (1 + self.size * ratio)
        return self.total - (self.by_group * weight[:, None]).T @ self.by_group

    def residual(self, products: np.ndarray) -> tuple[np.ndarray, float]:
        slopes = np.linalg.solve(products[:-1, :-1], products[:-1, -1])
        return slopes, max(float(products[-1, -1] - products[:-1, -1] @ slopes), 0.0)

    def deviance(self, ratio: float) -> float:
        """Minus twice the restricted log-likelihood, up to a constant."""
        products = self.products(ratio)
        _, squares = self.residual(products)
        degrees = self.n - (len(products) - 1)
        least = np.finfo(float).tiny
        return float(
            degrees * np.log(max(squares, least))
            + np.log1p(self.size * ratio).sum()
            + np.linalg.slogdet(products[:-1, :-1])[1]
        )

    def solve(self, ratio: float, degrees: int) -> tuple[float, float]:
        """The last slope and its variance."""
        products = self.products(ratio)
        slopes, squares = self.residual(products)
        scale = float(np.trace(products))
        exact = squares <= 1e-12 * scale
        inverse = np.linalg.inv(products[:-1, :-1])[-1, -1]
        return float(slopes[-1]), 0.0 if exact else float(squares / degrees * inverse)
