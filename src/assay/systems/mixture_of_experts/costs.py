"""What a dense or sparse model costs: parameters, floating-point operations, memory and storage.

Pure arithmetic of a model's shape. Three costs of training stand side by side in this system: the
paper's analytic count (`training_flops`), the count of what is really computed, router and empty
slots included (`actual_training_flops`), and measured seconds, which no formula gives.

Notable in this file: with activations recomputed in the backward pass, every layer runs four times
its forward operations and the output head three times. For f = 4 d this is the paper's

    F_dense = 96 T l d^2 (1 + s / (6 d) + V / (16 l d))        F_moe = F_dense + 32 T l d^2

for T tokens, l layers of width d, rows of s tokens, V entries, and two of E experts in every second
layer. It leaves the router out, which adds E / (16 d) of a pair of experts: with 512 experts, 0.8 %
at width 4096, 4 % at 768 and an eighth at 256.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from assay.core.records import Records
from assay.errors import ParameterError

__all__ = [
    "PUBLISHED",
    "TRAINING_TOKENS",
    "Forward",
    "Memory",
    "Published",
    "Shape",
    "active_parameters",
    "actual_training_flops",
    "computed_slots",
    "dense_twin",
    "forward_flops",
    "gpu_days",
    "parameters",
    "published_costs",
    "training_flops",
    "training_memory",
]

TRAINING_TOKENS = 300_000_000_000
"""Tokens that every published model saw."""
V100_FLOPS = 30e12
"""Operations a second that a V100 sustains, as the published GPU-days assume."""
SECONDS_PER_DAY = 86_400
TOP = 0.2
"""Share of the experts that count as the most and the least used."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The shape of a decoder, dense or sparse.

    Attributes:
        layers: Transformer blocks.
        width: Width of the hidden states.
        inner: Inner width of a feed-forward layer, and of every expert.
        heads: Attention heads.
        vocabulary: Entries of the table of embeddings, which the output head shares.
        length: Tokens of a row.
        experts: Experts of a mixture layer; 0 or 1 for a dense model.
        expert_every: Layer i (from 0) is a mixture where i + 1 is a multiple of this.
        choices: Experts that a token goes to.
        gated: Whether feed-forward layers have a gate, three matrices instead of two and no biases.
        positions: Rows of a learned table of positions; 0 where positions are computed.
    """

    layers: int
    width: int
    inner: int
    heads: int
    vocabulary: int
    length: int
    experts: int = 0
    expert_every: int = 2
    choices: int = 2
    gated: bool = False
    positions: int = 0

    def __post_init__(self) -> None:
        for name in ("layers", "width", "inner", "heads", "vocabulary", "length", "expert_every"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} is {getattr(self, name)}", accepted="at least 1")
        if self.width % self.heads:
            raise ParameterError(
                f"a width of {self.width} for {self.heads} heads", accepted="a multiple of them"
            )
        if self.experts > 1 and not 1 <= self.choices <= self.experts:
            raise ParameterError(
                f"choices is {self.choices}", accepted=f"1 to {self.experts}, the experts"
            )

    @property
    def mixtures(self) -> int:
        """Layers that are mixtures of experts."""
        return self.layers // self.expert_every if self.experts > 1 else 0

    @property
    def family(self) -> Literal["dense", "sparse"]:
        """Whether it has mixtures."""
        return "sparse" if self.mixtures else "dense"

    @property
    def name(self) -> str:
        """Family and width, and of a sparse model its experts: ``dense-128``, ``sparse-128x8``."""
        experts = f"x{self.experts}" if self.mixtures else ""
        return f"{self.family}-{self.width}{experts}"


def dense_twin(shape: Shape) -> Shape:
    """The dense shape that costs a token as many operations, by the paper's count.

    Its feed-forward layers are all of one width, so wide that together they take what the choices
    of the mixtures and the dense layers between them take.

    Raises:
        ParameterError: If that is not a whole number.

    Example:
        >>> sparse = Shape(layers=4, width=8, inner=32, heads=1, vocabulary=9, length=4, experts=8)
        >>> dense_twin(sparse).inner
        48
    """
    total = shape.inner * (shape.layers + shape.mixtures * (shape.choices - 1))
    if total % shape.layers:
        raise ParameterError(
            f"{shape.mixtures} mixtures in {shape.layers} layers have no dense twin",
            accepted="such that the twin's layers get equal whole widths",
        )
    return replace(shape, inner=total // shape.layers, experts=0)


# -- parameters and memory ----------------------------------------------------------------------


def parameters(shape: Shape) -> int:
    """Parameters of a model, biases and layer norms included (tied embeddings, two norms a layer).

    Over the dense model of its skeleton, a sparse one adds (l / 2) (E - 1) (8 d^2 + 5 d) for the
    experts and (l / 2) E d for the router, where f = 4 d and every second layer is a mixture.
    """
    return _counted(shape, max(shape.experts, 1))


def active_parameters(shape: Shape) -> int:
    """Parameters that one token meets: of the experts only those it goes to."""
    return _counted(shape, shape.choices if shape.mixtures else 1)


def _counted(shape: Shape, experts: int) -> int:
    d, f = shape.width, shape.inner
    feed_forward = 3 * d * f if shape.gated else 2 * d * f + f + d
    attention_and_norms = 4 * (d * d + d) + 4 * d
    tables = (shape.vocabulary + shape.positions) * d
    dense = shape.layers - shape.mixtures
    mixed = shape.mixtures * (experts * feed_forward + shape.experts * d)
    return tables + shape.layers * attention_and_norms + dense * feed_forward + mixed + 2 * d


class Memory(NamedTuple):
    """Bytes that the state of training takes, activations left out.

    Attributes:
        weights: What the layers compute with.
        master: fp32 copies, where the weights are 16 bits.
        moments: Both moments of AdamW, fp32.
        gradients: In the precision of the weights.
    """

    weights: int
    master: int
    moments: int
    gradients: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self)

    @property
    def checkpoint(self) -> int:
        """Bytes on disk from which training goes on: all but the gradients."""
        return self.total - self.gradients


def training_memory(count: int, precision: Literal["fp32", "mixed"] = "mixed") -> Memory:
    """State of training with AdamW: 16 bytes a parameter in either precision.

    Args:
        count: Parameters, see `parameters`.
        precision: ``mixed``: 16-bit weights and gradients, fp32 copies; or all in ``fp32``.

    Example:
        >>> training_memory(1000).total, training_memory(1000).checkpoint
        (16000, 14000)
    """
    if precision == "fp32":
        return Memory(4 * count, 0, 8 * count, 4 * count)
    return Memory(2 * count, 4 * count, 8 * count, 2 * count)


# -- operations ---------------------------------------------------------------------------------


class Forward(NamedTuple):
    """Operations of one token's forward pass, two for every multiplication with addition.

    Attributes:
        attention: Projections (8 d^2) and scores with values (4 s d, causality not halved), of all
            layers.
        feed_forward: 4 d f (6 d f with a gate) for every layer and expert computed.
        router: 2 d E for every mixture layer; the paper leaves it out.
        head: 2 V d.
    """

    attention: float
    feed_forward: float
    router: float
    head: float


def forward_flops(shape: Shape, slots: float | None = None) -> Forward:
    """Operations of one token in a forward pass.

    Args:
        shape: The model.
        slots: Rows that the experts of a mixture layer compute for each token, empty ones included
            (`computed_slots` over the tokens); as many as the choices if not given.
    """
    d = shape.width
    computed = shape.choices if slots is None else slots
    one = (6 if shape.gated else 4) * d * shape.inner
    return Forward(
        attention=shape.layers * (8 * d * d + 4 * shape.length * d),
        feed_forward=one * (shape.layers - shape.mixtures + shape.mixtures * computed),
        router=2 * d * shape.experts * shape.mixtures,
        head=2 * shape.vocabulary * d,
    )


def training_flops(shape: Shape, tokens: float, *, recomputed: bool = True) -> float:
    """The paper's analytic cost of training, in operations.

    Args:
        shape: The model.
        tokens: Tokens trained on.
        recomputed: Whether activations are computed again in the backward pass, which the paper
            counts: layers then cost four forward passes instead of three.
    """
    once = forward_flops(shape)
    layers = once.attention + once.feed_forward
    return tokens * ((4 if recomputed else 3) * layers + 3 * once.head)


def actual_training_flops(
    shape: Shape, tokens: float, *, slots: float | None = None, recomputed: bool = False
) -> float:
    """Operations that training really takes: router and empty slots count, dropped tokens do too.

    Args:
        shape: The model.
        tokens: Tokens trained on.
        slots: Mean rows computed per token in a mixture layer, see `forward_flops`.
        recomputed: Whether activations were computed again.

    Example:
        >>> model = Shape(layers=2, width=8, inner=32, heads=1, vocabulary=100, length=4, experts=4)
        >>> actual_training_flops(model, 1) - training_flops(model, 1, recomputed=False)
        192.0
    """
    once = forward_flops(shape, slots)
    layers = once.attention + once.feed_forward + once.router
    return float(tokens * ((4 if recomputed else 3) * layers + 3 * once.head))


def computed_slots(
    loads: Int[np.ndarray, " experts"], *, capacity: int | None = None, multiple: int = 1
) -> int:
    """Rows that the experts of one layer compute in one step.

    Args:
        loads: Tokens that each expert gets.
        capacity: Places of each expert, all of which are computed; as many as needed if None.
        multiple: What the rows of an expert are filled up to a multiple of.

    Example:
        >>> loads = np.array([70, 0, 10])
        >>> computed_slots(loads), computed_slots(loads, multiple=64)
        (80, 192)
        >>> computed_slots(loads, capacity=50)
        150
    """
    if capacity is not None:
        return capacity * len(loads)
    return int((-(-loads // multiple) * multiple).sum())


def gpu_days(flops: float) -> float:
    """Days that one V100 takes at 30 TFLOP/s.

    Example:
        >>> round(gpu_days(0.364e21))
        140
    """
    return flops / (V100_FLOPS * SECONDS_PER_DAY)


# -- the published models -----------------------------------------------------------------------


class Published(NamedTuple):
    """A published model.

    Attributes:
        family: Dense or sparse.
        skeleton: The dense model of equal layers and width.
        shape: Its shape.
    """

    family: Literal["dense", "sparse"]
    skeleton: str
    shape: Shape


SKELETONS = {
    "125M": (12, 768, 12), "355M": (24, 1024, 16), "1.3B": (24, 2048, 32),
    "2.7B": (32, 2560, 32), "6.7B": (32, 4096, 32), "13B": (40, 5120, 40),
}  # fmt: skip
"""Layers, width and heads of the dense models."""
SPARSE = {"15B": "125M", "52B": "355M", "207B": "1.3B", "1.1T": "6.7B"}
"""Each sparse model and its skeleton: 512 experts in every second layer, two for each token."""


def _published(skeleton: str, experts: int) -> Published:
    layers, width, heads = SKELETONS[skeleton]
    shape = Shape(
        layers=layers,
        width=width,
        inner=4 * width,
        heads=heads,
        vocabulary=50_257,
        length=2048,
        experts=experts,
    )
    return Published("sparse" if experts else "dense", skeleton, shape)


PUBLISHED = {
    **{name: _published(name, 0) for name in SKELETONS},
    **{name: _published(skeleton, 512) for name, skeleton in SPARSE.items()},
}
"""The published models by name. Rows of 2048 tokens; the 1.1T itself was trained on 1024."""


def published_costs(tokens: float = TRAINING_TOKENS) -> Records:
    """Parameters, operations, memory and storage of every published model, by ``model``.

    The measures are those of a trained model, without seconds: ``parameters``,
    ``active_parameters``, ``training_flops``, ``training_flops_actual`` (router counted, no empty
    slots, activations recomputed), ``memory_bytes`` (`training_memory`), ``checkpoint_bytes``,
    ``weights_bytes`` (16 bits a parameter, as models are passed on) and ``gpu_days``.
    """
    records = Records()
    for name, (family, _, shape) in PUBLISHED.items():
        count, flops = parameters(shape), training_flops(shape, tokens)
        memory = training_memory(count)
        for measure, value, unit in (
            ("parameters", count, "1"),
            ("active_parameters", active_parameters(shape), "1"),
            ("training_flops", flops, "FLOP"),
            ("training_flops_actual", actual_training_flops(shape, tokens, recomputed=True),
             "FLOP"),
            ("memory_bytes", memory.total, "byte"),
            ("checkpoint_bytes", memory.checkpoint, "byte"),
            ("weights_bytes", memory.weights, "byte"),
            ("gpu_days", gpu_days(flops), "d"),
        ):  # fmt: skip
            records.add(measure, value, unit, model=name, family=family)
    return records
