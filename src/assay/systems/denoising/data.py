"""What is made of text: a task of any corpus, and stories in an invented language."""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.core.task import task
from assay.errors import DataError
from assay.parts.text.documents import Document, split_sentences, write_documents
from assay.parts.text.stories import story, translated
from assay.parts.text.tasks import Example, Task
from assay.parts.text.tokenizer import load_tokenizer
from assay.parts.text.tokens import document_rows, open_tokens

__all__ = ["continuations", "foreign_stories"]


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
