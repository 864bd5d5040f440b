"""What a decoder, dense or sparse, is built from; as transformers writes it, and as a shape."""

import math
from typing import Any

from transformers import AutoConfig, PreTrainedConfig
from transformers.activations import ACT2FN

from assay.errors import ParameterError
from assay.systems.mixture_of_experts.costs import Shape
from assay.systems.mixture_of_experts.routing import RoutingPolicy

__all__ = ["SparseDecoderConfig", "config_of", "require_sound", "shape_of"]

POSITIONS = ("sinusoidal", "learned")
LEAST = {
    "vocab_size": 1,
    "hidden_size": 1,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 1,
    "max_position_embeddings": 1,
    "experts": 0,
    "expert_every": 1,
}
"""Fields that are whole numbers, and the least they can be."""


class SparseDecoderConfig(PreTrainedConfig):
    """What a decoder is built from; names are those of transformers where it has one.

    ``experts`` of 0 or 1 stand for a dense model. Positions are ``sinusoidal``, as in fairseq
    and XGLM, or ``learned``, as in GPT-2. ``choices`` to ``normalise`` are the fields of
    `routing.RoutingPolicy`. ``balance_weight`` is what the load-balancing loss of a mixture is
    worth beside the loss of a token.
    """

    model_type = "assay_sparse_decoder"
    keys_to_ignore_at_inference = ("past_key_values",)

    vocab_size: int = 50257
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 2048
    activation_function: str = "gelu"
    layer_norm_epsilon: float = 1e-5
    position_embedding_type: str = "sinusoidal"
    scale_embedding: bool = True
    dropout: float | int = 0.0
    attention_dropout: float | int = 0.0
    initializer_range: float = 0.02
    experts: int = 0
    expert_every: int = 2
    choices: int = 2
    second: str = "all"
    capacity_factor: float | int | None = 1.0
    evaluation_capacity: float | int | None = None
    batch_prioritised: bool = False
    normalise: str = "after_dropping"
    balance_weight: float | int = 0.01
    use_cache: bool = True
    bos_token_id: int | None = 0
    pad_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = True

    def policy(self) -> RoutingPolicy:
        """How tokens find their experts."""
        return RoutingPolicy(
            choices=self.choices,  # type: ignore[arg-type] - checked there
            second=self.second,  # type: ignore[arg-type]
            capacity_factor=self.capacity_factor,
            evaluation_capacity=self.evaluation_capacity,
            batch_prioritised=self.batch_prioritised,
            normalise=self.normalise,  # type: ignore[arg-type]
        )

    def is_mixture(self, layer: int) -> bool:
        """Whether a layer, counted from 0, has experts."""
        return self.experts > 1 and (layer + 1) % self.expert_every == 0


def shape_of(config: SparseDecoderConfig, length: int) -> Shape:
    """The shape from which costs are computed.

    Args:
        config: Of the decoder.
        length: Tokens of a row.

    Raises:
        ParameterError: If its numbers do not fit together.
    """
    learned = config.position_embedding_type == "learned"
    return Shape(
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        inner=config.intermediate_size,
        heads=config.num_attention_heads,
        vocabulary=config.vocab_size,
        length=length,
        experts=config.experts,
        expert_every=config.expert_every,
        choices=config.choices,
        positions=config.max_position_embeddings if learned else 0,
    )


def require_sound(config: SparseDecoderConfig) -> None:
    """Refuse a configuration of which no model can be built, such as one edited by hand.

    Args:
        config: The configuration.

    Raises:
        ParameterError: If a field is not what it should be, or they do not fit together.
    """
    for name, least in LEAST.items():
        value: Any = getattr(config, name)
        if type(value) is not int or value < least:
            _refuse(config, name, f"a whole number of at least {least}")
    for name in ("dropout", "attention_dropout"):
        if not _within(getattr(config, name), 0, 1):
            _refuse(config, name, "at least 0 and below 1")
    if not _within(config.balance_weight, 0, math.inf):
        _refuse(config, "balance_weight", "at least 0")
    for name in ("bos_token_id", "pad_token_id"):
        value = getattr(config, name)
        if value is not None and (type(value) is not int or not 0 <= value < config.vocab_size):
            _refuse(config, name, f"none, or below the vocabulary of {config.vocab_size:,}")
    if config.position_embedding_type not in POSITIONS:
        _refuse(config, "position_embedding_type", " or ".join(map(repr, POSITIONS)))
    if config.activation_function not in ACT2FN:
        _refuse(config, "activation_function", "one that transformers knows, such as 'gelu'")
    config.policy()
    shape_of(config, 1)


def _within(value: Any, least: float, below: float) -> bool:
    return isinstance(value, int | float) and least <= value < below


def _refuse(config: SparseDecoderConfig, name: str, accepted: str) -> None:
    raise ParameterError(f"{name} is {getattr(config, name)!r}", accepted=accepted)


def config_of(shape: Shape, **more: Any) -> SparseDecoderConfig:
    """A configuration of a shape, rows no longer than the shape says.

    Args:
        shape: Not a gated one.
        more: Other fields, such as those of the routing.
    """
    if shape.gated:
        raise ParameterError("a gated shape", accepted="a feed-forward layer of two matrices")
    return SparseDecoderConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
        max_position_embeddings=shape.positions or shape.length,
        position_embedding_type="learned" if shape.positions else "sinusoidal",
        experts=shape.experts,
        expert_every=shape.expert_every,
        **{"choices": shape.choices, **more},
    )


AutoConfig.register(SparseDecoderConfig.model_type, SparseDecoderConfig, exist_ok=True)
