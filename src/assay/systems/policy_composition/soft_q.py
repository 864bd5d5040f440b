"""Soft Q-learning inside what higher levels allow, many environments at a time.

Notable in this file: learning goes in rounds. A round takes a few steps in every environment, works
out targets for strips of experience, the newest and some retained, by a network that stands still
meanwhile, and fits the network to them. News travels along a strip by traces (see
`experience.trace_targets`), so tens of rounds do what takes thousands of updates one step at a
time. Without environments the same rounds learn from retained experience alone.

Every few rounds all that the next ones depend on is written down, random numbers and retained
experience among it, so what was killed goes on to the same bits.

The soft value of a state is the log of the mean of exp(Q) over the *box*, in which forbidden
actions count with weight zero, as in the oracle: a state that leaves few actions is worth less.

Source: Haarnoja et al. 2017, "Reinforcement learning with deep energy-based policies", with uniform
proposals; inside a mask, Rietz et al. 2024 (public code), but for its defects.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from assay.core.task import task
from assay.errors import ParameterError, StepError
from assay.parts.training.checkpoints import Checkpoints
from assay.parts.training.torch_state import own_threads
from assay.systems.policy_composition.actions import ActionSet
from assay.systems.policy_composition.experience import (
    Experience,
    joined,
    rows_of,
    trace_targets,
)
from assay.systems.policy_composition.indifference import IndifferenceSpace
from assay.systems.policy_composition.practice import Offer, Practice, Prospects, Schedule
from assay.systems.policy_composition.proposals import log_mean_exp
from assay.systems.policy_composition.q_network import QNetwork, Quality, tensor
from assay.systems.policy_composition.surroundings import Surroundings

__all__ = ["Learning", "Learnt", "learn_soft_q"]

CHECKPOINT_EVERY = 20
"""Rounds."""
ADAM = ("step", "exp_avg", "exp_avg_sq")
"""What the optimiser keeps of every weight."""


class Learning(NamedTuple):
    """What a round did: mean squared error of its updates, environment steps until then."""

    loss: float
    environment_steps: int


class Learnt(NamedTuple):
    """What came of it.

    Attributes:
        network: The network.
        experience: What is retained.
        rounds: What each did.
    """

    network: QNetwork
    experience: Experience
    rounds: list[Learning]


def learn_soft_q(
    schedule: Schedule,
    seed: int,
    network: QNetwork,
    actions: ActionSet,
    *,
    surroundings: Surroundings | None = None,
    experience: Experience | None = None,
    above: Sequence[IndifferenceSpace] = (),
    folder: Path | None = None,
) -> Learnt:
    """Learn what actions are worth, with only the allowed ones here and in all later states.

    Args:
        schedule: How.
        seed: Of proposals, actions, noise and batches.
        network: What to train, in place.
        actions: The box of actions.
        surroundings: Where to practise; if not given, only retained experience is learnt from.
        experience: Retained experience, with this task's rewards. Transitions whose action the
            levels above forbid must not be kept.
        above: Levels of higher priority, which stay as they are.
        folder: Where checkpoints are, one every 20 rounds; learning goes on from the last one. If
            not given, nothing is written.

    Returns:
        The network, and the experience that is retained.

    Raises:
        ParameterError: If there is nothing to learn from, or strips to practise have another length
            than those retained.
        StepError: If values become infinite.
        DataError: If the checkpoints are of another run.
    """
    if surroundings is None and (experience is None or not experience.kept.any()):
        raise ParameterError("nothing to learn from", accepted="surroundings, or kept experience")
    lengths = {schedule.steps} if surroundings is not None else set[int]()
    if experience is not None and len(lengths | {experience.rewards.shape[1]}) > 1:
        raise ParameterError(
            f"retained strips of {experience.rewards.shape[1]} steps",
            accepted=f"{schedule.steps}, as those of practice",
        )
    rng = np.random.default_rng(seed)
    offer = Offer(actions, above, schedule.proposals, rng)
    with own_threads(1):
        learner = _Learner(schedule, offer, network, rng, surroundings, experience)
        kept = None
        if folder is not None:
            kept = Checkpoints(folder, _identity(schedule, seed, network, surroundings, above))
            learner.restore(kept.load() or {})
        for number in range(len(learner.rounds), schedule.rounds):
            learner.rounds.append(learner.round(number))
            done = number + 1
            if kept is not None and (done % CHECKPOINT_EVERY == 0 or done == schedule.rounds):
                kept.save(done, learner.state())
            task().progress(done, schedule.rounds, "rounds")
    return Learnt(network, learner.retained[0], learner.rounds)


def _identity(
    schedule: Schedule, seed: int, network: QNetwork, surroundings: Surroundings | None,
    above: Sequence[IndifferenceSpace],
) -> dict[str, Any]:  # fmt: skip
    """What a run must share with a checkpoint to go on from it."""
    return {
        "schedule": asdict(schedule), "seed": seed, "practice": surroundings is not None,
        "weights": {name: list(each.shape) for name, each in network.named_parameters()},
        "levels": [level.name for level in above],
    }  # fmt: skip


def _nothing_yet(schedule: Schedule, network: QNetwork) -> tuple[Experience, Prospects]:
    shape, seen = (0, schedule.steps), network.of_state.in_features
    axes, numbers, flags = network.of_action.in_features, np.empty(shape), np.empty(shape, bool)
    states, actions = np.empty((*shape, seen)), np.empty((*shape, axes))
    offered = np.empty((*shape, schedule.proposals, axes), np.float32)
    return (
        Experience(states, actions, numbers, states, flags, flags, numbers, flags),
        Prospects(offered, offered[..., 0]),
    )


def _ahead(experience: Experience, offer: Offer) -> Prospects:
    """What the next states of retained experience offer."""
    found = offer(rows_of(experience.next_states))
    shape = experience.rewards.shape
    return Prospects(*(each.reshape(*shape, *each.shape[1:]) for each in found))


class _Learner:
    """The network, the one for targets, and what is retained."""

    def __init__(
        self, schedule: Schedule, offer: Offer, network: QNetwork, rng: np.random.Generator,
        surroundings: Surroundings | None, experience: Experience | None,
    ) -> None:  # fmt: skip
        self.schedule, self.network, self.rng = schedule, network, rng
        self.practice = None
        if surroundings is not None:
            self.practice = Practice(surroundings, schedule, offer, rng)
        if experience is None:
            self.retained = _nothing_yet(schedule, network)
        else:
            self.retained = experience, _ahead(experience, offer)
        rate = schedule.learning_rate
        self.optimiser = torch.optim.Adam(network.parameters(), lr=rate, fused=True)
        self.target = copy.deepcopy(network)
        self.rounds = list[Learning]()

    def state(self) -> dict[str, Tensor]:
        """Everything that the next round depends on, and what the rounds so far did."""
        found: dict[str, Any] = {
            "rounds": np.array(self.rounds, float).reshape(-1, len(Learning._fields)),
            "random": np.frombuffer(json.dumps(self.rng.bit_generator.state).encode(), np.uint8),
        }
        if self.practice is not None:
            experience, ahead = self.retained
            strips = {f.name: getattr(experience, f.name) for f in fields(experience)}
            found |= self.practice.state() | strips | ahead._asdict()
        tensors = {name: torch.from_numpy(np.array(value)) for name, value in found.items()}
        for name, weights in self.target.state_dict().items():
            tensors[f"target.{name}"] = weights
        for name, weights in self.network.named_parameters():
            tensors[f"network.{name}"] = weights.detach()
            for key, value in self.optimiser.state[weights].items():
                tensors[f"optimiser.{key}.{name}"] = value
        return tensors

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go back to where a state was taken; nothing is done for an empty one."""
        if not state:
            return
        found = {name: value.numpy() for name, value in state.items()}
        steps = found["rounds"].tolist()
        self.rounds = [Learning(loss, int(taken)) for loss, taken in steps]
        self.rng.bit_generator.state = json.loads(found["random"].tobytes())
        if self.practice is not None:
            self.practice.restore(found)
            strips = Experience(**{f.name: found[f.name] for f in fields(Experience)})
            self.retained = strips, Prospects(*(found[name] for name in Prospects._fields))
        self.target.load_state_dict({n: state[f"target.{n}"] for n in self.target.state_dict()})
        for name, weights in self.network.named_parameters():
            weights.data.copy_(state[f"network.{name}"])
            kept = {key: state[f"optimiser.{key}.{name}"] for key in ADAM}
            self.optimiser.state[weights] = kept

    def round(self, number: int) -> Learning:
        """Practise, work out targets, fit."""
        schedule, newest = self.schedule, 0
        if self.practice is not None:
            newest = self._practise(self.practice)
        if schedule.averaging == 1.0:
            self.target.load_state_dict(self.network.state_dict())
        states, actions, targets = self._targets(newest)
        losses = list[float]()
        for update in range(schedule.updates):
            done = (number + update / schedule.updates) / schedule.rounds
            chosen = torch.from_numpy(self.rng.integers(len(targets), size=schedule.batch))
            batch = (states[chosen], actions[chosen], targets[chosen])
            losses.append(self._update(*batch, schedule.learning_rate * (1 - 0.99 * done)))
        if not np.isfinite(losses).all():
            raise StepError("values became infinite", next="Lower the learning rate.")
        taken = (number + 1) * schedule.environments * schedule.steps
        return Learning(float(np.mean(losses)), taken if newest else 0)

    def _practise(self, practice: Practice) -> int:
        """Retain a new strip of every environment; how many these are."""
        (old, old_ahead), (new, new_ahead) = self.retained, practice.strips(Quality(self.network))
        first = max(len(old.rewards) + len(new.rewards) - self.schedule.retained, 0)
        kept = np.arange(min(first, len(old.rewards)), len(old.rewards))
        ahead = map(np.concatenate, zip(old_ahead.at(kept), new_ahead, strict=True))
        self.retained = joined([old.pick(kept), new]), Prospects(*ahead)
        return len(new.rewards)

    def _targets(self, newest: int) -> tuple[Tensor, Tensor, Tensor]:
        """States, actions and targets of the newest strips and some of the others."""
        experience, ahead = self.retained
        older = len(experience.rewards) - newest
        useful = np.flatnonzero(experience.kept[:older].any(axis=1))
        others = min(max(self.schedule.replayed - newest, 0), len(useful))
        drawn = np.sort(self.rng.choice(useful, others, replace=False)) if others else useful[:0]
        chosen = np.concatenate([drawn, older + np.arange(newest)])
        experience = experience.pick(chosen)
        targets, kept = self._worth(experience, ahead.at(chosen)), experience.kept
        found = experience.states[kept], experience.actions[kept], targets[kept]
        states, actions, worth = map(tensor, found)
        return states, actions, worth

    def _worth(self, experience: Experience, ahead: Prospects) -> np.ndarray:
        schedule, q, shape = self.schedule, Quality(self.target), experience.rewards.shape
        offered = q(rows_of(experience.next_states), rows_of(ahead.proposals))
        values = log_mean_exp(offered, rows_of(ahead.log_weights), schedule.temperature)
        taken = q(rows_of(experience.states), rows_of(experience.actions)[:, None])[:, 0]
        return trace_targets(
            experience, taken.reshape(shape), values.reshape(shape), discount=schedule.discount,
            temperature=schedule.temperature, trace=schedule.trace,
        )  # fmt: skip

    def _update(
        self, states: Tensor, actions: Tensor, targets: Tensor, learning_rate: float
    ) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        loss = nn.functional.mse_loss(self.network(states, actions), targets)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        if self.schedule.averaging < 1.0:
            with torch.no_grad():
                for mean, now in zip(
                    self.target.parameters(), self.network.parameters(), strict=True
                ):
                    mean.lerp_(now, self.schedule.averaging)
        return float(loss.detach())
