"""The examples of a task as tokens and tensors: what a model reads, and what it is to find."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it
from tokenizers import Encoding
from transformers import PreTrainedTokenizerFast

from assay.errors import DataError, did_you_mean
from assay.parts.text.tasks import Example, Task, TooLong, labels_of
from assay.parts.text.tokenizer import content_tokenizer
from assay.parts.training.losses import Loss
from assay.systems.denoising import heads, tagging
from assay.systems.denoising.batches import IGNORE, Batch, conditional_batch, padded
from assay.systems.denoising.likelihood import model_loss
from assay.systems.denoising.model import PAD, family_of

__all__ = ["Prepared", "prepare"]

ACCEPTED = "the positions of the model less its special tokens"


@dataclass(frozen=True)
class Prepared:
    """Examples as a model reads them.

    Attributes:
        sizes: Tokens of each example, the longer of source and target ``[examples]``.
        cut: How many examples were cut.
        batch: Tensors of some examples, by number.
        loss: Their loss.
        sources: Tokens of each source, of a generation.
        frames: Rows, of a head.
    """

    sizes: np.ndarray
    cut: int
    batch: Callable[[np.ndarray], Batch]
    loss: Callable[[Any, Batch], Loss]
    sources: list[list[int]] = field(default_factory=list)
    frames: list[heads.Frame] = field(default_factory=list)


def prepare(
    model: Any,
    reads: PreTrainedTokenizerFast,
    writes: PreTrainedTokenizerFast,
    task: Task,
    examples: Sequence[Example],
    *,
    too_long: TooLong = "cut",
    smoothing: float = 0.0,
) -> Prepared:
    """Examples of a task as a model reads them.

    A pair follows the text, but for a span comes before it. A text that does not fit is cut at its
    end; the pair of a row for a head is never cut.

    Args:
        model: The model, with a head for all but generation.
        reads: Tokenizer of the sources.
        writes: Tokenizer of the targets.
        task: Says what is to be found.
        examples: Those of the task to read.
        too_long: What becomes of a text longer than the model reads.
        smoothing: Label smoothing.

    Raises:
        DataError: If a text is too long and is not to be cut, or a label is not the model's.
    """
    if task.kind == "generation":
        return _pairs(model, reads, writes, task, examples, too_long, smoothing)
    return _rows(model, writes, task, examples, too_long, smoothing)


def _pairs(
    model: Any,
    reads: PreTrainedTokenizerFast,
    writes: PreTrainedTokenizerFast,
    task: Task,
    examples: Sequence[Example],
    too_long: TooLong,
    smoothing: float,
) -> Prepared:
    """Sources and targets. A model of one stack has both in a row, so both share its positions."""
    family, positions = family_of(model), model.config.max_position_embeddings
    sources = [c.ids for c in _coded(reads, [f"{e.text} {e.pair}".rstrip() for e in examples])]
    # A space before a target, so that a word copied from the source is the same token there.
    targets = [c.ids for c in _coded(writes, [f" {e.target}" for e in examples])]
    cut = 0
    for k, (source, target) in enumerate(zip(sources, targets, strict=True)):
        for_source = for_target = positions - 2
        if family != "bart":
            for_target = min(len(target), positions - 4)
            for_source = positions - 3 - for_target
        if len(source) > for_source or len(target) > for_target:
            said = f"{len(source)} tokens to read and {len(target)} to write"
            _refuse(too_long, said, f"{for_source} and {for_target}", task, k)
            sources[k], targets[k], cut = source[:for_source], target[:for_target], cut + 1

    def batch(rows: np.ndarray) -> Batch:
        made = conditional_batch(family, [sources[k] for k in rows], [targets[k] for k in rows])
        return _widened(made, positions)

    sizes = np.array([max(len(s), len(t)) for s, t in zip(sources, targets, strict=True)])
    loss = partial(model_loss, smoothing=smoothing)
    return Prepared(sizes, cut, batch, loss, sources=sources)


def _rows(
    model: Any,
    words: PreTrainedTokenizerFast,
    task: Task,
    examples: Sequence[Example],
    too_long: TooLong,
    smoothing: float,
) -> Prepared:
    """Rows for a head, with their classes, numbers, spans or labels."""
    positions = model.config.max_position_embeddings
    both = (_coded(words, [e.text for e in examples]), _coded(words, [e.pair for e in examples]))
    asked = task.kind == "span"
    frames = [heads.frame(*each, positions, pair_first=asked) for each in zip(*both, strict=True)]
    for k, frame in enumerate(frames):
        if len(frame.ids) > positions:
            raise DataError("the second text leaves no room", where=_place(task, k))
        if frame.cut:
            _refuse(too_long, f"{len(frame.ids) + frame.cut} tokens", f"{positions}", task, k)
    truth, loss = _truth(model, task, examples, frames, smoothing)

    def batch(rows: np.ndarray) -> Batch:
        ids = torch.from_numpy(padded([frames[k].ids for k in rows]))
        return _widened({"ids": ids}, positions) | {"truth": truth[torch.from_numpy(rows)]}

    return Prepared(
        np.array([len(frame.ids) for frame in frames]),
        sum(frame.cut > 0 for frame in frames),
        batch,
        lambda model, batch: loss(model, batch["ids"], batch["truth"]),
        frames=frames,
    )


def _truth(
    model: Any,
    task: Task,
    examples: Sequence[Example],
    frames: Sequence[heads.Frame],
    smoothing: float,
) -> tuple[torch.Tensor, Callable[..., Loss]]:
    """What is to be found in each row, and the loss of it."""
    if task.kind == "regression":
        return torch.tensor([float(e.target) for e in examples]), heads.number_loss
    if task.kind == "span":
        ends = [e.start + len(e.target) for e in examples]
        spans = [
            heads.span_of(frame, e.start, end)
            for frame, e, end in zip(frames, examples, ends, strict=True)
        ]
        return torch.tensor(spans), heads.span_loss
    known = model.config.label2id
    for k, example in enumerate(examples):
        for label in labels_of(example, task.kind):
            if label not in known:
                raise DataError(f"no label {label!r}", where=_place(task, k),
                                next=did_you_mean(label, known))  # fmt: skip
    if task.kind == "tokens":
        marked = [_marked(*each, known) for each in zip(frames, examples, strict=True)]
        return torch.from_numpy(padded(marked, IGNORE)), partial(
            tagging.tag_loss, smoothing=smoothing
        )
    truth = torch.tensor([known[e.target] for e in examples])
    return truth, partial(heads.class_loss, smoothing=smoothing)


def _marked(frame: heads.Frame, example: Example, known: dict[str, int]) -> np.ndarray:
    """The numbers of the labels of a row, each at the first token of its word."""
    marks = np.full(len(frame.ids), IGNORE)
    firsts = tagging.first_tokens(frame, example.text)
    for place, label in zip(firsts, example.target.split(" "), strict=True):
        if place != heads.NOWHERE:
            marks[place] = known[label]
    return marks


def _coded(words: PreTrainedTokenizerFast, texts: list[str]) -> list[Encoding]:
    return content_tokenizer(words).encode_batch(texts, add_special_tokens=False)


def _refuse(too_long: TooLong, said: str, most: str, task: Task, number: int) -> None:
    if too_long == "refuse":
        raise DataError(said, where=_place(task, number), accepted=f"at most {most}, {ACCEPTED}",
                        next="Shorten it, or let it be cut (too_long: cut).")  # fmt: skip


def _place(task: Task, number: int) -> str:
    return f"{task.name}, example {number + 1}"


def _widened(batch: Batch, positions: int) -> Batch:
    """Columns up to a multiple of 8, so that few shapes occur."""
    fills = {"targets": IGNORE, "order": positions, "predicted": 0}

    def wide(ids: torch.Tensor, fill: int) -> torch.Tensor:
        more = max(min(-ids.shape[1] % 8, positions - ids.shape[1]), 0)
        return F.pad(ids, (0, more), value=fill)

    return {name: wide(ids, fills.get(name, PAD)) for name, ids in batch.items()}
