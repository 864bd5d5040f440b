"""BART as the upper part of a translator: a new encoder of foreign words learns to feed it.

The embedding that BART's encoder reads is replaced by a new encoder with a vocabulary of its own,
which turns foreign words into something that BART can denoise into its own language (Lewis et al.
2020). Training has two stages, see `freeze_for_stage`. A translator is a BART otherwise: it trains,
writes with beams, is saved and loaded as one.
"""

from typing import Any, Literal

from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSeq2SeqLM, BartConfig, BartForConditionalGeneration
from transformers.models.bart.modeling_bart import BartEncoder

from assay.parts.training.torch_state import seeded

__all__ = ["SourceEncoder", "Translator", "TranslatorConfig", "freeze_for_stage", "new_translator"]

TRAINED_FIRST = (
    "model.encoder.embed_tokens.",  # the source encoder
    "model.encoder.embed_positions.",
    "model.decoder.embed_positions.",
    "model.encoder.layers.0.self_attn.q_proj.",
    "model.encoder.layers.0.self_attn.k_proj.",
    "model.encoder.layers.0.self_attn.v_proj.",
)
"""What the first stage trains, by the beginning of its name."""


class TranslatorConfig(BartConfig):
    """What a translator is built from: a BART and its source encoder."""

    model_type = "assay_translator"

    source_vocab_size: int = 50265
    source_layers: int = 6


class SourceEncoder(nn.Module):
    """A Transformer encoder with a vocabulary of its own, in the place of an embedding.

    Args:
        config: Of the translator; width, heads and dropout are those of its BART.
    """

    def __init__(self, config: TranslatorConfig) -> None:
        super().__init__()
        kept = {key: value for key, value in config.to_dict().items() if key != "model_type"}
        kept |= {"vocab_size": config.source_vocab_size, "encoder_layers": config.source_layers}
        self.pad = config.pad_token_id
        self.encoder = BartEncoder(BartConfig(**kept))

    def forward(self, ids: Int[Tensor, "rows length"]) -> Float[Tensor, "rows length width"]:
        """What BART's encoder gets in the place of embeddings."""
        return self.encoder(ids, attention_mask=(ids != self.pad).long()).last_hidden_state


class Translator(BartForConditionalGeneration):
    """A BART whose encoder reads another language.

    Args:
        config: What it is built from.
    """

    config_class = TranslatorConfig

    def __init__(self, config: TranslatorConfig) -> None:
        super().__init__(config)
        self.model.encoder.embed_tokens = SourceEncoder(config)  # type: ignore[assignment]
        del self.model.all_tied_weights_keys["encoder.embed_tokens.weight"]
        self.post_init()


def new_translator(
    bart: BartForConditionalGeneration, source_vocabulary: int, *, layers: int = 6, seed: int = 0
) -> Translator:
    """A translator on a copy of a BART.

    Args:
        bart: Trained on the language to translate into.
        source_vocabulary: Entries of the tokenizer of the language to translate from; its special
            tokens have the numbers of those of BART.
        layers: Layers of the source encoder.
        seed: Of its weights.
    """
    kept: dict[str, Any] = {**bart.config.to_dict(), "source_vocab_size": source_vocabulary}
    del kept["model_type"], kept["architectures"]
    with seeded(seed):
        translator = Translator(TranslatorConfig(**kept, source_layers=layers))
    state = bart.state_dict()
    del state["model.encoder.embed_tokens.weight"]
    missing, unknown = translator.load_state_dict(state, strict=False)
    own = "model.encoder.embed_tokens."
    if unknown or not all(name.startswith(own) for name in missing):
        raise ValueError(f"weights of BART that do not fit: {unknown or missing}")
    translator.generation_config = bart.generation_config
    return translator.train(bart.training)


def freeze_for_stage(translator: Translator, stage: Literal[1, 2]) -> list[str]:
    """Let a stage train what it should.

    Stage 1 trains the source encoder, BART's positional embeddings and the input projection of the
    self-attention of BART's first encoder layer; stage 2 trains everything.

    Args:
        translator: Changed in place.
        stage: 1 or 2.

    Returns:
        Names of the parameters that are trained.
    """
    trained = []
    for name, parameter in translator.named_parameters():
        parameter.requires_grad_(stage == 2 or name.startswith(TRAINED_FIRST))
        if parameter.requires_grad:
            trained.append(name)
    return trained


AutoConfig.register(TranslatorConfig.model_type, TranslatorConfig, exist_ok=True)
AutoModelForSeq2SeqLM.register(TranslatorConfig, Translator, exist_ok=True)
