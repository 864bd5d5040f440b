"""The text a language model is trained on, the user's or one at hand, and its tokenizer."""

import shutil
from pathlib import Path
from typing import Annotated

from pydantic import Field

from assay.core.component import File, Folder, component
from assay.core.task import task
from assay.parts.text.documents import read_corpus
from assay.parts.text.packages import PACKAGES, package_documentation
from assay.parts.text.tokenizer import Vocabulary, bpe, load_tokenizer

__all__ = ["text_corpus", "tokenizer_for"]


@component(version="1", requires=(*PACKAGES, "pyarrow"))
def text_corpus(
    *,
    path: File | Folder | None = None,
    field: str = "text",
    megabytes: Annotated[float, Field(gt=0)] = 4.0,
) -> Path:
    """Read the user's text; without a path, the documentation strings of installed packages.

    Args:
        path: A ``.txt``, ``.md``, ``.jsonl``, ``.csv`` or ``.parquet`` file, or a folder of them.
        field: Field or column that holds the text.
        megabytes: Of the documentation, a sample of at most this size (1e6 bytes); a corpus of the
            user's is read whole.

    Returns:
        Folder of the corpus.
    """
    if path is None:
        return package_documentation(megabytes=megabytes)
    return read_corpus(path=path, field=field)


@component(version="1", requires=("tokenizers", "transformers"))
def tokenizer_for(corpus: Path, *, vocabulary: Vocabulary = 4096, of: Folder | None = None) -> Path:
    """Train a byte-level BPE on a corpus, or take the tokenizer of a model to go on from.

    Args:
        corpus: Folder of a corpus.
        vocabulary: Entries at most of a new tokenizer.
        of: Folder of a model or tokenizer in Hugging Face layout, to use its tokenizer instead.

    Returns:
        Folder of the tokenizer.
    """
    if of is None:
        return bpe(corpus, vocabulary=vocabulary)
    folder = task().scratch() / "tokenizer"
    shutil.rmtree(folder, ignore_errors=True)
    load_tokenizer(of).save_pretrained(folder)
    return folder
