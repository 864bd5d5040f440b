"""Samplers: every combination (grid), position by position (zip), or a number of draws."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from assay.errors import WorkflowError, did_you_mean

if TYPE_CHECKING:
    from assay.core.decisions import Choice, Decision

SamplerKind = Literal["grid", "zip", "random", "lhs", "sobol"]
MOST = 100_000
"""Points a study may have; more is a slip rather than a plan."""


@dataclass(frozen=True)
class Sampler:
    """How trials are chosen from decisions.

    Attributes:
        kind: ``grid``, ``zip``, ``random``, ``lhs`` (Latin hypercube, McKay et al. 1979) or
            ``sobol`` (scrambled).
        n: Number of points, 1 to 100 000; only for those that draw.
        seed: Seed of the draws.
    """

    kind: SamplerKind = "grid"
    n: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        known = get_args(SamplerKind)
        if self.kind not in known:
            raise WorkflowError(
                f"no sampler {self.kind!r}", next=did_you_mean(str(self.kind), known)
            )
        where = f"sampler {self.kind!r}"
        if self.kind in ("grid", "zip"):
            if self.n:
                raise WorkflowError("takes no number of points", where=where)
        elif not (type(self.n) is int and 1 <= self.n <= MOST):
            raise WorkflowError(
                "needs a number of points", where=where, accepted=f"n of 1 to {MOST}"
            )
        if type(self.seed) is not int or self.seed < 0:
            raise WorkflowError(
                f"{self.seed!r} is not a seed", where=where, accepted="a whole number from 0"
            )

    def points(self, decisions: "Mapping[str, Decision]") -> "Iterator[dict[str, Choice]]":
        """Yield one choice per decision, as (label, patches)."""
        if not decisions:
            yield {}
            return
        if self.kind in ("grid", "zip"):
            yield from self._listed(decisions)
            return
        for row in self._unit_cube(len(decisions)):
            pairs = zip(decisions.items(), row, strict=True)
            yield {name: decision.at(float(u)) for (name, decision), u in pairs}

    def _listed(self, decisions: "Mapping[str, Decision]") -> "Iterator[dict[str, Choice]]":
        lists: list[tuple[Choice, ...]] = []
        for name, decision in decisions.items():
            options = getattr(decision, "options", None)
            if options is None:
                raise WorkflowError(
                    f"a range cannot be listed by sampler {self.kind!r}",
                    where=f"decision {name!r}",
                    next="Use sampler random, lhs or sobol.",
                )
            lists.append(options)
        if self.kind == "zip" and len({len(options) for options in lists}) > 1:
            sizes = ", ".join(f"{n}: {len(o)}" for n, o in zip(decisions, lists, strict=True))
            raise WorkflowError(f"sampler 'zip' needs lists of equal length ({sizes})")
        count = math.prod(map(len, lists))
        if self.kind == "grid" and count > MOST:
            raise WorkflowError(
                f"the grid has {count:,} points",
                accepted=f"at most {MOST:,}",
                next="Use sampler random, lhs or sobol.",
            )
        combine = zip(*lists, strict=True) if self.kind == "zip" else itertools.product(*lists)
        for row in combine:
            yield dict(zip(decisions, row, strict=True))

    def _unit_cube(self, dimensions: int) -> Any:
        """Points in [0, 1), shape ``(n, dimensions)``."""
        import numpy as np

        rng = np.random.default_rng(self.seed)
        if self.kind == "random":
            return rng.random((self.n, dimensions))
        from scipy.stats import qmc

        if self.kind == "lhs":
            return qmc.LatinHypercube(dimensions, rng=rng).random(self.n)
        # a Sobol sequence is balanced at powers of two; the next one is drawn and cut
        sobol = qmc.Sobol(dimensions, scramble=True, rng=rng)
        return sobol.random_base2(math.ceil(math.log2(self.n)))[: self.n]
