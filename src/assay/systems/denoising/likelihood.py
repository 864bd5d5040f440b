"""What each family of models says of a batch: the loss, the likelihood of each token, an answer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel

from assay.errors import DataError
from assay.parts.training.losses import Loss, token_loss
from assay.systems.denoising.batches import (
    IGNORE,
    Batch,
    conditional_batch,
    padded,
    prefix_order,
    prefixes,
)
from assay.systems.denoising.model import BEGIN, END, PAD, family_of

__all__ = ["Scores", "greedy_answers", "model_loss", "score", "target_loss"]


class Scores(NamedTuple):
    """What a model says of the targets of a batch, ``[rows, targets]`` each.

    Attributes:
        log_likelihood: Natural logarithm of the probability of the target; 0 where not counted.
        correct: Whether no other token is likelier.
        counted: Whether the target counts.
    """

    log_likelihood: Float[Tensor, "rows targets"]
    correct: Bool[Tensor, "rows targets"]
    counted: Bool[Tensor, "rows targets"]


def model_loss(model: PreTrainedModel, batch: Batch, *, smoothing: float = 0.0) -> Loss:
    """Cross-entropy over all targets of a batch that count.

    Args:
        model: A model of any family.
        batch: What its family reads, see `batches`; on the device of the model.
        smoothing: Share of each target spread over the vocabulary.
    """
    weight, bias = _output(model)
    hidden, targets = _hidden(model, batch), batch["targets"]
    return token_loss(hidden, weight, targets, ignore=IGNORE, bias=bias, smoothing=smoothing)


def target_loss(
    model: PreTrainedModel, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
) -> Loss:
    """Cross-entropy of targets given their sources. See `batches.conditional_batch`."""
    return model_loss(model, _to(conditional_batch(family_of(model), sources, targets), model))


@torch.inference_mode()
def score(model: PreTrainedModel, batch: Batch) -> Scores:
    """Likelihood of every target, without dropout. See `model_loss`."""
    with _evaluating(model):
        batch = _to(batch, model)
        targets, hidden = batch["targets"], _hidden(model, batch)
        counted = targets != IGNORE
        weight, bias = _output(model)
        logits = torch.nn.functional.linear(hidden[counted], weight, bias).float()
        wanted = logits.gather(1, targets[counted][:, None])[:, 0]
        found = torch.zeros(targets.shape, device=targets.device)
        found[counted] = wanted - logits.logsumexp(1)
        correct = torch.zeros_like(counted)
        correct[counted] = wanted >= logits.amax(1)
    return Scores(found, correct, counted)


def _hidden(model: Any, batch: Batch) -> Float[Tensor, "rows targets width"]:
    """The hidden states from which the targets are predicted."""
    _require_positions(model, batch)
    match family_of(model):
        case "bart":
            return model.model(
                input_ids=batch["source"],
                attention_mask=(batch["source"] != PAD).long(),
                decoder_input_ids=batch["decoder"],
                use_cache=False,
            ).last_hidden_state
        case "causal":
            every = torch.ones_like(batch["ids"])  # what pads a row comes after all that counts
            return model.transformer(
                batch["ids"], attention_mask=every, use_cache=False
            ).last_hidden_state
        case _:
            return model(batch["ids"], batch["order"], batch["predicted"]).last_hidden_state


def _require_positions(model: PreTrainedModel, batch: Batch) -> None:
    longest = max(batch[name].shape[1] for name in ("source", "decoder", "ids") if name in batch)
    if longest > model.config.max_position_embeddings:
        raise DataError(
            f"a row of {longest} tokens, special ones included",
            accepted=f"at most the {model.config.max_position_embeddings} positions of the model",
            next="Shorten the rows or build the model with more positions.",
        )


def _output(model: Any) -> tuple[Tensor, Tensor | None]:
    """Weight and bias from hidden states to logits; the weight is the embedding of the input."""
    weight, bias = model.get_input_embeddings().weight, getattr(model, "final_logits_bias", None)
    return weight, None if bias is None else bias[0].to(weight.dtype)


def _to(batch: Batch, model: PreTrainedModel) -> Batch:
    return {name: values.to(model.device) for name, values in batch.items()}


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


# -- answers ------------------------------------------------------------------------------------


@torch.inference_mode()
def greedy_answers(
    model: PreTrainedModel, sources: Sequence[Sequence[int]], limit: int
) -> list[list[int]]:
    """The likeliest token, one after the other, until </s>.

    Args:
        model: A model of any family.
        sources: Tokens of each source, without special ones.
        limit: Most tokens of an answer.

    Returns:
        The tokens of each answer, without special ones at its ends.
    """
    answer = {"bart": _by_decoder, "causal": _after_prefix, "two_stream": _place_by_place}
    with _evaluating(model):
        rows = answer[family_of(model)](model, prefixes(sources), limit)
    return [row[: row.index(END)] if END in row else row for row in rows.tolist()]


GREEDY: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
    "eos_token_id": END,
    "pad_token_id": END,
}


def _by_decoder(model: Any, rows: list[list[int]], limit: int) -> Tensor:
    source = torch.from_numpy(padded(rows)).to(model.device)
    start = torch.tensor([[END, BEGIN]], device=model.device).repeat(len(rows), 1)
    mask = (source != PAD).long()
    made = model.generate(
        source, attention_mask=mask, decoder_input_ids=start, max_new_tokens=limit + 1, **GREEDY
    )
    return made[:, start.shape[1] :][:, :limit]


def _after_prefix(model: Any, rows: list[list[int]], limit: int) -> Tensor:
    ids = torch.from_numpy(padded([row[::-1] for row in rows])).flip(1).to(model.device)
    made = model.generate(ids, attention_mask=(ids != PAD).long(), max_new_tokens=limit, **GREEDY)
    return made[:, ids.shape[1] :]


def _place_by_place(model: Any, rows: list[list[int]], limit: int) -> Tensor:
    """What stands right of a place never reaches it, so the row may be full of padding there."""
    lengths = np.array([len(row) for row in rows])
    width = int(lengths.max()) + limit
    ids = torch.from_numpy(padded([*rows, [PAD] * width])[:-1]).to(model.device)
    order = torch.from_numpy(prefix_order(lengths, width)).to(model.device)
    places = torch.from_numpy(lengths).to(model.device)[:, None]
    weight, _ = _output(model)
    ended = torch.zeros_like(places, dtype=torch.bool)
    for step in range(limit):
        hidden = model(ids, order, places + step).last_hidden_state
        token = (hidden @ weight.T).argmax(-1).masked_fill(ended, END)
        ids.scatter_(1, places + step, token)
        ended |= token == END
        if ended.all():
            break
    answer = torch.arange(limit, device=model.device) + places
    return ids.gather(1, answer).masked_fill(ids.gather(1, answer) == PAD, END)
