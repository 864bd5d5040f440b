"""The models that are compared: BART, a causal decoder and a two-stream Transformer, of equal size.

BART and the decoder are the classes of transformers, so a trained folder loads wherever theirs do.
All three share the vocabulary, the special ids of the tokenizer and the width; the models with one
stack have as many layers as give it the matrices of the two stacks of BART.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from assay.errors import ParameterError, did_you_mean

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = [
    "KINDS",
    "SIZES",
    "Family",
    "Size",
    "family_of",
    "layers_of_one_stack",
    "new_model",
    "size_of",
]

BEGIN, PAD, END = 0, 1, 2  # <s>, <pad>, </s>; <unk> is 3 and <mask> the last of the tokenizer

Family = Literal["bart", "causal", "two_stream"]
"""An encoder and a decoder, a left-to-right decoder, or two streams under any order."""


KINDS: dict[str, Family] = {
    "bart": "bart",
    "assay_translator": "bart",
    "gpt2": "causal",
    "assay_two_stream": "two_stream",
}
"""The family of each ``model_type``."""


@dataclass(frozen=True)
class Size:
    """How large a model is.

    Attributes:
        layers: Layers of the encoder, and as many of the decoder.
        width: Width of the hidden states.
        heads: Attention heads.
        inner: Width of the feed-forward layers.
    """

    layers: int
    width: int
    heads: int
    inner: int


SIZES = {
    "tiny": Size(layers=2, width=128, heads=4, inner=512),
    "small": Size(layers=3, width=256, heads=4, inner=1024),
    "base": Size(layers=6, width=768, heads=12, inner=3072),
    "large": Size(layers=12, width=1024, heads=16, inner=4096),
}
"""Sizes by name; base and large are the published ones."""


def size_of(name: str) -> Size:
    """A size by its name.

    Raises:
        ParameterError: If there is none of this name.
    """
    if name not in SIZES:
        raise ParameterError(f"no model size {name!r}", next=did_you_mean(name, SIZES))
    return SIZES[name]


def layers_of_one_stack(size: Size) -> int:
    """Layers that give one stack about as many weights as the two stacks of BART.

    A layer with self-attention only holds 4 + 2 inner/width matrices of width x width, a layer of
    BART's decoder 4 more.

    Example:
        >>> [layers_of_one_stack(SIZES[name]) for name in ("tiny", "base", "large")]
        [5, 14, 28]
    """
    encoder = 4 + 2 * size.inner / size.width
    return round(size.layers * (2 * encoder + 4) / encoder)


def new_model(
    family: Family,
    size: Size,
    vocabulary: int,
    *,
    positions: int = 1024,
    seed: int = 0,
    dropout: float = 0.1,
    attention_dropout: float = 0.0,
    initial_deviation: float = 0.02,
) -> "PreTrainedModel":
    """A model of a family with random weights.

    Args:
        family: ``bart`` has post-LayerNorm, learned positions, GeLU and one shared embedding;
            ``causal`` pre-LayerNorm, as GPT-2, and a prefix and what follows it stand in one row,
            so it needs positions for both; for ``two_stream`` see the module of that name.
        size: Its size.
        vocabulary: Entries of the tokenizer, plus those that an objective adds.
        positions: Longest input and output, special tokens included.
        seed: Of the weights; the random numbers of the caller are left as they are.
        dropout: Share of hidden states dropped.
        attention_dropout: Share of attention weights dropped.
        initial_deviation: Standard deviation of the first weights.
    """
    from assay.parts.training.torch_state import seeded

    new = {"bart": _bart, "causal": _causal, "two_stream": _two_stream}[family]
    with seeded(seed):
        return new(size, vocabulary, positions, dropout, attention_dropout, initial_deviation)


def _bart(
    size: Size, vocabulary: int, positions: int, dropout: float, attention_dropout: float,
    initial_deviation: float,
) -> "PreTrainedModel":  # fmt: skip
    from transformers import BartConfig, BartForConditionalGeneration

    config = BartConfig(
        vocab_size=vocabulary,
        max_position_embeddings=positions,
        d_model=size.width,
        encoder_layers=size.layers,
        decoder_layers=size.layers,
        encoder_attention_heads=size.heads,
        decoder_attention_heads=size.heads,
        encoder_ffn_dim=size.inner,
        decoder_ffn_dim=size.inner,
        dropout=dropout,
        attention_dropout=attention_dropout,
        init_std=initial_deviation,
        bos_token_id=BEGIN,
        pad_token_id=PAD,
        eos_token_id=END,
        decoder_start_token_id=END,
        forced_eos_token_id=END,
    )
    return BartForConditionalGeneration(config)


def _causal(
    size: Size, vocabulary: int, positions: int, dropout: float, attention_dropout: float,
    initial_deviation: float,
) -> "PreTrainedModel":  # fmt: skip
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=positions,
        n_embd=size.width,
        n_layer=layers_of_one_stack(size),
        n_head=size.heads,
        n_inner=size.inner,
        activation_function="gelu",
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        attn_pdrop=attention_dropout,
        initializer_range=initial_deviation,
        bos_token_id=BEGIN,
        pad_token_id=PAD,
        eos_token_id=END,
    )
    return GPT2LMHeadModel(config)


def _two_stream(
    size: Size, vocabulary: int, positions: int, dropout: float, attention_dropout: float,
    initial_deviation: float,
) -> "PreTrainedModel":  # fmt: skip
    from assay.systems.denoising.two_stream import TwoStreamConfig, TwoStreamModel

    config = TwoStreamConfig(
        vocab_size=vocabulary,
        max_position_embeddings=positions,
        hidden_size=size.width,
        num_hidden_layers=layers_of_one_stack(size),
        num_attention_heads=size.heads,
        intermediate_size=size.inner,
        dropout=dropout,
        attention_dropout=attention_dropout,
        initializer_range=initial_deviation,
    )
    return TwoStreamModel(config)


def family_of(model: "PreTrainedModel") -> Family:
    """The family that a model belongs to, by its configuration.

    Raises:
        ParameterError: If it belongs to none.
    """
    kind = model.config.model_type
    if kind not in KINDS:
        raise ParameterError(f"no objective trains a {kind}", accepted=", ".join(KINDS))
    return KINDS[kind]
