"""The step that puts a source encoder on a trained BART."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from assay.core.component import Seed, component
from assay.core.task import task

__all__ = ["translator"]


@component(version="1", requires=("safetensors", "tokenizers", "torch", "transformers"))
def translator(
    model: Path,
    source_tokenizer: Path,
    *,
    layers: Annotated[int, Field(ge=1, le=24)] = 2,
    seed: Seed,
) -> Path:
    """Give a BART a new encoder of foreign words, see `translation`.

    Args:
        model: Folder of a BART trained on the language to translate into.
        source_tokenizer: Folder of the tokenizer of the language to translate from.
        layers: Layers of the new encoder.
        seed: Seed of its weights.

    Returns:
        Folder of the translator; `finetune` trains it, with the tokenizer of the sources.
    """
    from assay.parts.text.tokenizer import load_tokenizer
    from assay.systems.denoising.checkpoints import load_bart, save_model
    from assay.systems.denoising.translation import new_translator

    bart, words = load_bart(model), load_tokenizer(source_tokenizer)
    made = new_translator(bart.model, len(words), layers=layers, seed=seed)
    folder = task().scratch() / "translator"
    save_model(folder, made, bart.tokenizer, {"title": "Translator, not yet trained"})
    return folder
