"""Text in kinds: some that models are trained on, some held out, all measured alike.

A folder of kinds holds one corpus per kind and ``kinds.json``, which says the domain of each:
``in`` where a part of it is trained on, ``out`` where none is. One tokenizer, trained on the kinds
``in``, serves all; `kind_tokens` makes numbers of them; `equal_shares` gives every step of training
as many rows of each kind.

Notable in this file: nothing is stated in advance about the kinds of a user, who names them by the
folders they lie in.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from assay.core.component import Folder, component
from assay.core.records import Records
from assay.core.task import task
from assay.errors import DataError, ParameterError, did_you_mean
from assay.parts.text.documents import (
    Document,
    corpus_facts,
    read_documents,
    stored_documents,
    text_files,
    write_documents,
)
from assay.parts.text.tokenizer import Vocabulary, load_tokenizer, train_tokenizer
from assay.parts.text.tokens import (
    RowIndex,
    Rows,
    TokenStore,
    open_tokens,
    stream_rows,
    tokenize,
    write_tokens,
)
from assay.systems.mixture_of_experts.folders import NEEDED
from assay.systems.mixture_of_experts.text_kinds import (
    DISTRIBUTIONS,
    Kind,
    Megabytes,
    kind_documents,
    origin,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = [
    "Domain",
    "KindTokens",
    "TextKind",
    "equal_shares",
    "kind_tokens",
    "open_kinds",
    "shared_tokenizer",
    "text_kinds",
    "training_rows",
]

Domain = Literal["in", "out"]
FACTS = "kinds.json"
HELD_OUT: tuple[Kind, ...] = ("licences", "headers", "stories")
"""Kinds at hand that are held out unless told otherwise."""


# -- the corpora --------------------------------------------------------------------------------


@component(version="1", requires=(*DISTRIBUTIONS, "numpy", "pyarrow"))
def text_kinds(
    *,
    path: Folder | None = None,
    field: str = "text",
    kinds: Annotated[list[Kind], Field(min_length=1)] | None = None,
    held_out: list[str] | None = None,
    megabytes: Megabytes = 1.0,
) -> Path:
    """Write a corpus for each kind of text: the user's, or those at hand.

    Args:
        path: Folder whose subfolders are the kinds, with files as `read_documents` reads them; a
            folder without subfolders is one kind.
        field: Field or column that holds the text.
        kinds: Without a path: which kinds at hand; prose, code, tables and those held out if not
            given.
        held_out: Kinds that are measured and not trained on. If not given, none of the user's, and
            licences, headers and stories of those at hand.
        megabytes: Without a path: size of each kind, see `kind_corpus`.

    Returns:
        Folder of kinds.

    Raises:
        ParameterError: If a kind that is to be held out is not there, or none is left to train on.
    """
    folder = task().scratch() / "kinds"
    shutil.rmtree(folder, ignore_errors=True)
    if path is None:
        at_hand = list(dict.fromkeys(kinds or ("prose", "code", "tables", *HELD_OUT)))
        out = [name for name in HELD_OUT if name in at_hand] if held_out is None else held_out
        _check(at_hand, out)
        for name in at_hand:
            write_documents(folder / name, kind_documents(name, megabytes), origin=origin(name))
        names: Sequence[str] = at_hand
    else:
        places, out = _subfolders(path), held_out or []
        names = list(places)
        _check(names, out)
        for name, place in places.items():
            facts = {"kind": name, "path": place.name, "skipped": text_files(place).skipped}
            write_documents(folder / name, read_documents(place, field=field), origin=facts)
    _write_facts(folder, {name: "out" if name in out else "in" for name in names})
    return folder


def _subfolders(path: Path) -> dict[str, Path]:
    """The kinds in a user's folder, by name."""
    seen = sorted(each for each in path.iterdir() if not each.name.startswith("."))
    folders = {each.name: each for each in seen if each.is_dir()}
    loose = [each.name for each in seen if each.is_file()]
    if folders and loose:
        raise DataError(
            f"{loose[0]} lies beside folders",
            where=str(path),
            accepted="folders, one for each kind of text, or files of a single kind",
        )
    return folders or {path.resolve().name: path}


