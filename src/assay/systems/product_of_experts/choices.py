"""Names of what can be chosen, without torch, which the studies' tables are read without."""

from typing import Literal

__all__ = ["CredibilityName", "ObjectiveName", "PriorName", "WeightingName"]

WeightingName = Literal["learned", "static", "entropy", "uniform", "poe", "moe", "mopoe", "gated"]
PriorName = Literal["none", "fixed", "weighted"]
CredibilityName = Literal["own", "shared", "stopped"]
ObjectiveName = Literal["elbo", "likelihood"]
