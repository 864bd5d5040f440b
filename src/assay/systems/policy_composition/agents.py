"""Learned critics on disk: a configuration in JSON, weights in safetensors, nothing that runs."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import DataError, ParameterError
from assay.systems.policy_composition.actions import ActionSet, box
from assay.systems.policy_composition.indifference import IndifferenceSpace

if TYPE_CHECKING:
    from assay.systems.policy_composition.q_network import QNetwork

__all__ = ["Agent", "Configuration", "load_agent", "new_network", "save_agent"]

CONFIG, WEIGHTS = "config.json", "model.safetensors"
MODEL_TYPE, FORMAT = "assay_soft_q", 1


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Everything but the weights.

    Attributes:
        task: What was learnt.
        observations: Numbers in a state.
        low: Lower corner of the box of actions.
        high: Its upper corner.
        width: Width of the network's layers.
        depth: How many.
        scale: What states are divided by.
        temperature: In the unit of the rewards.
        discount: Of later rewards.
        trained: How it was trained, for people.
    """

    task: str
    observations: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    width: int
    depth: int
    scale: float = 1.0
    temperature: float = 1.0
    discount: float = 0.99
    trained: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Agent:
    """A learned critic.

    Attributes:
        network: What actions are worth.
        of: Its configuration.
    """

    network: "QNetwork"
    of: Configuration

    def actions(self, per_axis: int = 17) -> ActionSet:
        """The box of actions, with so many candidates along an axis."""
        return box(self.of.low, self.of.high, per_axis)

    def level(
        self, epsilon: float, *, per_axis: int = 17, actions: ActionSet | None = None
    ) -> IndifferenceSpace:
        """The critic as a level of a stack.

        Args:
            epsilon: Its slack.
            per_axis: Candidates along an axis.
            actions: Candidates that levels of a stack share, instead.
        """
        from assay.systems.policy_composition.q_network import Quality

        candidates = self.actions(per_axis) if actions is None else actions
        return IndifferenceSpace(Quality(self.network), epsilon, candidates, self.of.task)


def new_network(of: Configuration) -> "QNetwork":
    """A network of this configuration, untrained."""
    from assay.systems.policy_composition.q_network import QNetwork

    return QNetwork(of.observations, len(of.low), of.width, of.depth, of.scale)


def save_agent(folder: Path, agent: Agent) -> None:
    """Write an agent; the folder is made."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": MODEL_TYPE, "format": FORMAT, **asdict(agent.of)}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    weights = {name: value.contiguous() for name, value in agent.network.state_dict().items()}
    save_file(weights, folder / WEIGHTS)


def load_agent(folder: Path) -> Agent:
    """Read an agent that `save_agent` wrote.

    Raises:
        DataError: If the folder holds no such agent, or another one than its configuration says.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind, number = config.pop("model_type"), config.pop("format")
        if (kind, number) != (MODEL_TYPE, FORMAT):
            raise ValueError(f"a {kind} of format {number}")
        corners = {name: tuple(map(float, config[name])) for name in ("low", "high")}
        of = Configuration(**config | corners)
        box(of.low, of.high, 2)
        with torch.device("meta"):  # without first weights, which would take random numbers
            network = new_network(of)
        weights = load_file(folder / WEIGHTS)
        bad = next((name for name, value in weights.items() if not value.isfinite().all()), None)
        if bad is not None:
            raise ValueError(f"numbers of {bad} are not finite")
        network.load_state_dict(weights, assign=True)
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, AttributeError,
            ParameterError, SafetensorError) as error:  # fmt: skip
        why = str(error).partition("\n")[0]
        raise DataError(
            f"holds no learned critic ({why})",
            where=str(folder),
            accepted=f"{CONFIG} and {WEIGHTS} as save_agent writes them",
        ) from error
    return Agent(network.eval(), of)
