"""Mask filling: a model writes the whole text, and what stands for each mask is read off it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from assay.errors import DataError
from assay.systems.denoising.model import BEGIN, END, PAD

if TYPE_CHECKING:
    from transformers import BartForConditionalGeneration, PreTrainedTokenizerFast

__all__ = ["Completion", "aligned_fills", "fill_masks"]

EXTENSION, OMISSION = 1e-4, 2e-4  # of a mask, in edits: settle ties between masks side by side


class Completion(NamedTuple):
    """A text without masks.

    Attributes:
        text: The whole of it, as the model wrote it.
        fills: What stands for each mask; empty where nothing does.
        probability: Of the whole text given the masked one.
    """

    text: str
    fills: tuple[str, ...]
    probability: float


def fill_masks(
    model: "BartForConditionalGeneration",
    tokenizer: "PreTrainedTokenizerFast",
    texts: Sequence[str],
    *,
    beams: int = 5,
    free_length: bool = True,
) -> list[list[Completion]]:
    """Write texts in which a mask stands for something that is missing.

    Args:
        model: A trained BART.
        tokenizer: Its tokenizer.
        texts: Texts with at least one mask each, spelt as the tokenizer's ``mask_token``.
        beams: Width of the search, and completions per text.
        free_length: Whether a mask may stand for any number of tokens, none included. Otherwise
            the text is to have as many tokens as the masked one, as fairseq demands.

    Returns:
        For each text its completions, the most probable first.

    Raises:
        DataError: If a text has no mask or is too long.
    """
    return [_completions(model, tokenizer, text, beams, free_length) for text in texts]


def _completions(
    model: Any, tokenizer: Any, text: str, beams: int, free_length: bool
) -> list[Completion]:
    mask = tokenizer.mask_token_id
    source = tokenizer(text, add_special_tokens=False)["input_ids"]
    _require_fillable(
        text, source, mask, tokenizer.mask_token, model.config.max_position_embeddings
    )
    written = _search(model, source, mask, beams, free_length)
    found = [
        Completion(
            tokenizer.decode(row),
            tuple(tokenizer.decode(fill).strip() for fill in aligned_fills(source, row, mask)),
            probability,
        )
        for row, probability in zip(written, _probabilities(model, source, written), strict=True)
    ]
    return sorted(found, key=lambda completion: -completion.probability)


def _require_fillable(text: str, source: list[int], mask: int, spelt: str, positions: int) -> None:
    where = repr(text if len(text) < 40 else f"{text[:40]}...")
    if mask not in source:
        raise DataError("no mask to fill", where=where, accepted=f"a text with {spelt}")
    if len(source) + 2 > positions:
        raise DataError(
            f"a text of {len(source)} tokens",
            where=where,
            accepted=f"at most {positions - 2}, by the positions of the model",
        )


def _search(
    model: Any, source: list[int], mask: int, beams: int, free_length: bool
) -> list[list[int]]:
    """Beam search; each row is the text without special tokens."""
    import torch

    room = model.config.max_position_embeddings - 2
    longest = min(room, 2 * len(source) + 20) if free_length else len(source)
    shortest = {"min_length": 0} if free_length else {"min_new_tokens": longest}
    made = model.generate(
        torch.tensor([[BEGIN, *source, END]], device=model.device),
        attention_mask=torch.ones(1, len(source) + 2, dtype=torch.long, device=model.device),
        decoder_input_ids=torch.tensor([[END, BEGIN]], device=model.device),
        num_beams=beams,
        num_return_sequences=beams,
        do_sample=False,
        **shortest,
        max_new_tokens=longest + 1,
        length_penalty=0.0,  # the search ranks by probability, as the result does
        no_repeat_ngram_size=0,
        early_stopping=False,
        suppress_tokens=[BEGIN, PAD, mask],
        forced_eos_token_id=END,
    )
    return [row[: row.index(END)] for row in made[:, 2:].tolist()]


def _probabilities(model: Any, source: list[int], written: list[list[int]]) -> list[float]:
    """Of each text given the source: of its tokens and of the end after them."""
    from assay.systems.denoising.batches import conditional_batch
    from assay.systems.denoising.likelihood import score

    scores = score(model, conditional_batch("bart", [source] * len(written), written))
    return scores.log_likelihood.double().sum(1).exp().tolist()


def aligned_fills(source: Sequence[int], written: Sequence[int], mask: int) -> list[list[int]]:
    """What a text has in the places of the masks.

    The texts are aligned with the fewest edits outside masks. A mask takes any number of tokens;
    of masks side by side each takes one, if there are enough.

    Args:
        source: Tokens of the masked text.
        written: Tokens of the completed text.
        mask: Id of the mask.

    Returns:
        The tokens of each mask.

    Example:
        >>> aligned_fills([5, 99, 7, 99], [5, 1, 2, 7], 99)
        [[1, 2], []]
    """
    cost = _costs(source, written, mask)
    place: dict[int, list[int]] = {i: [] for i, token in enumerate(source) if token == mask}
    i, j = len(source), len(written)
    while i or j:
        change, insertion, _ = _edits(source, written, mask, i, j)
        if i and j and cost[i][j] == cost[i - 1][j - 1] + change:
            i, j = i - 1, j - 1
            taken_by = i
        elif j and cost[i][j] == cost[i][j - 1] + insertion:
            j -= 1
            taken_by = i - 1
        else:
            i -= 1
            continue
        if taken_by in place:
            place[taken_by].insert(0, written[j])
    return list(place.values())


def _costs(source: Sequence[int], written: Sequence[int], mask: int) -> list[list[float]]:
    """Fewest edits between the first i tokens of the source and the first j that were written."""
    cost = [[0.0] * (len(written) + 1) for _ in range(len(source) + 1)]
    for i in range(len(source) + 1):
        for j in range(len(written) + 1):
            change, insertion, omission = _edits(source, written, mask, i, j)
            ways = []
            if i and j:
                ways.append(cost[i - 1][j - 1] + change)
            if j:
                ways.append(cost[i][j - 1] + insertion)
            if i:
                ways.append(cost[i - 1][j] + omission)
            cost[i][j] = min(ways, default=0.0)
    return cost


def _edits(
    source: Sequence[int], written: Sequence[int], mask: int, i: int, j: int
) -> tuple[float, float, float]:
    """What it costs to change source token i - 1 into j - 1, to insert after it, to omit it."""
    if i and source[i - 1] == mask:
        return 0.0, EXTENSION, OMISSION
    same = bool(i and j and source[i - 1] == written[j - 1])
    return float(not same), 1.0, 1.0
