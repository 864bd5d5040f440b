"""Rows of tokens as a decoder reads them, and what it thinks of them."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from assay.errors import DataError, StepError
from assay.parts.text.tokens import Rows

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

__all__ = ["enclosed", "row_nats"]


def enclosed(rows: Rows, config: "PreTrainedConfig") -> Tensor:
    """Rows behind ``<s>``, filled up with padding.

    Args:
        rows: Content ``[rows, length]``.
        config: Of the decoder, whose ids of ``<s>`` and padding are taken; a decoder without
            padding gets ``<s>`` there.

    Returns:
        Ids ``[rows, 1 + length]``.

    Raises:
        DataError: If the decoder has no ``<s>``.
    """
    begin: Any = config.bos_token_id
    if begin is None:
        raise DataError("a model without bos_token_id", next="Name it in its config.json.")
    pad = begin if config.pad_token_id is None else config.pad_token_id
    ids = torch.from_numpy(rows.ids.astype(np.int64))
    inside = torch.arange(ids.shape[1]) < torch.from_numpy(np.asarray(rows.lengths))[:, None]
    return functional.pad(ids.masked_fill(~inside, pad), (1, 0), value=begin)


def row_nats(net: "PreTrainedModel", rows: Rows) -> np.ndarray:
    """Negative log-likelihood of rows after ``<s>``, in nats, summed over the tokens of each.

    Args:
        net: A decoder, in evaluation mode.
        rows: Content ``[rows, length]``.

    Raises:
        StepError: If that of a row is not a finite number.
    """
    ids = enclosed(rows, net.config).to(net.device)
    lengths = torch.from_numpy(np.asarray(rows.lengths)).to(net.device)
    counted = torch.arange(ids.shape[1] - 1, device=net.device) < lengths[:, None]
    with torch.inference_mode():
        logits = net(input_ids=ids[:, :-1], attention_mask=counted.long(), use_cache=False).logits
        targets = ids[:, 1:].masked_fill(~counted, -100)
        nats = functional.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), reduction="none"
        )
    found = nats.view(targets.shape).double().sum(1)
    if not found.isfinite().all():
        raise StepError(
            f"what the model says of {int((~found.isfinite()).sum())} of {len(found)} rows is not "
            "a finite number",
            next="Its training went wrong, or its weights are damaged.",
        )
    return found.cpu().numpy()
