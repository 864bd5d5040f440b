"""The objectives that are compared: what is hidden from a model, and what it is to say.

====================== =========== ================================================================
denoising              bart        the whole text from a noised one (Lewis et al. 2020)
causal_lm              causal      each token from those before it
permuted_lm            two_stream  a sixth of the tokens, in random order (Yang et al. 2019)
masked_lm              two_stream  15 % of the tokens, each on its own (Devlin et al. 2019)
multitask_masked_lm    two_stream  the same under masks drawn for each row (Dong et al. 2019)
masked_seq2seq         bart        one masked span of half the text (Song et al. 2019)
span_corruption        bart        the spans behind sentinels (Raffel et al. 2020)
====================== =========== ================================================================

All read the same rows and put ``<s>`` before and ``</s>`` behind them; these are never hidden. What
is drawn for a row is a function of (seed, epoch, index of the row).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool

from assay.errors import ParameterError, did_you_mean
from assay.parts.text.tokens import Rows
from assay.systems.denoising.batches import (
    Batch,
    causal_batch,
    enclosed,
    encoder_decoder_batch,
    padded,
    two_stream_batch,
)
from assay.systems.denoising.model import Family
from assay.systems.denoising.noise import Noise, Specials, apply_noise
from assay.systems.denoising.span_corruption import corrupted, corrupted_spans

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from assay.parts.training.losses import Loss

__all__ = [
    "OBJECTIVES",
    "Objective",
    "Vocabulary",
    "causal_lm",
    "denoising",
    "masked_lm",
    "masked_seq2seq",
    "multitask_masked_lm",
    "new_objective",
    "permuted_lm",
    "span_corruption",
]

SENTINELS = 100


class Vocabulary(NamedTuple):
    """What an objective knows of the tokenizer.

    Attributes:
        specials: The mask and the ordinary tokens.
        word_starts: Whether an id begins a word, for every id.
    """

    specials: Specials
    word_starts: Bool[np.ndarray, " vocabulary"]


@dataclass(frozen=True)
class Objective:
    """How rows of text become a task.

    Attributes:
        name: Its name in `OBJECTIVES`.
        family: The models that it trains.
        batch: ``batch(rows, seed=, epoch=, indices=)`` makes the tensors that the family reads;
            ``indices`` are the numbers of the rows in the data set.
        extra_ids: Ids that it uses beyond the tokenizer's; the model needs that many more.
    """

    name: str
    family: Family
    batch: Callable[..., Batch]
    extra_ids: int = 0

    def loss(self, model: "PreTrainedModel", batch: Batch) -> "Loss":
        """Cross-entropy over what is to be said."""
        from assay.systems.denoising.likelihood import model_loss

        return model_loss(model, batch)


# -- encoder and decoder ------------------------------------------------------------------------


def denoising(vocabulary: Vocabulary, noise: Noise) -> Objective:
    """BART: the encoder reads ``<s> noised text </s>``, the decoder writes ``<s> text </s>``."""

    def batch(rows: Rows, *, seed: int, epoch: int, indices: np.ndarray) -> Batch:
        noised = apply_noise(
            rows.ids,
            rows.lengths,
            rows.sentences,
            vocabulary.word_starts,
            noise,
            vocabulary.specials,
            seed=seed,
            epoch=epoch,
            indices=indices,
        )
        source = enclosed(noised.ids, noised.lengths)
        return encoder_decoder_batch(source, enclosed(rows.ids, rows.lengths))

    return Objective("denoising", "bart", batch)


def masked_seq2seq(vocabulary: Vocabulary, share: float = 0.5) -> Objective:
    """MASS: a span is masked token by token, and the decoder writes exactly this span.

    The positions of the decoder count from the span's start; there is no ``</s>`` to write.

    Args:
        vocabulary: The tokenizer's.
        share: Length of the span per token of the row.
    """

    def batch(rows: Rows, *, seed: int, epoch: int, indices: np.ndarray) -> Batch:
        source = enclosed(rows.ids, rows.lengths)
        spans = []
        for line, length, rng in _drawn(source, rows, seed, epoch, indices):
            taken = _count(share, length)
            start = 1 + int(rng.integers(length - taken + 1))
            spans.append(line[start : start + taken].copy())
            line[start : start + taken] = vocabulary.specials.mask
        return encoder_decoder_batch(source, padded(spans))

    return Objective("masked_seq2seq", "bart", batch)


def span_corruption(
    vocabulary: Vocabulary, density: float = 0.15, mean_length: float = 3.0
) -> Objective:
    """T5: a sentinel stands for each span; the decoder writes sentinels, spans and ``</s>``.

    The sentinels are ids of their own behind those of the tokenizer (`Objective.extra_ids`), so no
    text holds one. Every row takes them from the first on.

    Args:
        vocabulary: The tokenizer's.
        density: Tokens in spans per token of the row.
        mean_length: Mean tokens of a span.
    """
    first = len(vocabulary.word_starts)

    def batch(rows: Rows, *, seed: int, epoch: int, indices: np.ndarray) -> Batch:
        text = enclosed(rows.ids, rows.lengths)
        pairs = []
        for line, length, rng in _drawn(text, rows, seed, epoch, indices):
            spans = corrupted_spans(length, density, mean_length, rng)
            if len(spans) > SENTINELS:
                raise ParameterError(
                    f"a row of {length} tokens has {len(spans)} spans",
                    accepted=f"at most {SENTINELS}",
                    next="Shorten the rows.",
                )
            pairs.append(corrupted(line[: length + 2], spans + 1, first))
        sources, targets = zip(*pairs, strict=True)
        return encoder_decoder_batch(padded(sources), padded(targets))

    return Objective("span_corruption", "bart", batch, extra_ids=SENTINELS)


# -- one stack ----------------------------------------------------------------------------------


def causal_lm() -> Objective:
    """A language model: each token and ``</s>`` from ``<s>`` and the tokens before it."""

    def batch(rows: Rows, *, seed: int, epoch: int, indices: np.ndarray) -> Batch:
        return causal_batch(enclosed(rows.ids, rows.lengths))

    return Objective("causal_lm", "causal", batch)


def permuted_lm(share: float = 1 / 6) -> Objective:
    """XLNet: some tokens one after the other in random order, each from the rest and those before.

    Args:
        share: Tokens predicted per token of the row.
    """

    def batch(rows: Rows, *, seed: int, epoch: int, indices: np.ndarray) -> Batch:
        text = enclosed(rows.ids, rows.lengths)
        order, predicted = np.zeros_like(text), []
        for turn, length, rng in _drawn(order, rows, seed, epoch, indices):
            chosen = 1 + rng.choice(length, _count(share, length), replace=False)
            turn[chosen] = 1 + np.arange(len(chosen))
            predicted.append(chosen)
        return two_stream_batch(text, order, predicted, text)

    return Objective("permuted_lm", "two_stream", batch)


Sight = Callable[[int, np.random.Generator], np.ndarray]


def masked_lm(vocabulary: Vocabulary, share: float = 0.15) -> Objective:
    """BERT: some tokens become ``<mask>`` and are predicted, each on its own, from all the others.

    Args:
        vocabulary: The tokenizer's.
        share: Tokens masked per token of the row.
    """
    return Objective("masked_lm", "two_stream", _masked(vocabulary, share, _full_sight))


def multitask_masked_lm(vocabulary: Vocabulary, share: float = 0.15) -> Objective:
    """UniLM: as `masked_lm`, under a mask drawn for each row.

    One sixth of the rows left to right, one sixth right to left, one third in full sight, and one
    third with the first half in full sight and the second left to right.

    Args:
        vocabulary: The tokenizer's.
        share: Tokens masked per token of the row.
    """
    return Objective("multitask_masked_lm", "two_stream", _masked(vocabulary, share, _any_sight))


def _masked(vocabulary: Vocabulary, share: float, sight: Sight) -> Callable[..., Batch]:
    def batch(rows: Rows, *, seed: int, epoch: int, indices: np.ndarray) -> Batch:
        text = enclosed(rows.ids, rows.lengths)
        ids, order, predicted = text.copy(), np.zeros_like(text), []
        for row, (line, length, rng) in enumerate(_drawn(ids, rows, seed, epoch, indices)):
            chosen = 1 + np.sort(rng.choice(length, _count(share, length), replace=False))
            line[chosen] = vocabulary.specials.mask
            order[row, : length + 2] = sight(length + 2, rng)
            predicted.append(chosen)
        return two_stream_batch(ids, order, predicted, text)

    return batch


def _full_sight(length: int, rng: np.random.Generator) -> np.ndarray:
    return np.zeros(length, dtype=np.int64)


def _any_sight(length: int, rng: np.random.Generator) -> np.ndarray:
    place = np.arange(length)
    after_half = np.maximum(place - length // 2 + 1, 0)
    return [place, place[::-1], 0 * place, after_half][
        rng.choice(4, p=[1 / 6, 1 / 6, 1 / 3, 1 / 3])
    ]


# -- what all share -----------------------------------------------------------------------------


def _count(share: float, length: int) -> int:
    """Tokens taken of a row: the nearest number, but one at least."""
    return min(length, max(1, round(share * length)))


def _drawn(
    lines: np.ndarray, rows: Rows, seed: int, epoch: int, indices: np.ndarray
) -> Iterator[tuple[np.ndarray, int, np.random.Generator]]:
    """Each line with its number of tokens and its random numbers."""
    for line, length, index in zip(lines, rows.lengths, indices, strict=True):
        yield line, int(length), np.random.default_rng([seed % 2**64, epoch, int(index)])


OBJECTIVES: dict[str, Callable[[Vocabulary, Noise], Objective]] = {
    "denoising": denoising,
    "causal_lm": lambda vocabulary, noise: causal_lm(),
    "permuted_lm": lambda vocabulary, noise: permuted_lm(),
    "masked_lm": lambda vocabulary, noise: masked_lm(vocabulary),
    "multitask_masked_lm": lambda vocabulary, noise: multitask_masked_lm(vocabulary),
    "masked_seq2seq": lambda vocabulary, noise: masked_seq2seq(vocabulary),
    "span_corruption": lambda vocabulary, noise: span_corruption(vocabulary),
}
"""The objectives by name, at the rates of their papers."""


def new_objective(name: str, vocabulary: Vocabulary, noise: Noise | None = None) -> Objective:
    """An objective by its name.

    Args:
        name: One of `OBJECTIVES`.
        vocabulary: The tokenizer's.
        noise: For denoising; none at all if left out.

    Raises:
        ParameterError: If there is none of this name.
    """
    if name not in OBJECTIVES:
        raise ParameterError(f"no objective {name!r}", next=did_you_mean(name, OBJECTIVES))
    return OBJECTIVES[name](vocabulary, noise or Noise())