def _check(names: Sequence[str], out: Sequence[str]) -> None:
    for name in out:
        if name not in names:
            raise ParameterError(
                f"{name!r} is not among the kinds", where="held_out", next=did_you_mean(name, names)
            )
    if not set(names) - set(out):
        raise ParameterError(
            "every kind is held out",
            where="held_out",
            accepted=f"fewer than {', '.join(names)}",
        )


def _write_facts(folder: Path, domains: dict[str, str]) -> None:
    text = json.dumps({"format": 1, "domains": domains}, indent=1)
    (folder / FACTS).write_text(text + "\n", encoding="utf-8")


def _domains(folder: Path) -> dict[str, Domain]:
    """The domain of each kind, in the order of the kinds."""
    try:
        return dict(json.loads((folder / FACTS).read_text(encoding="utf-8"))["domains"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"holds no kinds of text ({error})",
            where=str(folder),
            accepted=f"a corpus per kind and {FACTS} as text_kinds writes them",
        ) from error


# -- tokens -------------------------------------------------------------------------------------


@component(version="1", requires=("tokenizers", "transformers"))
def shared_tokenizer(
    texts: Path,
    model: Path | None = None,
    *,
    vocabulary: Vocabulary = 4096,
    of: Folder | None = None,
) -> Path:
    """Train a byte-level BPE on the kinds that models are trained on, or take that of a model.

    Args:
        texts: Folder of kinds.
        model: Folder of a model from another step, to use its tokenizer instead.
        vocabulary: Entries at most, see `bpe`.
        of: Folder of a model or tokenizer in Hugging Face layout, to use its tokenizer; that of
            ``model`` then does not count.

    Returns:
        Folder of the tokenizer in Hugging Face layout.
    """
    folder, theirs = task().scratch() / "tokenizer", of or model
    if theirs is not None:
        shutil.rmtree(folder, ignore_errors=True)
        _theirs(theirs, of is not None).save_pretrained(folder)
        return folder
    trained = [texts / name for name, domain in _domains(texts).items() if domain == "in"]
    total, context = sum(corpus_facts(corpus)["documents"] for corpus in trained), task()

    def documents() -> Iterator[Document]:
        done = 0
        for corpus in trained:
            for document in stored_documents(corpus):
                done += 1
                context.progress(done, total, "documents")
                yield document

    train_tokenizer(documents(), vocabulary, folder)
    return folder


def _theirs(folder: Path, named: bool) -> "PreTrainedTokenizerFast":
    """The tokenizer in a folder that the user named, or that another step made."""
    try:
        return load_tokenizer(folder, NEEDED)
    except DataError as error:
        if named:
            raise
        what = error.what.replace("holds no tokenizer", "has no tokenizer beside it")
        raise DataError(
            what, where="the model to begin with", accepted=error.accepted,
            next="Put its tokenizer into the folder of the model, or name one as tokenizer.of.",
        ) from error  # fmt: skip


class KindTokens(NamedTuple):
    """Kinds of text as numbers.

    Attributes:
        tokens: Folder of them, see `open_kinds`.
        records: ``tokens``, ``documents`` and ``characters_per_token`` of each ``text_kind``,
            ``domain`` and ``split``, and the ``vocabulary``.
    """

    tokens: Path
    records: Records


@component(version="1", requires=("numpy", "tokenizers", "transformers"))
def kind_tokens(
    texts: Path,
    tokenizer: Path,
    *,
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.1,
) -> KindTokens:
    """Tokenize every kind; of those trained on, hold documents out, and all of the others.

    Each document ends with ``</s>``.

    Args:
        texts: Folder of kinds.
        tokenizer: Folder of the tokenizer.
        validation_share: Share of the documents of a kind trained on to hold out.
    """
    folder, records, domains = task().scratch() / "tokens", Records(), _domains(texts)
    shutil.rmtree(folder, ignore_errors=True)
    for name, domain in domains.items():
        place = folder / name
        try:
            if domain == "in":
                place.mkdir(parents=True)
                parts = tokenize(
                    texts / name, tokenizer, validation_share=validation_share, ends=True
                )
                shutil.move(parts.train, place / "train")
                shutil.move(parts.validation, place / "validation")
            else:
                documents = stored_documents(texts / name)
                loaded = load_tokenizer(tokenizer, needs=("eos_token",))
                write_tokens(place / "validation", documents, loaded, ends=True)
        except DataError as error:
            raise error.at(name) from error
    _write_facts(folder, dict(domains))
    for kind in open_kinds(folder):
        _record(records, kind)
    records.add("vocabulary", len(load_tokenizer(tokenizer, needs=())))
    return KindTokens(folder, records)


class TextKind(NamedTuple):
    """The tokens of a kind.

    Attributes:
        name: Name of the kind.
        domain: ``in`` if models are trained on a part of it.
        train: What they are trained on; None of a kind that is held out.
        validation: What they are measured on.
    """

    name: str
    domain: Domain
    train: TokenStore | None
    validation: TokenStore


def open_kinds(folder: Path) -> list[TextKind]:
    """Open what `kind_tokens` wrote, kind by kind.

    Raises:
        DataError: If the folder holds no such tokens.
    """
    return [
        TextKind(
            name,
            domain,
            open_tokens(folder / name / "train") if domain == "in" else None,
            open_tokens(folder / name / "validation"),
        )
        for name, domain in _domains(folder).items()
    ]


def _record(records: Records, kind: TextKind) -> None:
    for split, store in (("train", kind.train), ("validation", kind.validation)):
        if store is not None:
            keys = {"text_kind": kind.name, "domain": kind.domain, "split": split}
            records.add("tokens", len(store.ids), **keys)
            records.add("documents", len(store.documents) - 1, **keys)
            records.add("characters_per_token", store.characters / len(store.ids), **keys)


# -- training -----------------------------------------------------------------------------------


def training_rows(folder: Path, length: int) -> list[RowIndex]:
    """The rows of each kind that is trained on.

    Args:
        folder: Folder of `kind_tokens`.
        length: Tokens of a row, ``<s>`` included.

    Raises:
        DataError: If a kind has fewer tokens than one row.
    """
    found = []
    for kind in open_kinds(folder):
        if kind.train is not None:
            try:
                found.append(stream_rows(kind.train, length - 1))
            except DataError as error:
                raise error.at(f"text kind {kind.name}") from error
    return found


def equal_shares(kinds: Sequence[RowIndex], batch: int, seed: int) -> Callable[[int], Rows]:
    """The rows of each step of training, as a function of the step alone.

    Kinds take turns row by row, so each has an equal share of the tokens, to one row. Each passes
    through its own rows as often as it takes, in an order of its own for every pass: a small kind
    is seen more often, not less.

    Args:
        kinds: Rows of each kind, all of the same length.
        batch: Rows of a step.
        seed: Seed of the orders.

    Raises:
        ValueError: If rows are of different lengths, or there is no kind.
    """
    if len({rows.length for rows in kinds}) != 1:
        raise ValueError(f"rows of {sorted({rows.length for rows in kinds})} tokens")

    @lru_cache(maxsize=2 * len(kinds))
    def order(kind: int, epoch: int) -> np.ndarray:
        return np.random.default_rng([seed, kind, epoch]).permutation(len(kinds[kind]))

    def of_step(step: int) -> Rows:
        turns = np.arange(step * batch, (step + 1) * batch)
        whole = Rows(
            np.zeros((batch, kinds[0].length), np.int32),
            np.zeros((batch, kinds[0].length), bool),
            np.zeros(batch, np.int64),
        )
        for kind, rows in enumerate(kinds):
            mine = np.flatnonzero(turns % len(kinds) == kind)
            places = (turns[mine] // len(kinds)).tolist()
            passes = [divmod(place, len(rows)) for place in places]
            chosen = np.array([order(kind, epoch)[at] for epoch, at in passes], dtype=np.int64)
            for into, taken in zip(whole, rows.take(chosen), strict=True):
                into[mine] = taken
        return whole

    return of_step
