"""Log-probabilities of answer options that share a prefix.

Three ways to the same numbers, for any causal model of transformers:

* ``tree``: prefix and options lie in one row; positions restart at each option, and an option sees
  the prefix and itself only. The prefix is read once, and first, so that its attention is plain.
* ``cached``: the prefix is read once, and its keys and values are copied for each option.
* ``naive``: a row for each option, prefix included. Slow, and the reference.

An encoder-decoder model reads each source once; its options are rows of the decoder. Logits are
computed where an option's token is predicted and nowhere else.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from assay.errors import DataError
from assay.parts.text import passes
from assay.parts.text.passes import Piece

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Normalisation", "OptionScores", "Question", "normalised", "score", "split_question"]

Method = Literal["tree", "cached", "naive"]
Normalisation = Literal["sum", "token", "character", "unconditional"]

CLOSE_NATS = 0.05
"""Options this near to the best in bf16 are scored again in fp32."""
TOKENS = 8192


class Question(NamedTuple):
    """What is given and what may follow, as token ids.

    Attributes:
        prefix: The shared prefix of a causal model (at least one id), or the source of an
            encoder-decoder model, special ids included.
        options: The options, none of them empty.
    """

    prefix: Sequence[int]
    options: Sequence[Sequence[int]]


class OptionScores(NamedTuple):
    """What a model thinks of the options of one question.

    Attributes:
        log_probability: Sum over the tokens of each option, in nats.
        tokens: Number of tokens of each option.
    """

    log_probability: Float[np.ndarray, " option"]
    tokens: Int[np.ndarray, " option"]

    @property
    def per_token(self) -> Float[np.ndarray, " option"]:
        """Mean log-probability of a token of each option."""
        return self.log_probability / self.tokens


def split_question(candidates: Sequence[Sequence[int]]) -> Question:
    """Split whole candidate sequences into what they share at the start and how they go on.

    Tokenise prompt and option together, then split: tokens may cross the seam. Each option keeps at
    least one token.

    Example:
        >>> split_question([[5, 6, 7], [5, 6, 8, 9]])
        Question(prefix=[5, 6], options=[[7], [8, 9]])
    """
    shortest = min((len(c) for c in candidates), default=0)
    first = candidates[0] if candidates else []
    shared = 0
    while shared < shortest - 1 and all(c[shared] == first[shared] for c in candidates):
        shared += 1
    return Question(list(first[:shared]), [list(c[shared:]) for c in candidates])


def normalised(
    scores: OptionScores,
    by: Normalisation,
    *,
    characters: Sequence[int] | None = None,
    unconditional: OptionScores | None = None,
) -> Float[np.ndarray, " option"]:
    """Scores by which options are ranked; the largest is the answer.

    Args:
        scores: Of one question.
        by: ``sum`` of log-probabilities, the sum per ``token`` or per ``character``, or the sum
            less the ``unconditional`` one (pointwise mutual information).
        characters: Length of each option's text, for ``character``.
        unconditional: Scores of the same options after a prefix that says nothing.

    Raises:
        DataError: If what the normalisation needs is not there.

    Example:
        >>> scores = OptionScores(np.array([-4.0, -3.0]), np.array([4, 1]))
        >>> normalised(scores, "token").tolist(), int(normalised(scores, "sum").argmax())
        ([-1.0, -3.0], 1)
    """
    total = scores.log_probability
    if by == "sum":
        return total
    if by == "token":
        return scores.per_token
    if by == "character":
        lengths = np.asarray(() if characters is None else characters)
        if lengths.shape != total.shape or (lengths <= 0).any():
            raise DataError(
                f"lengths in characters are {lengths.tolist()}",
                accepted=f"{total.size} positive numbers, one for each option",
            )
        return total / lengths
    if unconditional is None or not np.array_equal(unconditional.tokens, scores.tokens):
        raise DataError("unconditional scores of other options", accepted="those of the same")
    return total - unconditional.log_probability


def score(
    model: "PreTrainedModel",
    questions: Sequence[Question],
    *,
    method: Method = "tree",
    precision: Literal["fp32", "bf16"] = "fp32",
    close_nats: float = CLOSE_NATS,
    decoder_prefix: Sequence[int] = (),
    tokens: int = TOKENS,
) -> list[OptionScores]:
    """Score the options of each question.

    In bf16 sums of log-probabilities are off by some thousandths and more, so a question whose two
    best options lie within ``close_nats``, by sum or per token, is scored again in fp32.

    Args:
        model: A causal or an encoder-decoder model; it is left as it was.
        questions: Prefixes and options of any length; the answer for one does not depend on the
            others but for rounding.
        method: See the head of this module; an encoder-decoder model has one way only.
        precision: ``fp32`` computes in the precision of the weights, ``bf16`` under autocast.
        close_nats: See above.
        decoder_prefix: Ids that follow the decoder's start token and are given, not scored (BART
            checkpoints: ``<s>``). Encoder-decoder models only.
        tokens: About how many tokens, padding included, are computed at once.

    Returns:
        Scores in the order of the questions.

    Raises:
        DataError: If a question is empty, too long for the model, or has ids that the model does
            not know; if the model cannot be scored in this way, or answers NaN.
    """
    lead = 1 + len(decoder_prefix) if model.config.is_encoder_decoder else 0
    _require_scorable(model, questions, lead)
    if not lead:
        _require_method(model, method)
    found: list[OptionScores | None] = [None] * len(questions)
    with _evaluating(model):
        for dtype in (torch.bfloat16, None) if precision == "bf16" else (None,):
            left = [k for k, s in enumerate(found) if s is None or _is_close(s, close_nats)]
            pieces = _pieces(questions, left, lead, method, tokens)
            sums = {k: np.zeros(len(questions[k].options)) for k in left}
            for batch in _batches(pieces, tokens):
                with torch.autocast(model.device.type, dtype, enabled=dtype is not None):
                    values = _score_batch(model, batch, method, decoder_prefix)
                for piece, value in zip(batch, values, strict=True):
                    sums[piece.question][piece.first : piece.first + len(piece.options)] = value
            for k, value in sums.items():
                if np.isnan(value).any():
                    raise DataError("the model answers NaN", where=f"question {k}")
                lengths = np.array([len(option) for option in questions[k].options])
                found[k] = OptionScores(value, lengths)
    return [scores for scores in found if scores is not None]


def _is_close(scores: OptionScores, close_nats: float) -> bool:
    """Whether the first rank is in doubt."""
    if scores.tokens.size < 2:
        return False
    by_sum = np.sort(scores.log_probability)
    order = np.argsort(scores.per_token)
    best, second = order[-1], order[-2]
    # An error of a sum weighs less per token.
    reach = close_nats / min(scores.tokens[best], scores.tokens[second])
    gap = scores.per_token[best] - scores.per_token[second]
    return bool(by_sum[-1] - by_sum[-2] <= close_nats or gap <= reach)


@contextmanager
def _evaluating(model: "PreTrainedModel") -> Iterator[None]:
    """Dropout off and no gradients; the model gets its mode back."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


