"""Names of what can be chosen, without torch, which the studies' tables are read without."""

from typing import Literal

__all__ = ["ObjectiveName", "PriorName", "WeightingName"]

WeightingName = Literal["learned", "static", "entropy", "uniform", "poe", "moe", "mopoe"]
PriorName = Literal["none", "fixed", "weighted"]
ObjectiveName = Literal["elbo", "likelihood"]
