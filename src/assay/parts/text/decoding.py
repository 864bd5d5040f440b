"""Generation: greedy, beam search and nucleus sampling through transformers' `generate`.

What is decoded depends on the `Decoding` alone: settings that a checkpoint carries take no part,
unless they are read with `read_decoding`.

Lengths count generated tokens, a forced first token and the final ``</s>`` included; they never
count the decoder's start token or the prompt. The same limits elsewhere:

| here | fairseq | ``min_length``, ``max_length`` of an encoder-decoder model |
|---|---|---|
| ``min_new_tokens=m`` | ``min_len=m`` | ``m + 1`` |
| ``max_new_tokens=n`` | ``max_len_b=n - 1`` | ``n + 1`` |

As in fairseq, a hypothesis of n tokens scores its log-probability over ``n**length_penalty``.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from assay.errors import DataError, ParameterError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Decoding", "Generated", "generate", "generation_config", "read_decoding"]


@dataclass(frozen=True)
class Decoding:
    """How a text is generated.

    Attributes:
        method: ``greedy``, ``beam`` search, or sampling from the ``nucleus``.
        max_new_tokens: Most tokens generated.
        min_new_tokens: No end of text before so many.
        beams: Width of the beam.
        length_penalty: Exponent of the length in a beam's score; above 0 favours long texts.
        early_stopping: End a beam search once as many hypotheses are finished as there are beams
            (as fairseq does), not only when no better one can follow.
        no_repeat_ngram: No n-gram of this size twice; 0 lets all repeat.
        top_p: The nucleus is the fewest most probable tokens of at least this probability.
        temperature: Divides the logits before the nucleus is taken.
        seed: Of the nucleus. A text depends on the seed and on the number of its source alone.
        forced_bos: Id of the first token, where it is forced.
        forced_eos: Id of the token in the last place allowed, where it is forced.
        precision: ``bf16`` runs batches of two and more under autocast; a single stream is faster
            in fp32 and stays there.
        cache: Keep keys and values of earlier tokens; off is slow, and for comparison.

    Raises:
        ParameterError: If a value is out of its range.
    """

    method: Literal["greedy", "beam", "nucleus"] = "greedy"
    max_new_tokens: int = 64
    min_new_tokens: int = 0
    beams: int = 4
    length_penalty: float = 1.0
    early_stopping: bool = True
    no_repeat_ngram: int = 0
    top_p: float = 0.9
    temperature: float = 1.0
    seed: int = 0
    forced_bos: int | None = None
    forced_eos: int | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    cache: bool = True

    def __post_init__(self) -> None:
        ranges = {
            "method": (self.method in ("greedy", "beam", "nucleus"), "greedy, beam or nucleus"),
            "max_new_tokens": (self.max_new_tokens >= 1, "at least 1"),
            "min_new_tokens": (
                0 <= self.min_new_tokens <= self.max_new_tokens,
                f"0 to max_new_tokens, {self.max_new_tokens}",
            ),
            "beams": (self.beams >= 1, "at least 1"),
            "length_penalty": (np.isfinite(self.length_penalty), "a finite number"),
            "no_repeat_ngram": (self.no_repeat_ngram >= 0, "0 or more"),
            "top_p": (0 < self.top_p <= 1, "above 0 and up to 1"),
            "temperature": (0 < self.temperature < np.inf, "above 0"),
            "seed": (self.seed >= 0, "0 or more"),
            "precision": (self.precision in ("fp32", "bf16"), "fp32 or bf16"),
        }
        for name, (fine, accepted) in ranges.items():
            if not fine:
                raise ParameterError(
                    f"{name} is {getattr(self, name)!r}", where="decoding", accepted=accepted
                )


class Generated(NamedTuple):
    """Generated texts, in the order of their sources.

    Attributes:
        texts: Without special tokens.
        ids: Generated ids up to the end of text, which they include where it was reached.
    """

    texts: list[str]
    ids: list[list[int]]


def generate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    sources: Sequence[str],
    decoding: Decoding,
    *,
    batch: int = 32,
    source_tokens: int | None = None,
) -> Generated:
    """Generate a text for each source: an answer of an encoder-decoder, or the prompt continued.

    Sources of like length are decoded together; what is generated for one does not depend on the
    others but for rounding. The random numbers of torch are not touched.

    Args:
        model: A causal or an encoder-decoder model; it is left as it was.
        tokenizer: Its tokenizer; it has a padding token.
        sources: Texts; where one spells a special token (``<mask>``), it has that token.
        decoding: How.
        batch: Most sources decoded at once.
        source_tokens: Sources are cut to so many tokens, special ones included: at the end for an
            encoder-decoder model, at the start for a prompt. None refuses those too long.

    Raises:
        DataError: If a source is empty or too long for the model, or the tokenizer cannot pad.
    """
    import torch

    seq2seq = bool(model.config.is_encoder_decoder)
    pad = tokenizer.pad_token_id
    if not isinstance(pad, int):
        raise DataError("a tokenizer without padding token", next="Set tokenizer.pad_token.")
    encoded = _encode(model, tokenizer, sources, decoding, source_tokens)
    settings = generation_config(decoding, model, tokenizer)
    order = sorted(range(len(encoded)), key=lambda k: (len(encoded[k]), k))
    found: list[list[int]] = [[] for _ in encoded]
    with _decoding_only(model, settings), torch.inference_mode():
        for first in range(0, len(order), batch):
            rows = order[first : first + batch]
            ids, seen = _batch([encoded[k] for k in rows], pad, left=not seq2seq)
            low = decoding.precision == "bf16" and len(rows) > 1
            with torch.autocast(model.device.type, torch.bfloat16, enabled=low):
                out = model.generate(  # type: ignore[operator]
                    input_ids=ids.to(model.device),
                    attention_mask=seen.to(model.device),
                    generation_config=settings,
                    logits_processor=_processors(decoding, rows, 1 if seq2seq else ids.shape[1]),
                )
            new = out[:, 1 if seq2seq else ids.shape[1] :]
            for k, row in zip(rows, new.tolist(), strict=True):
                found[k] = _until_end(row, settings)
    texts = [str(tokenizer.decode(ids, skip_special_tokens=True)) for ids in found]
    return Generated(texts, found)


def generation_config(
    decoding: Decoding, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase"
) -> "GenerationConfig":
    """The settings of transformers that mean the same; special ids are those of model or tokenizer.

    Sampling is not among them: `generate` draws from the nucleus by itself.
    """
    from transformers import GenerationConfig

    def special(name: str) -> Any:
        for owner in (model.generation_config, model.config, tokenizer):
            if (found := getattr(owner, name, None)) is not None:
                return found
        return None

    beam = decoding.method == "beam" and decoding.beams > 1
    search = {
        "num_beams": decoding.beams,
        "length_penalty": decoding.length_penalty,
        "early_stopping": decoding.early_stopping,
    }
    return GenerationConfig(
        do_sample=False,
        max_new_tokens=decoding.max_new_tokens,
        min_new_tokens=decoding.min_new_tokens or None,
        no_repeat_ngram_size=decoding.no_repeat_ngram or None,
        forced_bos_token_id=decoding.forced_bos,
        forced_eos_token_id=decoding.forced_eos,
        use_cache=decoding.cache,
        bos_token_id=special("bos_token_id"),
        eos_token_id=special("eos_token_id"),
        pad_token_id=tokenizer.pad_token_id,
        decoder_start_token_id=special("decoder_start_token_id"),
        **(search if beam else {"num_beams": 1}),
    )


def read_decoding(folder: Path, *, task: str | None = None) -> Decoding:
    """Read how a checkpoint wants to be decoded.

    From ``generation_config.json`` where there is one; older checkpoints keep the settings in
    ``config.json``, from which transformers 5 drops them without a word.

    Args:
        folder: A checkpoint in Hugging Face layout.
        task: Also apply ``task_specific_params`` of this name (``summarization``).

    Raises:
        DataError: If there is no such file or task, or a setting has no counterpart here.
    """
    path = folder / "generation_config.json"
    if not path.exists():
        path = folder / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        model = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tasks = (found.get("task_specific_params") or {}) | (
            model.get("task_specific_params") or {}
        )
        start = int(bool(model.get("is_encoder_decoder", model.get("model_type") == "bart")))
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"cannot be read ({error})", where=str(path)) from error
    if task is not None:
        if task not in tasks:
            raise DataError(
                f"no settings for task {task!r}", where=str(path), accepted=f"{[*tasks]}"
            )
        found = found | tasks[task]
    try:
        return _decoding_of({k: v for k, v in found.items() if v is not None}, start, str(path))
    except (TypeError, ValueError) as error:
        raise DataError(f"settings that are none ({error})", where=str(path)) from error


def _decoding_of(found: dict[str, Any], start: int, place: str) -> Decoding:
    """The settings of a file; ``start`` is 1 where lengths count the start token."""
    others = {
        "repetition_penalty": 1.0, "encoder_repetition_penalty": 1.0, "num_beam_groups": 1,
        "diversity_penalty": 0.0, "bad_words_ids": None, "encoder_no_repeat_ngram_size": 0,
        "typical_p": 1.0, "suppress_tokens": None, "begin_suppress_tokens": None,
    }  # fmt: skip
    for name, neutral in others.items():
        if (value := found.get(name, neutral)) != neutral:
            raise DataError(f"{name} is {value!r}", where=place, accepted=f"{neutral!r} or none")
    beams, sampled = int(found.get("num_beams", 1)), bool(found.get("do_sample", False))
    if sampled and (beams > 1 or found.get("top_k", 50)):  # 50 is the default of transformers
        raise DataError("samples with beams or top_k", where=place, accepted="top_p and top_k 0")
    if not isinstance(found.get("early_stopping", False), bool):
        raise DataError("early_stopping is not true or false", where=place)
    if not start and {"max_length", "min_length"} & set(found):
        raise DataError(
            "lengths that count the prompt", where=place, accepted="max_new_tokens, min_new_tokens"
        )
    longest = found.get("max_new_tokens", found.get("max_length", 20 + start) - start)
    shortest = found.get("min_new_tokens", max(found.get("min_length", 0) - start, 0))
    return Decoding(
        method="nucleus" if sampled else "beam" if beams > 1 else "greedy",
        max_new_tokens=longest,
        min_new_tokens=shortest,
        beams=beams,
        length_penalty=float(found.get("length_penalty", 1.0)),
        early_stopping=bool(found.get("early_stopping", False)),
        no_repeat_ngram=int(found.get("no_repeat_ngram_size", 0)),
        top_p=float(found.get("top_p", 1.0)),
        temperature=float(found.get("temperature", 1.0)),
        forced_bos=found.get("forced_bos_token_id"),
        forced_eos=found.get("forced_eos_token_id"),
    )


# -- sources and rows ---------------------------------------------------------------------------


def _encode(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    sources: Sequence[str],
    decoding: Decoding,
    source_tokens: int | None,
) -> list[list[int]]:
    seq2seq = bool(model.config.is_encoder_decoder)
    limit = getattr(model.config, "max_position_embeddings", None) or np.inf
    room = limit if seq2seq else limit - decoding.max_new_tokens
    if decoding.max_new_tokens > limit or room < 1:
        raise DataError(
            f"max_new_tokens is {decoding.max_new_tokens}",
            where="decoding",
            accepted=f"fewer than the {limit} positions of the model",
        )
    encoded = []
    for k, source in enumerate(sources):
        ids = list(tokenizer(source, verbose=False).input_ids)
        if source_tokens is not None and len(ids) > source_tokens:
            # An encoder's text keeps its beginning and its final </s>, a prompt its end.
            ids = [*ids[: source_tokens - 1], ids[-1]] if seq2seq else ids[-source_tokens:]
        if not ids:
            raise DataError("the source has no tokens", where=f"source {k}")
        if len(ids) > room:
            raise DataError(
                f"{len(ids)} tokens", where=f"source {k}", accepted=f"at most {room}",
                next="Shorten it, or cut it with source_tokens.",
            )  # fmt: skip
        encoded.append(ids)
    return encoded


def _batch(rows: list[list[int]], pad: int, *, left: bool) -> "tuple[Tensor, Tensor]":
    """Padded ids and where they are real; a prompt ends where its continuation begins."""
    import torch

    width = max(map(len, rows))
    ids, seen = np.full((len(rows), width), pad), np.zeros((len(rows), width), dtype=np.int64)
    for k, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(len(row))
        ids[k, place], seen[k, place] = row, 1
    return torch.from_numpy(ids), torch.from_numpy(seen)


def _until_end(row: list[int], settings: "GenerationConfig") -> list[int]:
    """Ids up to the first end of text; what follows it is padding."""
    ends = settings.eos_token_id
    ends = set(ends) if isinstance(ends, list) else {ends}
    last = next((k for k, token in enumerate(row) if token in ends), len(row))
    return row[: last + 1]


@contextmanager
def _decoding_only(model: "PreTrainedModel", settings: "GenerationConfig") -> Iterator[None]:
    """Evaluation mode, and no settings of the checkpoint's own that would fill gaps in ours."""
    training, own = model.training, model.generation_config
    model.eval()
    model.generation_config = settings
    try:
        yield
    finally:
        model.generation_config = own
        model.train(training)


