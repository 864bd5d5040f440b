"""Noise: what the encoder sees of a text that the decoder must restore.

`Noise` says what is done, `apply_noise` does it to a block of rows, `NOISES` names the usual ones.
Rows hold content only, without ``<s>`` and ``</s>``, so no noise can touch these. Four steps follow
one another, each left out at its default:

1. *Sentence permutation*: ``ceil(permute_sentences S)`` of a row's S sentences, chosen uniformly,
   change places among themselves; where sentences begin is told, not guessed from full stops.
2. *Masking*: of N units, words or subwords, ``ceil(mask N)`` are replaced, one by one or, with
   "span-poisson" (text infilling), in spans of Poisson length; a span of length 0 removes nothing
   and still leaves a mask. ``replace_length`` says what stands for a span: one mask (1), nothing
   (0: deletion, where empty spans leave no trace) or a mask per token (-1).
3. *Insertion* of ``ceil(insert L)`` new tokens between the L there are.
4. *Rotation*: with probability ``rotate`` the row begins at a uniformly chosen token, which may be
   the first.

A new token is the mask or, with probability ``mask_random``, a uniformly chosen ordinary token.

Spans are placed in one of two ways. "exact": a row is a sequence of kept units, spans and empty
spans, all orders equally likely; spans do not overlap and exactly the target is removed. "fairseq":
spans begin at distinct, uniformly chosen units and run over what follows; those that overlap become
one and the row's end cuts the last, so that less than the target is removed; empty spans fall
anywhere, within words too. Fairseq itself goes wrong where this does not: it may insert one mask
more than it drew, it writes into its data set, and its noise does not repeat.

Source: Lewis et al. 2020, section 2.2; mask tables and "fairseq" placement follow fairseq.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Int32, Int64, Integer
from pydantic import Field

from assay.errors import ParameterError

if TYPE_CHECKING:
    from assay.systems.denoising.kernel import Scheme

__all__ = ["NOISES", "PAPER", "RELEASED", "Edits", "Noise", "Noised", "Specials", "apply_noise",
           "poisson_table", "rebuild"]  # fmt: skip

Share = Annotated[float, Field(ge=0, le=1)]
MaskLength = Literal["subword", "word", "span-poisson"]
Placement = Literal["exact", "fairseq"]
LAMBDAS = (0.1, 64.0)
RAREST = 1e-7
COMPILED_FOR = ("C", "W")  # numba compiles anew for other layouts and for what is read-only


@dataclass(frozen=True)
class Noise:
    """What is done to a row; the default is nothing.

    Attributes:
        mask: Share of the units that is masked.
        mask_length: What a mask stands for: a subword, a word, or a span of Poisson length.
        poisson_lambda: Mean span length in units, .1 to 64.
        whole_words: Whether the units of "span-poisson" are words rather than subwords.
        replace_length: What stands for a span: 1 one mask, 0 nothing, -1 a mask per token.
        mask_random: Probability that a new token is an ordinary token instead of the mask.
        placement: How spans are placed, see above.
        permute_sentences: Share of the sentences that is permuted.
        insert: New tokens inserted per token there is.
        rotate: Probability that a row is rotated.

    Raises:
        ParameterError: If a value is out of range.
    """

    mask: Share = 0.0
    mask_length: MaskLength = "span-poisson"
    poisson_lambda: Annotated[float, Field(ge=LAMBDAS[0], le=LAMBDAS[1])] = 3.0
    whole_words: bool = True
    replace_length: Literal[1, 0, -1] = 1
    mask_random: Share = 0.0
    placement: Placement = "exact"
    permute_sentences: Share = 0.0
    insert: Share = 0.0
    rotate: Share = 0.0

    def __post_init__(self) -> None:
        for name in ("mask", "mask_random", "permute_sentences", "insert", "rotate"):
            self._require(name, 0 <= getattr(self, name) <= 1, "a share from 0 to 1")
        low, high = LAMBDAS
        self._require("poisson_lambda", low <= self.poisson_lambda <= high, f"{low:g} to {high:g}")
        for name, accepted in (
            ("mask_length", get_args(MaskLength)),
            ("replace_length", (1, 0, -1)),
            ("placement", get_args(Placement)),
        ):
            self._require(name, getattr(self, name) in accepted, f"one of {accepted}")

    def _require(self, name: str, holds: bool, accepted: str) -> None:
        if not holds:
            value = getattr(self, name)
            raise ParameterError(f"{value!r} is refused", where=f"noise.{name}", accepted=accepted)


PAPER = Noise(mask=0.3, poisson_lambda=3.0, permute_sentences=1.0)
"""Text infilling of 30 % and permutation of all sentences, as the paper tells them."""

RELEASED = replace(PAPER, poisson_lambda=3.5, mask_random=0.1)
"""What the released models are said to be trained with: longer spans, a tenth random tokens."""

NOISES: dict[str, Noise] = {
    "none": Noise(),
    "token_masking": Noise(mask=0.3, mask_length="subword"),
    "token_deletion": Noise(mask=0.3, mask_length="subword", replace_length=0),
    "text_infilling": Noise(mask=0.3),
    "sentence_permutation": Noise(permute_sentences=1.0),
    "document_rotation": Noise(rotate=1.0),
    "infilling_and_permutation": PAPER,
    "paper": PAPER,
    "released": RELEASED,
}


class Specials(NamedTuple):
    """The ids that noise may put into a row: the mask, and ordinary tokens from first to last."""

    mask: int
    first: int
    last: int


class Edits(NamedTuple):
    """Where everything went: enough to restore the original rows from the noised ones."""

    sources: Int32[np.ndarray, "rows noised_length"]
    """The position in the original of each noised token; -1 for new tokens and padding."""
    slots: Int32[np.ndarray, "rows length"]
    """Where each original token is now, or the new token that stands for it; -1 if neither."""
    removed: Int32[np.ndarray, "rows length"]
    """The id of each original token that was removed; -1 for those kept and padding."""


class Noised(NamedTuple):
    """Noised rows, padded with 0."""

    ids: Int32[np.ndarray, "rows noised_length"]
    lengths: Int64[np.ndarray, " rows"]
    edits: Edits


def poisson_table(poisson_lambda: float) -> np.ndarray:
    """P(length <= n) for n = 0, 1, ..., cut after the first probability below 1e-7, scaled to 1.

    Example:
        >>> len(poisson_table(3.0)) - 1, len(poisson_table(3.5)) - 1
        (17, 18)
    """
    probabilities = [math.exp(-poisson_lambda)]
    while probabilities[-1] >= RAREST or len(probabilities) <= poisson_lambda:
        probabilities.append(probabilities[-1] * poisson_lambda / len(probabilities))
    cumulative = np.cumsum(probabilities)
    cumulative /= cumulative[-1]
    return cumulative


def _scheme(noise: Noise, specials: Specials) -> "Scheme":
    from assay.systems.denoising.kernel import Scheme

    spans = noise.mask_length == "span-poisson"
    return Scheme(
        mask=float(noise.mask),
        cumulative=poisson_table(noise.poisson_lambda) if spans else np.array([0.0, 1.0]),
        whole_words=noise.mask_length == "word" or (spans and noise.whole_words),
        exact=noise.placement == "exact",
        replace_length=noise.replace_length,
        mask_random=float(noise.mask_random),
        permute_sentences=float(noise.permute_sentences),
        insert=float(noise.insert),
        rotate=float(noise.rotate),
        mask_id=int(specials.mask),
        first_id=int(specials.first),
        last_id=int(specials.last),
    )


def apply_noise(
    ids: Integer[np.ndarray, "rows length"],
    lengths: Integer[np.ndarray, " rows"],
    sentences: Bool[np.ndarray, "rows length"],
    word_starts: Bool[np.ndarray, " vocabulary"],
    noise: Noise,
    specials: Specials,
    *,
    seed: int,
    epoch: int,
    indices: Integer[np.ndarray, " rows"],
) -> Noised:
    """Noise a block of rows.

    A row's noise is a function of (seed, epoch, its index) and the row: it does not depend on the
    rows beside it nor on the padding, which is never read. A shuffled or resumed run sees the same.

    Args:
        ids: Token ids without special tokens, padded at will.
        lengths: How many tokens of each row count.
        sentences: Whether a sentence begins at a token; the first token begins one in any case.
        word_starts: Whether an id begins a word; so does the first token of each sentence.
        noise: What to do.
        specials: The mask, and the range of ordinary ids for random tokens.
        seed: The stream of random numbers, any integer.
        epoch: Passes over the data so far.
        indices: Each row's number in its data set.

    Returns:
        The noised rows, as wide as the longest of them, and the record of edits.

    Raises:
        ValueError: If a length exceeds the width, an id lies outside ``word_starts``, or there are
            no ordinary ids.
    """
    from assay.systems.denoising.kernel import noise_rows

    if lengths.size and not 0 <= lengths.min() <= lengths.max() <= ids.shape[1]:
        raise ValueError(f"lengths must lie in 0 .. {ids.shape[1]}")
    if specials.first > specials.last:
        raise ValueError(f"no ordinary ids between {specials.first} and {specials.last}")
    noised, ends, *edits = noise_rows(
        np.require(ids, np.int32, COMPILED_FOR),
        np.require(lengths, np.int64, COMPILED_FOR),
        np.require(sentences, np.bool_, COMPILED_FOR),
        np.require(word_starts, np.bool_, COMPILED_FOR),
        _scheme(noise, specials),
        np.uint64(seed % 2**64),
        np.uint64(epoch),
        np.require(indices, np.uint64, COMPILED_FOR),
    )
    width = int(ends.max(initial=0))
    sources, slots, removed = edits
    record = Edits(np.ascontiguousarray(sources[:, :width]), slots, removed)
    return Noised(np.ascontiguousarray(noised[:, :width]), ends, record)


def rebuild(noised: Noised) -> Int32[np.ndarray, "rows length"]:
    """The original rows, padded with 0, from the noised ones and the record of edits."""
    _, slots, removed = noised.edits
    if not noised.ids.size:
        return np.maximum(removed, 0)
    kept = np.take_along_axis(noised.ids, np.maximum(slots, 0).astype(np.int64), axis=1)
    return np.where(removed >= 0, removed, np.where(slots >= 0, kept, 0)).astype(np.int32)
