"""The folders of decoders, dense and sparse: what is saved here is loaded here."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import DataError, ParameterError
from assay.parts.training.folders import (
    CONFIG,
    load_pretrained,
    read_config,
    require_kind,
    save_pretrained,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from assay.systems.mixture_of_experts.model import SparseDecoderForCausalLM

__all__ = ["KIND", "NEEDED", "load_decoder", "save_decoder"]

KIND = "assay_sparse_decoder"
"""The ``model_type`` of a decoder."""
NEEDED = ("bos_token", "eos_token")
"""Special tokens that its tokenizer must have."""


def save_decoder(
    folder: Path,
    model: "SparseDecoderForCausalLM",
    tokenizer: "PreTrainedTokenizerFast | None",
    card: Mapping[str, Any],
) -> None:
    """Write a decoder, its tokenizer and its card. See `folders.save_pretrained`."""
    config = model.config
    sparse = any(map(config.is_mixture, range(config.num_hidden_layers)))
    title = f"Decoder with {config.experts} experts" if sparse else "Dense decoder"
    save_pretrained(folder, model, tokenizer, {"title": title, **card}, auto="AutoModelForCausalLM")


def load_decoder(
    folder: Path, *, length: int = 0, vocabulary: int = 0
) -> "SparseDecoderForCausalLM":
    """Load a decoder in float32, ready for evaluation.

    Args:
        folder: As `save_decoder` writes it.
        length: Tokens of the rows that it is to read.
        vocabulary: One more than the largest token in them.

    Raises:
        DataError: If it holds another architecture (a dense one can be converted, see
            `upcycling`), a configuration that is not sound, weights that are damaged, incomplete
            or not plain tensors, or a model that cannot read such rows.
    """
    from assay.systems.mixture_of_experts.configuration import SparseDecoderConfig, require_sound
    from assay.systems.mixture_of_experts.model import SparseDecoderForCausalLM

    require_kind(folder, (KIND,))
    known, written = SparseDecoderConfig.__annotations__, read_config(folder)
    try:
        require_sound(SparseDecoderConfig(**{k: v for k, v in written.items() if k in known}))
    except ParameterError as error:
        wrong = error.at(str(folder / CONFIG))
        raise DataError(
            wrong.what, where=wrong.where, accepted=wrong.accepted,
            next="Correct it, or fetch the file again.",
        ) from error  # fmt: skip
    model = load_pretrained(SparseDecoderForCausalLM, folder)
    if extra := sorted(_names(folder) - set(model.state_dict())):
        raise DataError(
            f"{len(extra)} weights have no place in the model, the first is {extra[0]}",
            where=str(folder),
            next="Fetch the files again, or correct config.json.",
        )
    for name, weight in model.named_parameters():
        if not weight.isfinite().all():
            raise DataError(f"the weights {name} are not finite", where=str(folder))
    _require_readable(model.config, length, vocabulary, str(folder))
    return model


def _names(folder: Path) -> set[str]:
    """Names of the weights that lie in a folder."""
    from safetensors import safe_open

    found = set[str]()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as weights:
            found.update(weights.keys())
    return found


def _require_readable(config: Any, length: int, vocabulary: int, where: str) -> None:
    """Refuse rows and tokens that a model was not made for."""
    if length > config.max_position_embeddings:
        raise DataError(
            f"rows of {length} tokens for a model of {config.max_position_embeddings} positions",
            where=where,
            next="Set the length of each step that reads rows to no more than that.",
        )
    if vocabulary > config.vocab_size:
        raise DataError(
            f"tokens of a vocabulary of {vocabulary:,} for a model of {config.vocab_size:,}",
            where=where,
            next="Use the tokenizer the model was trained with.",
        )
