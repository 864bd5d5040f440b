"""What is retained for a level to learn from offline: which transitions, how many, and whose."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.errors import ParameterError
from assay.systems.policy_composition.experience import Experience, joined
from assay.systems.policy_composition.practice import Offer, Practice, Schedule
from assay.systems.policy_composition.surroundings import PointSurroundings

__all__ = ["retain", "wander"]

Steps = Annotated[int, Field(ge=1600)]


@component(version="1", requires=("numba", "numpy"))
def wander(
    *,
    environment_steps: Steps = 25_600,
    sigma: Annotated[float, Field(ge=0, lt=10)] = 0.0,
    seed: Seed,
) -> Experience:
    """Walk through point navigation at random, every action as likely, and learn nothing.

    Args:
        environment_steps: Budget, over 64 environments in rounds of 25 steps; what is over goes.
        sigma: Standard deviation of the noise of a step.
        seed: Of starts, actions and noise.

    Returns:
        All transitions, with the rewards of the top.
    """
    rng, space = np.random.default_rng(seed), PointSurroundings("top", sigma)
    schedule = Schedule(explore=1.0)
    rounds = environment_steps // (schedule.environments * schedule.steps)
    practice = Practice(space, schedule, Offer(space.actions, (), schedule.proposals, rng), rng)
    return joined(practice.strips(_indifferent)[0] for _ in range(rounds))


def _indifferent(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    return np.zeros(actions.shape[:2])


@component(version="1", requires=("numpy",))
def retain(
    experience: Experience,
    other: Experience | None = None,
    *,
    strips: PositiveInt | None = None,
    which: Literal["latest", "any"] = "latest",
    other_share: Annotated[float, Field(ge=0, le=1)] = 0.0,
    seed: Seed,
) -> Experience:
    """Keep some strips of what was experienced, and some of what another experienced.

    Args:
        experience: In the order of time.
        other: That of another, of strips as long.
        strips: How many are kept in all; if not given, as many as the experience has.
        which: The latest of them, or any, drawn evenly; those of the other are always drawn.
        other_share: Share of the strips that are the other's.
        seed: Of the draws.

    Raises:
        ParameterError: If there are not so many.
    """
    rng = np.random.default_rng(seed)
    total = len(experience.rewards) if strips is None else strips
    of_other = round(other_share * total)
    parts = list[Experience]()
    wanted = ((experience, total - of_other, which), (other, of_other, "any"))
    for found, count, how in wanted:
        if not count:
            continue
        have = 0 if found is None else len(found.rewards)
        if found is None or count > have:
            raise ParameterError(
                f"{count} strips to keep", accepted=f"at most the {have} there are"
            )
        drawn = rng.choice(have, count, replace=False)
        parts.append(found.pick(np.sort(drawn) if how == "any" else np.arange(have - count, have)))
    return joined(parts)
