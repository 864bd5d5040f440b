"""A decoder as a reader: one linear layer on the state of the last token of each row.

A class has a column of that layer. An option has a row of its own, which is the prompt filled with
it, and the layer gives it one number; the options of an example compete.

Notable in this file: rows are filled up on the right and their last token is found by the mask, so
what a row is read beside, and how far it is filled up, does not matter.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutputWithPast

from assay.parts.training.losses import Loss
from assay.parts.training.torch_state import seeded
from assay.systems.mixture_of_experts.configuration import SparseDecoderConfig
from assay.systems.mixture_of_experts.model import (
    SparseDecoderForCausalLM,
    SparseDecoderModel,
    _Pretrained,
    routings,
)

__all__ = [
    "Answerable",
    "SparseDecoderForSequenceClassification",
    "answer_logits",
    "answer_loss",
    "batch_of",
    "new_reader",
]

OPTION = "option"
"""Name of the one column of a reader of options."""
STATIC = 32
"""Rows are filled up to a multiple: a bf16 product on a CPU prepares anew for every new shape."""


class SparseDecoderForSequenceClassification(_Pretrained):
    """A decoder with a linear layer, without bias, on the state of the last token of a row.

    Args:
        config: What it is built from; ``id2label`` names the columns.
    """

    def __init__(self, config: SparseDecoderConfig) -> None:
        super().__init__(config)
        self.decoder = SparseDecoderModel(config)
        columns: Any = config.num_labels
        self.score = nn.Linear(config.hidden_size, columns, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: Int[Tensor, "rows length"],
        attention_mask: Int[Tensor, "rows length"] | None = None,
        **ignored: Any,
    ) -> SequenceClassifierOutputWithPast:
        """Logits ``[rows, labels]``.

        Args:
            input_ids: Rows.
            attention_mask: 0 where a row is filled up; it is not if this is not given.
            ignored: What other models take and this one has no use for.
        """
        seen = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        states = self.decoder(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False
        ).last_hidden_state
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        last = (places * (seen != 0)).amax(1)
        rows = torch.arange(len(input_ids), device=input_ids.device)
        return SequenceClassifierOutputWithPast(logits=self.score(states[rows, last]))


def new_reader(
    decoder: SparseDecoderForCausalLM, labels: Sequence[str], *, seed: int
) -> SparseDecoderForSequenceClassification:
    """A decoder with a new linear layer in the place of its output.

    Args:
        decoder: Its weights are copied.
        labels: Names of the classes; none makes a reader of options.
        seed: Of the new layer.
    """
    config: Any = deepcopy(decoder.config)
    config.id2label = dict(enumerate(labels or [OPTION]))
    config.label2id = {label: k for k, label in config.id2label.items()}
    with seeded(seed):
        model = SparseDecoderForSequenceClassification(config)
    model.decoder.load_state_dict(decoder.decoder.state_dict())
    return model


class Answerable(NamedTuple):
    """One example as numbers.

    Attributes:
        rows: A row for each option; a single one where a class is to be found.
        answer: Number of the right option or class.
    """

    rows: list[list[int]]
    answer: int


def batch_of(examples: Sequence[Answerable], pad: int) -> dict[str, Tensor]:
    """Examples read together.

    Args:
        examples: At least one.
        pad: Id that rows are filled up with.

    Returns:
        ``ids`` and ``seen`` ``[rows, length]``, the rows of each example one after the other; and
        ``counts``, how many they are, and ``answers`` ``[examples]``.
    """
    rows = [row for example in examples for row in example.rows]
    length = -(-max(map(len, rows)) // STATIC) * STATIC
    ids = torch.tensor([row + [pad] * (length - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return {
        "ids": ids,
        "seen": (torch.arange(length) < lengths[:, None]).long(),
        "counts": torch.tensor([len(example.rows) for example in examples]),
        "answers": torch.tensor([example.answer for example in examples]),
    }


def answer_logits(
    model: SparseDecoderForSequenceClassification, batch: Mapping[str, Tensor]
) -> Float[Tensor, "examples answers"]:
    """Logits of the classes or options of each example, fp32; -inf where it has no such option.

    Args:
        model: See `new_reader`.
        batch: See `batch_of`; of a reader of classes every example has one row.
    """
    ids, seen = (batch[name].to(model.device) for name in ("ids", "seen"))
    logits = model(input_ids=ids, attention_mask=seen).logits.float()
    if logits.shape[1] > 1:
        return logits
    parts = logits[:, 0].split(batch["counts"].tolist())
    return nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=-torch.inf)


def answer_loss(model: SparseDecoderForSequenceClassification, batch: Mapping[str, Tensor]) -> Loss:
    """Cross-entropy of the right answers, summed over examples, and what balances the experts.

    As in pre-training, the sum of the load-balancing losses of the mixtures counts the weight that
    the configuration says, here for every example.
    """
    logits = answer_logits(model, batch)
    answers = batch["answers"].to(logits.device)
    total = functional.cross_entropy(logits, answers, reduction="sum")
    for routing in routings(model).values():
        total = total + model.config.balance_weight * len(answers) * routing.balance_loss
    return Loss(total, len(answers))


AutoModelForSequenceClassification.register(
    SparseDecoderConfig, SparseDecoderForSequenceClassification, exist_ok=True
)