# -- what can be scored -------------------------------------------------------------------------


def _require_scorable(model: "PreTrainedModel", questions: Sequence[Question], lead: int) -> None:
    known = int(model.get_input_embeddings().weight.shape[0])  # type: ignore[arg-type, union-attr]
    limit = getattr(model.config, "max_position_embeddings", None) or np.inf
    for k, (prefix, options) in enumerate(questions):
        place = f"question {k}"
        if not len(prefix):
            raise DataError(
                "the prefix is empty", where=place, accepted="at least one token",
                next="Begin with the token that begins a text.",
            )  # fmt: skip
        if not len(options) or not all(map(len, options)):
            raise DataError("an option without tokens", where=place, accepted="tokens to score")
        ids = np.concatenate([np.asarray(part) for part in (prefix, *options)])
        if ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= known:
            raise DataError(
                "ids that the model does not know", where=place, accepted=f"integers 0..{known - 1}"
            )
        longest = int(np.argmax([len(option) for option in options]))
        answer = len(options[longest])
        rows = (len(prefix), lead + answer - 1) if lead else (len(prefix) + answer - 1,)
        if max(rows) > limit:
            raise DataError(
                f"{len(prefix)} tokens of prefix and {answer} of option {longest}",
                where=place,
                accepted=f"no more than the {limit} positions of the model",
                next="Shorten the prefix.",
            )


def _require_method(model: "PreTrainedModel", method: Method) -> None:
    """Refuse a tree where a mask of four dimensions would not mean what it says."""
    if method != "tree":
        return
    config = model.config
    layers = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    attention = config._attn_implementation
    if not passes.takes_positions(model):
        why = "its positions cannot be set"
    elif layers or getattr(config, "sliding_window", None):
        why = "its layers do not all attend to everything"
    elif attention not in ("sdpa", "eager"):
        why = f"its attention is {attention}"
    else:
        return
    raise DataError(
        f"a {config.model_type} model cannot score options as a tree: {why}",
        next="Use method='cached' or 'naive'.",
    )


# -- pieces and batches -------------------------------------------------------------------------


def _pieces(
    questions: Sequence[Question], which: Sequence[int], lead: int, method: Method, tokens: int
) -> list[Piece]:
    """Cut questions of so many options that they would not fit a batch."""
    pieces = []
    for k in which:
        prefix, options = questions[k]
        together = method == "tree" and not lead
        base, shared = (len(prefix), 0) if together else (0, 0 if lead else len(prefix))
        first, cost = 0, base
        for i, option in enumerate(options):
            more = shared + lead + len(option)
            if i > first and cost + more > tokens:
                pieces.append(Piece(k, first, prefix, options[first:i], cost))
                first, cost = i, base
            cost += more
        pieces.append(Piece(k, first, prefix, options[first:], cost))
    return pieces


def _batches(pieces: list[Piece], tokens: int) -> Iterator[list[Piece]]:
    """Pieces of like length together, about so many tokens at once."""
    batch: list[Piece] = []
    dearest = 0
    for piece in sorted(pieces, key=lambda p: (len(p.prefix), p.cost)):
        dearest = max(dearest, piece.cost, len(piece.prefix))
        if batch and dearest * (len(batch) + 1) > tokens:
            yield batch
            batch, dearest = [], max(piece.cost, len(piece.prefix))
        batch.append(piece)
    if batch:
        yield batch


def _score_batch(
    model: "PreTrainedModel", batch: list[Piece], method: Method, decoder_prefix: Sequence[int]
) -> list[np.ndarray]:
    """Sums of log-probabilities, an array for each piece."""
    if model.config.is_encoder_decoder:
        flat = passes.decoded(model, batch, decoder_prefix)
    else:
        ways = {"tree": passes.tree, "cached": passes.cached, "naive": passes.naive}
        flat = ways[method](model, batch)
    ends = np.cumsum([len(piece.options) for piece in batch])[:-1]
    return np.split(flat, ends)
