"""Heads that turn BART into a reader: of classes, of numbers, and of spans.

The same text goes to the encoder and, moved one to the right, to the decoder, as in fairseq's BART.
A class is read where the decoder has come to the last </s> of a row; a span from the top state of
every token. The models are those of transformers, so their folders load there.

Notable in this file: rows may hold unequal numbers of </s>, such as single texts beside pairs.
`BartForSequenceClassification.forward` refuses them.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional
from transformers import (
    BartForConditionalGeneration,
    BartForQuestionAnswering,
    BartForSequenceClassification,
)

from assay.parts.training.losses import Loss
from assay.parts.training.torch_state import seeded
from assay.systems.denoising.model import BEGIN, END, PAD

if TYPE_CHECKING:
    from tokenizers import Encoding

__all__ = [
    "Frame",
    "best_spans",
    "class_logits",
    "class_loss",
    "frame",
    "framed",
    "last_end",
    "new_classifier",
    "new_span_reader",
    "number_loss",
    "span_logits",
    "span_loss",
    "span_of",
    "words_of",
]

NOWHERE = -1
"""First and last token of a span that is not in the row."""


# -- rows ---------------------------------------------------------------------------------------


def framed(first: Sequence[int], second: Sequence[int] = ()) -> list[int]:
    """``<s> first </s>``, or ``<s> first </s></s> second </s>`` for a pair.

    Example:
        >>> framed([7, 8]), framed([7], [9])
        ([0, 7, 8, 2], [0, 7, 2, 2, 9, 2])
    """
    head = [BEGIN, *first, END]
    return [*head, END, *second, END] if len(second) else head


class Frame(NamedTuple):
    """A text, perhaps with a second one, as a row that BART reads.

    Attributes:
        ids: The row.
        first: Where the text begins in it.
        places: First and last character of each token of the text, the last not included.
        cut: Tokens of the text that had no room.
    """

    ids: list[int]
    first: int
    places: list[tuple[int, int]]
    cut: int


def frame(text: "Encoding", pair: "Encoding", positions: int, *, pair_first: bool) -> Frame:
    """Put a text and its pair in a row, the text cut at its end where there is no room.

    Args:
        text: The text.
        pair: A second one, not cut; empty if there is none.
        positions: Longest row.
        pair_first: Whether the pair comes before the text, as questions do.
    """
    room = max(positions - len(pair.ids) - (4 if pair.ids else 2), 0)
    ids = text.ids[:room]
    if pair_first and pair.ids:
        row, first = framed(pair.ids, ids), len(pair.ids) + 3
    else:
        row, first = framed(ids, pair.ids), 1
    return Frame(row, first, text.offsets[:room], len(text.ids) - len(ids))


def span_of(framing: Frame, start: int, end: int) -> tuple[int, int]:
    """First and last token of some characters of the text; `NOWHERE` if they were cut."""
    inside = [k for k, (a, b) in enumerate(framing.places) if a < end and b > start]
    if not inside or framing.places[inside[-1]][1] < end:
        return NOWHERE, NOWHERE
    return framing.first + inside[0], framing.first + inside[-1]


def words_of(framing: Frame, text: str, span: Sequence[int]) -> str:
    """The characters of the text between the first and the last token of a span."""
    first, last = (framing.places[k - framing.first] for k in span)
    return text[first[0] : last[1]].strip()


# -- classes and numbers ------------------------------------------------------------------------


def new_classifier(
    bart: BartForConditionalGeneration,
    labels: Sequence[str],
    *,
    dropout: float = 0.0,
    seed: int = 0,
) -> BartForSequenceClassification:
    """A BART with a new head: dropout, linear, tanh, dropout, linear.

    Args:
        bart: Its weights are copied.
        labels: Names of the classes; none makes a head that says one number.
        dropout: Share of the head's inputs dropped.
        seed: Of the head's weights.
    """
    config = deepcopy(bart.config)
    config.id2label = dict(enumerate(labels)) or {0: "number"}
    config.label2id = {label: k for k, label in config.id2label.items()}
    config.problem_type = "single_label_classification" if labels else "regression"
    config.classifier_dropout = dropout
    with seeded(seed):
        model = BartForSequenceClassification(config)
    model.model.load_state_dict(bart.model.state_dict())
    return model


def last_end(ids: Int[Tensor, "rows length"]) -> Int[Tensor, " rows"]:
    """Where the last </s> of each row stands.

    Raises:
        ValueError: If a row has none.
    """
    ends = ids == END
    if not ends.any(1).all():
        raise ValueError("a row without </s>")
    return (ends * torch.arange(ids.shape[1], device=ids.device)).amax(1)


def class_logits(
    model: BartForSequenceClassification, ids: Int[Tensor, "rows length"]
) -> Float[Tensor, "rows labels"]:
    """Logits of the classes, or the number in one column.

    Args:
        model: See `new_classifier`.
        ids: Rows of `framed`, padded.
    """
    rows = torch.arange(len(ids), device=ids.device)
    return model.classification_head(_top(model, ids)[rows, last_end(ids)]).float()


def class_loss(
    model: BartForSequenceClassification,
    ids: Int[Tensor, "rows length"],
    labels: Int[Tensor, " rows"],
    smoothing: float = 0.0,
) -> Loss:
    """Cross-entropy, summed over rows."""
    logits = class_logits(model, ids)
    total = functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)
    return Loss(total, len(ids))


def number_loss(
    model: BartForSequenceClassification,
    ids: Int[Tensor, "rows length"],
    numbers: Float[Tensor, " rows"],
) -> Loss:
    """Squared error, summed over rows."""
    error = class_logits(model, ids)[:, 0] - numbers
    return Loss((error * error).sum(), len(ids))


# -- spans --------------------------------------------------------------------------------------


def new_span_reader(
    bart: BartForConditionalGeneration, *, seed: int = 0
) -> BartForQuestionAnswering:
    """A BART with a new head: a linear map from each token's state to start and end logits.

    Args:
        bart: Its weights are copied.
        seed: Of the head's weights.
    """
    with seeded(seed):
        model = BartForQuestionAnswering(deepcopy(bart.config))
    model.model.load_state_dict(bart.model.state_dict())
    return model


def span_logits(
    model: BartForQuestionAnswering, ids: Int[Tensor, "rows length"]
) -> Float[Tensor, "rows length 2"]:
    """Logits of being the first and the last token of the span.

    Args:
        model: See `new_span_reader`.
        ids: Rows of `framed`, padded.
    """
    return model.qa_outputs(_top(model, ids)).float()


def span_loss(
    model: BartForQuestionAnswering,
    ids: Int[Tensor, "rows length"],
    spans: Int[Tensor, "rows 2"],
) -> Loss:
    """Half the cross-entropies of first and last token, summed over rows with a span.

    Args:
        model: See `new_span_reader`.
        ids: Rows of `framed`, padded.
        spans: Columns of first and last token, or `NOWHERE` twice.
    """
    logits = span_logits(model, ids).transpose(1, 2).flatten(0, 1)
    total = functional.cross_entropy(logits, spans.flatten(), reduction="sum", ignore_index=NOWHERE)
    return Loss(total / 2, (spans[:, 0] != NOWHERE).sum())


def best_spans(
    logits: Float[Tensor, "rows length 2"],
    allowed: Bool[Tensor, "rows length"],
    longest: int = 30,
) -> Int[Tensor, "rows 2"]:
    """The span of the greatest sum of logits that does not end before it starts.

    Args:
        logits: See `span_logits`.
        allowed: Tokens that a span may start or end with: those of the text, not of the question.
        longest: Most tokens of a span.
    """
    length = logits.shape[1]
    first, last = logits.masked_fill(~allowed[..., None], -torch.inf).unbind(-1)
    sums = first[:, :, None] + last[:, None, :]
    ordered = torch.ones(length, length, dtype=torch.bool, device=logits.device).triu()
    ordered &= ~ordered.triu(longest)
    best = sums.masked_fill(~ordered, -torch.inf).flatten(1).argmax(1)
    return torch.stack([best // length, best % length], dim=1)


def _top(
    model: BartForSequenceClassification | BartForQuestionAnswering,
    ids: Int[Tensor, "rows length"],
) -> Float[Tensor, "rows length width"]:
    """The last states of the decoder, which reads </s> and then the text."""
    seen = (ids != PAD).long()
    return model.model(input_ids=ids, attention_mask=seen, use_cache=False).last_hidden_state
