"""The folders of the models that are compared: BART, a causal decoder, a two-stream Transformer."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from assay.errors import DataError
from assay.parts.text.tokenizer import check_fits, load_tokenizer
from assay.parts.training.folders import load_pretrained, require_kind, save_pretrained
from assay.systems.denoising.model import KINDS, Family

if TYPE_CHECKING:
    from transformers import (
        BartForConditionalGeneration,
        PreTrainedModel,
        PreTrainedTokenizerFast,
    )

__all__ = ["Checkpoint", "load_bart", "load_model", "save_model"]

TITLES = {
    "bart": "BART",
    "assay_translator": "Translator on BART",
    "gpt2": "Causal language model",
    "assay_two_stream": "Two-stream language model",
}
AUTO_CLASSES: dict[Family, str] = {
    "bart": "AutoModelForSeq2SeqLM",
    "causal": "AutoModelForCausalLM",
    "two_stream": "AutoModel",
}
HEAD_CLASSES = (
    "AutoModelForSequenceClassification",
    "AutoModelForQuestionAnswering",
    "AutoModelForTokenClassification",
)


class Checkpoint(NamedTuple):
    """A BART with its tokenizer."""

    model: "BartForConditionalGeneration"
    tokenizer: "PreTrainedTokenizerFast"


def save_model(
    folder: Path,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast | None",
    card: Mapping[str, Any],
) -> None:
    """Write a model of any family, or one with a head on it. See `folders.save_pretrained`."""
    name, kind = type(model).__name__, model.config.model_type
    heads = [auto for auto in HEAD_CLASSES if name.endswith(auto.removeprefix("AutoModel"))]
    auto = heads[0] if heads else AUTO_CLASSES[KINDS[kind]]
    title = {"title": TITLES.get(kind, kind)}
    save_pretrained(folder, model, tokenizer, title | dict(card), auto=auto)


def load_bart(folder: Path, *, vocabulary_of: Path | None = None) -> Checkpoint:
    """Load a BART in float32, and the tokenizer that belongs to it.

    Settings of generation come from ``generation_config.json``, in older folders from
    ``config.json``.

    Args:
        folder: Folder with ``config.json`` and ``model.safetensors`` or ``pytorch_model.bin``.
        vocabulary_of: Folder of the tokenizer, if it lies elsewhere.

    Raises:
        DataError: If the folder holds another architecture, its weights are damaged, incomplete or
            not plain tensors, or the tokenizer does not fit.
    """
    model: Any = load_model(folder, kinds=("bart",))
    home = vocabulary_of or folder
    tokenizer = load_tokenizer(home)
    check_fits(tokenizer, model.config.vocab_size, str(home))
    for name in ("bos_token_id", "pad_token_id", "eos_token_id"):
        found, wanted = getattr(tokenizer, name), getattr(model.config, name)
        if found != wanted:
            raise DataError(
                f"the tokenizer has {name} {found} and the model {wanted}",
                where=str(home),
                next="Use the tokenizer the model was trained with.",
            )
    return Checkpoint(model, tokenizer)


def load_model(folder: Path, *, kinds: tuple[str, ...] = tuple(KINDS)) -> "PreTrainedModel":
    """Load a model of any family in float32, ready for evaluation.

    Args:
        folder: As `save_model` writes it.
        kinds: Values of ``model_type`` that are accepted.

    Raises:
        DataError: See `load_bart`.
    """
    return load_pretrained(_class_of(require_kind(folder, kinds)), folder)


def _class_of(kind: str) -> Any:
    import transformers

    from assay.systems.denoising.translation import Translator
    from assay.systems.denoising.two_stream import TwoStreamModel

    return {
        "assay_translator": Translator,
        "bart": transformers.BartForConditionalGeneration,
        "gpt2": transformers.GPT2LMHeadModel,
        "assay_two_stream": TwoStreamModel,
    }[kind]
