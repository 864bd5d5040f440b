"""Byte-level BPE tokenizers in Hugging Face layout, trained here or brought along.

Byte-level, so that any text can be written and comes back as it was. The special tokens have the
numbers that BART gives them: ``<s>`` 0, ``<pad>`` 1, ``</s>`` 2, ``<unk>`` 3, and ``<mask>`` last.

Notable in this file: a text may spell a special token, as documentation of language models does.
`content_tokenizer` does not take such letters for the token itself. Nor can a merge make one: words
are cut where letters meet brackets before anything is merged.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from jaxtyping import Bool
from pydantic import Field

from assay.core.component import component
from assay.core.task import task
from assay.errors import DataError
from assay.parts.text.documents import Document, corpus_facts, stored_documents, whole_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

__all__ = [
    "SPECIALS",
    "bpe",
    "check_fits",
    "content_tokenizer",
    "load_tokenizer",
    "train_tokenizer",
    "word_starts",
]

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
"""Special tokens by number."""
MASK = "<mask>"
"""The special token that has the last number."""
SMALLEST, LARGEST = len(SPECIALS) + 256 + 1, 1 << 16
FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model", "spiece.model")
NEEDED = ("bos_token", "pad_token", "eos_token", "mask_token")
WORD_MARKS = ("Ġ", "Ċ", "ĉ", "č", "▁", " ", "\n", "\t")
"""How white space is written at the beginning of a token: byte level, then sentence pieces."""

Vocabulary = Annotated[int, Field(ge=SMALLEST, le=LARGEST)]


def train_tokenizer(documents: Iterable[Document], vocabulary: int, folder: Path) -> None:
    """Train a byte-level BPE and write it as `AutoTokenizer.from_pretrained` reads it.

    Pairs that occur once are not merged, so a small text may end in a smaller vocabulary than
    asked for. ``<s> a </s>`` and ``<s> a </s></s> b </s>`` are how one and two texts are framed.

    Args:
        documents: What to learn from.
        vocabulary: Entries at most, special tokens and the 256 bytes included; 261 to 65,536.
        folder: Where the files are written.

    Raises:
        ValueError: If the vocabulary is too small or too large.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    if not SMALLEST <= vocabulary <= LARGEST:
        raise ValueError(f"a vocabulary of {vocabulary}, expected {SMALLEST} to {LARGEST}")
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocabulary - 1,
        min_frequency=2,
        show_progress=False,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    backend.train_from_iterator((document.text for document in documents), trainer)
    mask = AddedToken(MASK, lstrip=True, special=True, normalized=False)
    backend.add_special_tokens([mask])
    begin, pad, end, unknown = SPECIALS
    framing = ((end, SPECIALS.index(end)), (begin, SPECIALS.index(begin)))
    backend.post_processor = processors.RobertaProcessing(*framing, add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=begin,
        cls_token=begin,
        pad_token=pad,
        eos_token=end,
        sep_token=end,
        unk_token=unknown,
        mask_token=mask,
        clean_up_tokenization_spaces=False,
    )
    with whole_folder(folder, "tokenizer_config.json") as unfinished:
        tokenizer.save_pretrained(unfinished)


def load_tokenizer(folder: Path, needs: Sequence[str] = NEEDED) -> "PreTrainedTokenizerFast":
    """Load a tokenizer from a folder in Hugging Face layout; nothing is downloaded, no code run.

    Args:
        folder: Folder with ``tokenizer.json``, or what else the tokenizer's class reads.
        needs: Special tokens that it must have.

    Raises:
        DataError: If the folder holds no fast tokenizer, or it lacks a special token.
    """
    from transformers import AutoTokenizer

    try:
        if not folder.is_dir():
            raise OSError("no such folder")
        if not any((folder / name).is_file() for name in FILES):
            raise OSError("no file of one")  # transformers would make up an empty one
        found = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        if not found.is_fast:
            raise ValueError("it is a slow one")
    except Exception as error:  # whatever a library makes of a foreign folder
        why = str(error).strip().partition("\n")[0]
        raise DataError(
            f"holds no tokenizer that can be read ({why})",
            where=str(folder),
            accepted=f"a folder in Hugging Face layout with {' or '.join(FILES)}",
        ) from error
    missing = [name for name in needs if getattr(found, name, None) is None]
    if missing:
        raise DataError(
            f"the tokenizer has no {' and no '.join(missing)}",
            where=str(folder),
            next="Name them in tokenizer_config.json, or train a tokenizer with `bpe`.",
        )
    return found


def content_tokenizer(tokenizer: "PreTrainedTokenizerFast") -> "Tokenizer":
    """A copy of the tokenizer inside, to which text that spells a special token is only text.

    Call ``encode_batch(texts, add_special_tokens=False)`` on it.
    """
    from tokenizers import Tokenizer

    copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.encode_special_tokens = True
    copy.no_padding()
    copy.no_truncation()
    return copy


def check_fits(tokenizer: "PreTrainedTokenizerFast", vocab_size: int, where: str) -> None:
    """Refuse a tokenizer whose numbers a model does not know.

    Args:
        tokenizer: The tokenizer.
        vocab_size: Rows of the model's table of embeddings.
        where: What to name in the error.

    Raises:
        DataError: If a number of the tokenizer is not below ``vocab_size``.
    """
    size = _size(tokenizer)
    if size > vocab_size:
        raise DataError(
            f"the tokenizer has {size:,} entries and the model {vocab_size:,}",
            where=where,
            next="Use the tokenizer the model was trained with.",
        )


def _size(tokenizer: "PreTrainedTokenizerFast") -> int:
    """One more than the largest number."""
    return max(tokenizer.get_vocab().values()) + 1


def word_starts(tokenizer: "PreTrainedTokenizerFast") -> Bool[np.ndarray, " vocabulary"]:
    """Which numbers begin a word: their text begins with white space.

    In word pieces, which leave white space out: which do not continue a word. Special tokens never
    begin one. The first token of a text begins a word whatever this says.
    """
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    special = set(tokenizer.all_special_ids)
    starts = np.zeros(_size(tokenizer), dtype=bool)
    for token, number in tokenizer.get_vocab().items():
        if model["type"] == "WordPiece":
            begins = not token.startswith(model["continuing_subword_prefix"])
        else:
            begins = token.startswith(WORD_MARKS)
        starts[number] = begins and number not in special
    return starts


@component(version="1", requires=("tokenizers", "transformers"))
def bpe(corpus: Path, *, vocabulary: Vocabulary = 4096) -> Path:
    """Train a byte-level BPE tokenizer.

    Args:
        corpus: Folder of a corpus, see `read_corpus`.
        vocabulary: Entries at most, special tokens and the 256 bytes included. A small or
            monotonous text yields fewer.

    Returns:
        Folder of the tokenizer in Hugging Face layout.
    """
    folder, context = task().scratch() / "tokenizer", task()
    total = corpus_facts(corpus)["documents"]

    def reported() -> Iterator[Document]:
        for done, document in enumerate(stored_documents(corpus), 1):
            context.progress(done, total, "documents")
            yield document

    train_tokenizer(reported(), vocabulary, folder)
    return folder
