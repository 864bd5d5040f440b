"""A head that gives every word a label, and how well it does.

BART reads the row in its encoder and, moved one to the right, in its decoder; the label of a word
is read from the decoder's top state at the word's first token, as spans are in `heads`.

Notable in this file: transformers has no such class for BART. `BartForTokenClassification` is one
of its kind, which importing this module makes known to ``AutoModelForTokenClassification``.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoModelForTokenClassification,
    BartConfig,
    BartForConditionalGeneration,
    BartModel,
    BartPreTrainedModel,
)
from transformers.modeling_outputs import TokenClassifierOutput

from assay.parts.text.tasks import OUTSIDE
from assay.parts.training.losses import Loss
from assay.parts.training.torch_state import seeded
from assay.systems.denoising.batches import IGNORE
from assay.systems.denoising.heads import NOWHERE, Frame
from assay.systems.denoising.model import PAD

__all__ = [
    "BartForTokenClassification",
    "Entity",
    "entities",
    "first_tokens",
    "label_f1",
    "new_tagger",
    "tag_logits",
    "tag_loss",
]

Entity = tuple[int, int, str]
"""First word, the word after the last, and the kind."""


class BartForTokenClassification(BartPreTrainedModel):
    """A BART with dropout and a linear map from each state of the decoder to the labels."""

    def __init__(self, config: BartConfig) -> None:
        super().__init__(config)
        self.model = BartModel(config)
        self.dropout = nn.Dropout(config.classifier_dropout or 0.0)
        width: Any = config.d_model
        self.classifier = nn.Linear(width, len(config.id2label or ()))
        self.post_init()

    def forward(
        self,
        input_ids: Int[Tensor, "rows length"] | None = None,
        attention_mask: Int[Tensor, "rows length"] | None = None,
        labels: Int[Tensor, "rows length"] | None = None,
        **more: Any,
    ) -> TokenClassifierOutput:
        """Logits of the labels of every token, and the mean loss where labels are given.

        Args:
            input_ids: Rows, ``<s> text </s>``.
            attention_mask: 0 where a row is padded.
            labels: Number of each token's label; -100 where there is none.
            **more: For `BartModel`.
        """
        found = self.model(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False, **more
        )
        logits = self.classifier(self.dropout(found.last_hidden_state))
        loss = None
        if labels is not None:
            loss = functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten())
        return TokenClassifierOutput(
            loss=loss,
            logits=logits,
            hidden_states=found.decoder_hidden_states,
            attentions=found.decoder_attentions,
        )


AutoModelForTokenClassification.register(BartConfig, BartForTokenClassification, exist_ok=True)


def new_tagger(
    bart: BartForConditionalGeneration,
    labels: Sequence[str],
    *,
    dropout: float = 0.0,
    seed: int = 0,
) -> BartForTokenClassification:
    """A BART with a new head for labels of words.

    Args:
        bart: Its weights are copied.
        labels: Names of the labels.
        dropout: Share of the head's inputs dropped.
        seed: Of the head's weights.
    """
    config = deepcopy(bart.config)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: k for k, label in config.id2label.items()}
    config.classifier_dropout = dropout
    with seeded(seed):
        model = BartForTokenClassification(config)
    model.model.load_state_dict(bart.model.state_dict())
    return model


def first_tokens(framing: Frame, text: str) -> list[int]:
    """The first token of each word in its row; `NOWHERE` for words that were cut.

    Args:
        framing: The row.
        text: Words with one space between them.
    """
    found, token, start = [], 0, 0
    for word in text.split(" "):
        while token < len(framing.places) and framing.places[token][1] <= start:
            token += 1
        inside = token < len(framing.places)
        found.append(framing.first + token if inside else NOWHERE)
        start += len(word) + 1
    return found


def tag_logits(
    model: BartForTokenClassification, ids: Int[Tensor, "rows length"]
) -> Float[Tensor, "rows length labels"]:
    """Logits of the labels of every token.

    Args:
        model: See `new_tagger`.
        ids: Rows of `heads.framed`, padded.
    """
    return model(input_ids=ids, attention_mask=(ids != PAD).long()).logits.float()


def tag_loss(
    model: BartForTokenClassification,
    ids: Int[Tensor, "rows length"],
    labels: Int[Tensor, "rows columns"],
    smoothing: float = 0.0,
) -> Loss:
    """Cross-entropy, summed over words.

    Args:
        model: See `new_tagger`.
        ids: Rows of `heads.framed`, padded.
        labels: Numbers of the labels at the first tokens of words, `IGNORE` elsewhere; padding may
            be longer or shorter than that of the rows.
        smoothing: Label smoothing.
    """
    labels = labels[:, : ids.shape[1]]
    logits = tag_logits(model, ids)[:, : labels.shape[1]]
    total = functional.cross_entropy(
        logits.transpose(1, 2),
        labels,
        reduction="sum",
        ignore_index=IGNORE,
        label_smoothing=smoothing,
    )
    return Loss(total, (labels != IGNORE).sum())


# -- measures -----------------------------------------------------------------------------------


def entities(labels: Sequence[str]) -> Iterator[Entity]:
    """What labels say is there, as conlleval counts it.

    ``B-person I-person`` is one entity; it ends where another kind, another ``B-`` or ``O`` comes,
    and an ``I-`` that continues nothing begins one. Any other label is an entity of one word.

    Example:
        >>> list(entities(["B-person", "I-person", "O", "I-place", "job", "job"]))
        [(0, 2, 'person'), (3, 4, 'place'), (4, 5, 'job'), (5, 6, 'job')]
    """
    begin, kind = 0, None
    for k, label in enumerate([*labels, OUTSIDE]):
        if kind is not None and label == f"I-{kind}":
            continue
        if kind is not None:
            yield begin, k, kind
        begin, kind = k, None
        if label.startswith(("B-", "I-")):
            kind = label[2:]
        elif label != OUTSIDE:
            yield k, k + 1, label


def label_f1(said: Sequence[Sequence[str]], meant: Sequence[Sequence[str]]) -> float:
    """F1 over the entities of all examples together (micro); 0 where none is right.

    Args:
        said: Labels that were found, for each example.
        meant: Labels that are right.

    Example:
        >>> label_f1([["job", "O", "place"]], [["job", "place", "O"]])
        0.5
    """
    right = found = there = 0
    for one, other in zip(said, meant, strict=True):
        a, b = set(entities(one)), set(entities(other))
        right, found, there = right + len(a & b), found + len(a), there + len(b)
    return 2 * right / max(found + there, 1)