# -- the nucleus --------------------------------------------------------------------------------


def _processors(decoding: Decoding, rows: Sequence[int], start: int) -> Any:
    """A draw from the nucleus as a change of logits; greedy search then takes what was drawn.

    Args:
        decoding: The settings.
        rows: Number of the source in each row of the batch.
        start: Length of a row before anything is generated.
    """
    from transformers import LogitsProcessorList

    if decoding.method != "nucleus":
        return LogitsProcessorList()
    draws = np.stack(
        [np.random.default_rng([decoding.seed, k]).random(decoding.max_new_tokens) for k in rows]
    )

    def draw(ids: "Tensor", logits: "Tensor") -> "Tensor":
        chosen = _from_nucleus(logits, draws[:, ids.shape[1] - start], decoding)
        drawn = logits.new_full(logits.shape, -np.inf)
        return drawn.scatter_(1, chosen, 0.0)

    return LogitsProcessorList([draw])


def _from_nucleus(logits: "Tensor", draws: np.ndarray, decoding: Decoding) -> "Tensor":
    """Ids drawn by the inverse of the distribution function.

    Args:
        logits: Shape ``(row, vocabulary)``.
        draws: Uniform numbers from [0, 1), one a row.
        decoding: Its ``top_p`` and ``temperature``.

    Returns:
        Shape ``(row, 1)``.
    """
    import torch

    probability, ids = (logits.double() / decoding.temperature).softmax(-1).sort(descending=True)
    total = probability.cumsum(-1)
    inside = total - probability < decoding.top_p
    mass = (probability * inside).sum(-1)
    wanted = torch.from_numpy(draws).to(mass) * mass
    place = (total <= wanted[:, None]).sum(-1).clamp(max=inside.sum(-1) - 1)
    return ids.gather(1, place[:, None])
