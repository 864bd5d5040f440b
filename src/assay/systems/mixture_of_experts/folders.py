"""The folders of decoders, dense and sparse: what is saved here is loaded here."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import DataError
from assay.parts.training.folders import load_pretrained, require_kind, save_pretrained

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


def load_decoder(folder: Path) -> "SparseDecoderForCausalLM":
    """Load a decoder in float32, ready for evaluation.

    Args:
        folder: As `save_decoder` writes it.

    Raises:
        DataError: If it holds another architecture (a dense one can be converted, see
            `upcycling`), or its weights are damaged, incomplete or not plain tensors.
    """
    from assay.systems.mixture_of_experts.model import SparseDecoderForCausalLM

    require_kind(folder, (KIND,))
    model = load_pretrained(SparseDecoderForCausalLM, folder)
    for name, weight in model.named_parameters():
        if not weight.isfinite().all():
            raise DataError(f"the weights {name} are not finite", where=str(folder))
    return model
