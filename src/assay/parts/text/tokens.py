"""Tokens on disk: a corpus as numbers, and the rows that training reads from it.

A folder of tokens holds ``ids.bin`` (the numbers of all documents, one after the other, without
special tokens), ``documents.npy`` and ``sentences.npy`` (where they begin) and ``tokens.json``.
Numbers are read through a memory map: rows are cut when they are asked for (`RowIndex.take`), so a
corpus may be larger than memory.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Integer
from pydantic import Field

from assay.core.component import component
from assay.core.records import Records
from assay.core.task import task
from assay.errors import DataError
from assay.parts.text.documents import Document, corpus_facts, stored_documents, whole_folder
from assay.parts.text.tokenizer import content_tokenizer, load_tokenizer

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerFast

__all__ = [
    "RowIndex",
    "Rows",
    "TokenStore",
    "Tokens",
    "document_rows",
    "open_tokens",
    "stream_rows",
    "tokenize",
    "write_tokens",
]

IDS, DOCUMENTS, SENTENCES, FACTS = "ids.bin", "documents.npy", "sentences.npy", "tokens.json"
FORMAT = 1
PIECE = 1 << 13  # characters encoded as one text
BATCH = 256  # pieces encoded at once
GAP = re.compile(r"(?<=\S)(?=\s)")


@dataclass(frozen=True)
class TokenStore:
    """A tokenized corpus.

    Attributes:
        ids: The token numbers as a memory map; of special tokens none but the ends of documents,
            where these were asked for.
        documents: Token at which each document begins, and the number of tokens at the end.
        sentences: Tokens at which sentences begin, increasing; beginnings of documents included.
        characters: Characters of the corpus.
        bytes: Its bytes in UTF-8.
        vocabulary: One more than the largest number the tokenizer knows.
    """

    ids: Integer[np.ndarray, " tokens"]
    documents: Int[np.ndarray, " _"]
    sentences: Int[np.ndarray, " sentences"]
    characters: int
    bytes: int
    vocabulary: int


class Rows(NamedTuple):
    """A block of rows of tokens: content only, no special tokens.

    Attributes:
        ids: Token numbers; 0 beyond the length of a row.
        sentences: Whether a sentence begins at the token.
        lengths: Tokens in each row.
    """

    ids: Int[np.ndarray, "rows length"]
    sentences: Bool[np.ndarray, "rows length"]
    lengths: Int[np.ndarray, " rows"]


@dataclass(frozen=True)
class RowIndex:
    """Where rows lie in a store; they are cut out by `take`.

    Attributes:
        store: The tokens.
        starts: Token at which each row begins.
        lengths: Tokens of each row, from 1 to ``length``.
        length: Columns of a block.
    """

    store: TokenStore
    starts: Int[np.ndarray, " rows"]
    lengths: Int[np.ndarray, " rows"]
    length: int

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: Any) -> Rows:
        """Cut out the rows of these numbers (an array, a slice or a list), in this order."""
        starts, lengths = self.starts[rows], self.lengths[rows]
        columns = np.arange(self.length)
        inside = columns < lengths[:, None]
        places = np.where(inside, starts[:, None] + columns, 0)
        ids = np.where(inside, self.store.ids[places], 0).astype(np.int32)
        flags = np.zeros(ids.shape, dtype=bool)
        first, last = np.searchsorted(self.store.sentences, [starts, starts + lengths])
        counts = last - first
        row = np.repeat(np.arange(len(starts)), counts)
        found = np.arange(counts.sum()) + np.repeat(first - np.cumsum(counts) + counts, counts)
        flags[row, self.store.sentences[found] - starts[row]] = True
        return Rows(ids, flags, lengths)


def stream_rows(store: TokenStore, length: int) -> RowIndex:
    """Rows of ``length`` tokens from end to end, across documents; the tail is dropped.

    Nothing stands between two documents but what the store has there: a beginning of a sentence
    marks where the next one begins.

    Raises:
        DataError: If there are fewer tokens than one row takes.
        ValueError: If the length is not above 0.
    """
    _require_positive(length)
    count = len(store.ids) // length
    if not count:
        raise DataError(
            f"the corpus has {len(store.ids):,} tokens, a row takes {length:,}",
            next="Give more text, or shorter rows.",
        )
    return RowIndex(store, np.arange(count) * length, np.full(count, length), length)


def document_rows(store: TokenStore, length: int) -> RowIndex:
    """One document per row; a longer one is cut where its last sentence that fits ends.

    A sentence longer than a row is cut where the row ends. No token is lost.

    Raises:
        ValueError: If the length is not above 0.
    """
    _require_positive(length)
    starts: list[Int[np.ndarray, " pieces"]] = []
    begins, ends = store.documents[:-1], store.documents[1:]
    short = ends - begins <= length
    starts.append(begins[short & (ends > begins)])
    for begin, end in zip(begins[~short].tolist(), ends[~short].tolist(), strict=True):
        low, high = np.searchsorted(store.sentences, [begin, end])
        starts.append(np.array(_cuts(begin, end, store.sentences[low:high], length)))
    every = np.sort(np.concatenate(starts)).astype(np.int64)
    stops = np.append(every[1:], len(store.ids))
    return RowIndex(store, every, stops - every, length)


def _require_positive(length: int) -> None:
    if length < 1:
        raise ValueError(f"rows of {length} tokens")


def _cuts(begin: int, end: int, sentences: Int[np.ndarray, " sentences"], length: int) -> list[int]:
    """Where the rows of one long document begin."""
    cuts = [begin]
    while end - cuts[-1] > length:
        fits = sentences[np.searchsorted(sentences, cuts[-1] + length, side="right") - 1]
        cuts.append(int(fits) if fits > cuts[-1] else cuts[-1] + length)
    return cuts


# -- writing ------------------------------------------------------------------------------------


def write_tokens(
    folder: Path, documents: Iterable[Document], tokenizer: "PreTrainedTokenizerFast", *,
    ends: bool = False,
) -> None:  # fmt: skip
    """Tokenize documents into a folder, piece by piece.

    Args:
        folder: Where the files are written.
        documents: The documents.
        tokenizer: The tokenizer; text that spells one of its special tokens is only text.
        ends: Whether its ``</s>`` is the last token of each document.

    Raises:
        DataError: If the documents hold no token, or the tokenizer has no ``</s>`` that is wanted.
    """
    encoder = content_tokenizer(tokenizer)
    end: list[Any] = [tokenizer.eos_token_id] if ends else []
    if end == [None]:
        raise DataError("a tokenizer without </s>, which ends documents", accepted="an eos_token")
    vocabulary = max(tokenizer.get_vocab().values()) + 1
    kind = np.dtype("<u2" if vocabulary <= 1 << 16 else "<u4")
    starts: list[int] = []
    sentences: list[Int[np.ndarray, " part"]] = []
    tokens = characters = size = 0
    with whole_folder(folder, FACTS) as unfinished:
        with (unfinished / IDS).open("wb") as file:
            for batch in _batches(documents):
                texts = [piece.text for piece in batch]
                found = encoder.encode_batch(texts, add_special_tokens=False)
                for piece, encoding in zip(batch, found, strict=True):
                    ids = np.array(encoding.ids + end * piece.last, dtype=kind)
                    file.write(ids.tobytes())
                    if piece.first:
                        starts.append(tokens)
                    sentences.append(tokens + _first_tokens(piece, encoding, len(ids)))
                    tokens += len(ids)
                    characters += len(piece.text)
                    size += len(piece.text.encode())
        if not tokens:
            raise DataError("the documents hold no tokens", where=folder.name)
        every = np.unique(np.concatenate(sentences))
        np.save(unfinished / DOCUMENTS, np.array([*starts, tokens], dtype=np.int64))
        np.save(unfinished / SENTENCES, every.astype(np.int64))
        facts = {
            "format": FORMAT,
            "tokens": tokens,
            "dtype": kind.str,
            "characters": characters,
            "bytes": size,
            "vocabulary": vocabulary,
        }
        (unfinished / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


class _Piece(NamedTuple):
    """Part of a document: its text, where sentences begin in it, whether it is first or last."""

    text: str
    sentences: list[int]
    first: bool
    last: bool


def _batches(documents: Iterable[Document]) -> Iterator[list[_Piece]]:
    pieces = (piece for document in documents for piece in _pieces(document))
    while batch := list(islice(pieces, BATCH)):
        yield batch


def _pieces(document: Document) -> Iterator[_Piece]:
    """A document in pieces, cut before white space, where no pre-tokenizer of the field joins."""
    text, starts, begin = document.text, np.array(document.sentences), 0
    while begin < len(text):
        gap = GAP.search(text, begin + PIECE)
        stop = gap.start() if gap else len(text)
        inside = starts[(starts >= begin) & (starts < stop)]
        last = stop == len(text)
        yield _Piece(text[begin:stop], (inside - begin).tolist(), begin == 0, last)
        begin = stop


def _first_tokens(piece: _Piece, encoding: "Encoding", tokens: int) -> Int[np.ndarray, " found"]:
    """The token that holds the first character of each sentence."""
    found = [_token_at(encoding, start, len(piece.text)) for start in piece.sentences]
    if piece.first and tokens:
        found[0] = 0  # even if the tokenizer leaves out white space before it
    return np.array([token for token in found if token is not None], dtype=np.int64)


def _token_at(encoding: "Encoding", start: int, stop: int) -> int | None:
    """The token that holds a character, or the next one that any token holds."""
    every = (encoding.char_to_token(place) for place in range(start, stop))
    return next((token for token in every if token is not None), None)


def open_tokens(folder: Path) -> TokenStore:
    """Open what `write_tokens` wrote.

    Raises:
        DataError: If the folder holds no tokens, or fewer than it says.
    """
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']}")
        ids = np.memmap(folder / IDS, dtype=np.dtype(facts["dtype"]), mode="r")
        if len(ids) != facts["tokens"] or ids.dtype.kind != "u":
            raise ValueError(f"{len(ids):,} of {ids.dtype} instead of {facts['tokens']:,} tokens")
        starts = [np.load(folder / name, allow_pickle=False) for name in (DOCUMENTS, SENTENCES)]
        for found, last in zip(starts, (len(ids), len(ids) - 1), strict=True):
            rises = found.dtype == np.int64 and found[0] == 0 and (np.diff(found) >= 0).all()
            if not rises or found[-1] > last:
                raise ValueError("documents or sentences that begin nowhere")
        return TokenStore(
            ids, *starts, **{n: int(facts[n]) for n in ("characters", "bytes", "vocabulary")}
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"holds no tokens ({error})",
            where=str(folder),
            accepted=f"{IDS}, {DOCUMENTS}, {SENTENCES} and {FACTS} as tokenize writes them",
        ) from error


# -- the component ------------------------------------------------------------------------------


class Tokens(NamedTuple):
    """A tokenized corpus in two parts.

    Attributes:
        train: Folder of tokens to train on, see `open_tokens`.
        validation: Folder of tokens held out.
        records: ``documents``, ``sentences``, ``tokens``, ``characters`` and
            ``characters_per_token`` of each ``split``, and the ``vocabulary``, the entries that the
            tokenizer has.
    """

    train: Path
    validation: Path
    records: Records


@component(version="1", requires=("numpy", "tokenizers", "transformers"))
def tokenize(
    corpus: Path,
    tokenizer: Path,
    *,
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.05,
    ends: bool = False,
) -> Tokens:
    """Tokenize a corpus and hold a part of it out.

    Which documents are held out is decided by the digests of their texts, so it does not depend on
    their order. Of a corpus that is one document, its last sentences are held out.

    Args:
        corpus: Folder of a corpus, see `read_corpus`.
        tokenizer: Folder of a tokenizer in Hugging Face layout.
        validation_share: Share of the documents to hold out; at least one document.
        ends: Whether ``</s>`` is the last token of each document.
    """
    loaded, context = load_tokenizer(tokenizer, needs=()), task()
    folder, done, records = context.scratch(), 0, Records()
    total = max(corpus_facts(corpus)["documents"], 2)

    def part(held_out: bool) -> Iterator[Document]:
        nonlocal done
        for document, out in _split(corpus, validation_share):
            if out == held_out:
                done += 1
                context.progress(done, total, "documents")
                yield document

    for split, held_out in (("train", False), ("validation", True)):
        write_tokens(folder / split, part(held_out), loaded, ends=ends)
        store = open_tokens(folder / split)
        for measure, value in (
            ("documents", len(store.documents) - 1),
            ("sentences", len(store.sentences)),
            ("tokens", len(store.ids)),
            ("characters", store.characters),
            ("characters_per_token", store.characters / len(store.ids)),
        ):
            records.add(measure, value, split=split)
    records.add("vocabulary", len(loaded))
    return Tokens(folder / "train", folder / "validation", records)


def _split(corpus: Path, share: float) -> Iterator[tuple[Document, bool]]:
    """Documents, and whether each is held out."""
    marks = np.array([_mark(document) for document in stored_documents(corpus)], dtype=np.uint64)
    if len(marks) == 1:
        (document,) = stored_documents(corpus)
        return iter(zip(_halves(document, share, corpus), (False, True), strict=True))
    count = min(max(round(share * len(marks)), 1), len(marks) - 1)
    limit = np.partition(marks, count - 1)[count - 1]
    return zip(stored_documents(corpus), (marks <= limit).tolist(), strict=True)


def _mark(document: Document) -> int:
    return int.from_bytes(hashlib.sha256(document.text.encode()).digest()[:8], "big")


def _halves(document: Document, share: float, where: Path) -> tuple[Document, Document]:
    """A lone document, cut where the sentence begins that is nearest to the last share of it."""
    text, name = document.text, document.name
    starts = np.array(document.sentences[1:])
    if not len(starts):
        raise DataError(
            "the corpus is one sentence: nothing can be held out",
            where=str(where),
            next="Give more text.",
        )
    cut = int(starts[np.abs(starts - (1.0 - share) * len(text)).argmin()])
    before, after = (s for s in document.sentences if s < cut), starts[starts >= cut] - cut
    return (
        Document(text[:cut], tuple(before), name),
        Document(text[cut:], tuple(after.tolist()), name),
    )
