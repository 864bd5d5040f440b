"""What is trained on: the user's text or one at hand, its tokenizer, and tasks made of it."""

import shutil
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveInt

from assay.core.component import File, Folder, Seed, component
from assay.core.task import task
from assay.errors import DataError
from assay.parts.text.documents import Document, read_corpus, split_sentences, write_documents
from assay.parts.text.packages import PACKAGES, package_documentation
from assay.parts.text.stories import story, translated
from assay.parts.text.tokenizer import Vocabulary, bpe, load_tokenizer
from assay.parts.text.tokens import document_rows, open_tokens
from assay.systems.denoising.tasks import Example, Task

__all__ = ["continuations", "foreign_stories", "text_corpus", "tokenizer_for"]


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


@component(version="1", requires=("numpy", "tokenizers", "transformers"))
def continuations(
    tokens: Path,
    tokenizer: Path,
    *,
    source_tokens: Annotated[int, Field(ge=4)] = 64,
    target_tokens: Annotated[int, Field(ge=4)] = 32,
    train: PositiveInt = 300,
    test: PositiveInt = 200,
    seed: Seed,
) -> Task:
    """Make a task of a corpus: how a text goes on after its beginning.

    Args:
        tokens: Folder of tokens that no model was trained on.
        tokenizer: Folder of their tokenizer.
        source_tokens: Length of the beginning.
        target_tokens: Length of what follows.
        train: Examples to learn from, each the beginning of a document or of a part of one.
        test: Others, to be measured on.
        seed: Seed of the choice.
    """
    words, length = load_tokenizer(tokenizer), source_tokens + target_tokens
    rows = document_rows(open_tokens(tokens), length)
    whole = np.flatnonzero(rows.lengths == length)
    if len(whole) < train + test:
        raise DataError(
            f"{len(whole)} beginnings of {length} tokens",
            where="held-out text",
            accepted=f"{train + test}, to learn from and to be measured on",
            next="Give more text, hold out a larger share of it, or ask for fewer.",
        )
    chosen = np.random.default_rng(seed).permutation(whole)[: train + test]
    ids = rows.take(chosen).ids
    begun, gone_on = (
        words.batch_decode(part) for part in (ids[:, :source_tokens], ids[:, source_tokens:])
    )
    every = [Example(*pair) for pair in zip(begun, gone_on, strict=True)]
    return Task("documentation", "generation", every[:train], every[train:])


@component(version="1", requires=("numpy",))
def foreign_stories(*, count: PositiveInt, seed: Seed) -> Path:
    """Write a corpus of stories in the invented language, for a tokenizer of it.

    Args:
        count: Number of stories.
        seed: Seed of the stories.
    """
    folder = task().scratch() / "corpus"
    texts = (translated(story(seed, k).text) for k in range(count))
    documents = (Document(t, split_sentences(t), f"story {seed}:{k}") for k, t in enumerate(texts))
    write_documents(folder, documents, origin={"kind": "stories in an invented language"})
    return folder
