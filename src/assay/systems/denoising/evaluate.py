"""How much of a noised text a model restores, and what that looks like in words."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task
from assay.parts.text.tokens import Rows, open_tokens, stream_rows
from assay.systems.denoising.noise import Noise, Noised, apply_noise
from assay.systems.denoising.train import SPECIALS, NoiseName, noise_of, vocabulary_of

if TYPE_CHECKING:
    from assay.systems.denoising.batches import Batch
    from assay.systems.denoising.checkpoints import Checkpoint

__all__ = ["Restored", "not_measured", "restore"]

BATCH = 32


class Restored(NamedTuple):
    """What a model makes of noised text that it never saw.

    Attributes:
        examples: Columns ``original``, ``noised`` and ``written``, the model's likeliest text.
        records: ``perplexity`` of the original given the noised text; for each ``row`` the
            ``removed_share`` of its tokens, ``restored``, the share of the removed tokens that the
            model finds likeliest where they stood, and ``restored_gain``, how much more that is
            than naming the most frequent token everywhere; and ``logit_difference``, the largest
            after the model was written again and loaded by transformers alone.
    """

    examples: pd.DataFrame
    records: Records


@component(version="1", requires=("numba", "numpy", "tokenizers", "torch", "transformers"))
def restore(
    model: Path,
    tokens: Path,
    *,
    noise: NoiseName | Noise = "infilling_and_permutation",
    rows: PositiveInt = 200,
    length: Annotated[int, Field(ge=8, le=4096)] = 128,
    examples: PositiveInt = 6,
    seed: Seed,
) -> Restored:
    """Noise held-out text and let a BART restore it.

    Args:
        model: Folder of the model and its tokenizer.
        tokens: Folder of tokens that it was not trained on.
        noise: The noise to undo, by name or by its parts.
        rows: Rows of text at most, from the first.
        length: Tokens of a row, ``<s>`` and ``</s>`` included.
        examples: Rows that are written out.
        seed: Seed of the noise.
    """
    from assay.systems.denoising.batches import enclosed, encoder_decoder_batch
    from assay.systems.denoising.checkpoints import load_bart
    from assay.systems.denoising.likelihood import score

    loaded, store = load_bart(model), open_tokens(tokens)
    index = stream_rows(store, min(length - SPECIALS, len(store.ids)))
    frequent = int(np.bincount(store.ids).argmax())
    count = min(rows, len(index))
    records, shown, nats, counted = Records(), list[dict[str, str]](), 0.0, 0
    batch: Batch = {}
    for numbers in np.array_split(np.arange(count), -(-count // BATCH)):
        part = index.take(numbers)
        noised = _noised(part, loaded, noise_of(noise), seed, numbers)
        source = enclosed(noised.ids, noised.lengths)
        batch = encoder_decoder_batch(source, enclosed(part.ids, part.lengths))
        scores = score(loaded.model, batch)
        nats -= float(scores.log_likelihood.sum())
        counted += int(scores.counted.sum())
        correct = scores.correct[:, 1:-1].numpy()  # without <s> and </s>
        _add_rows(records, numbers, part.ids, noised.edits.removed >= 0, correct, frequent)
        shown += _examples(loaded, part, noised, examples - len(shown))
        task().progress(int(numbers[-1]) + 1, count, "rows")
    records.add("perplexity", float(np.exp(nats / counted)))
    records.add("logit_difference", _reloaded_difference(loaded, batch))
    return Restored(pd.DataFrame(shown), records)


def _noised(
    rows: Rows, loaded: "Checkpoint", noise: Noise, seed: int, numbers: np.ndarray
) -> Noised:
    vocabulary = vocabulary_of(loaded.tokenizer)
    return apply_noise(
        rows.ids, rows.lengths, rows.sentences, vocabulary.word_starts, noise, vocabulary.specials,
        seed=seed, epoch=0, indices=numbers,
    )  # fmt: skip


def _add_rows(
    records: Records, numbers: np.ndarray, ids: np.ndarray, removed: np.ndarray,
    correct: np.ndarray, frequent: int,
) -> None:  # fmt: skip
    """Records of each row; where nothing was removed there is nothing to restore."""
    for row, gone, right, line in zip(numbers.tolist(), removed, correct, ids, strict=True):
        records.add("removed_share", gone.mean(), row=row)
        if gone.any():
            restored = right[gone].mean()
            records.add("restored", restored, row=row)
            records.add("restored_gain", restored - (line[gone] == frequent).mean(), row=row)


def _examples(
    loaded: "Checkpoint", rows: Rows, noised: Noised, wanted: int
) -> list[dict[str, str]]:
    """The first rows in words: as they were, noised, and as the model writes them."""
    from assay.systems.denoising.likelihood import greedy_answers

    some = range(min(max(wanted, 0), len(rows.ids)))
    if not some:
        return []
    sources = [noised.ids[k, : noised.lengths[k]].tolist() for k in some]
    written = greedy_answers(loaded.model, sources, rows.ids.shape[1] + 1)
    columns = {
        "original": [rows.ids[k, : rows.lengths[k]] for k in some],
        "noised": sources,
        "written": written,
    }
    words = {name: [loaded.tokenizer.decode(r) for r in found] for name, found in columns.items()}
    return [dict(zip(words, row, strict=True)) for row in zip(*words.values(), strict=True)]


def _reloaded_difference(loaded: "Checkpoint", batch: "Batch") -> float:
    """Largest difference of a logit to the same model from a folder that transformers wrote."""
    import torch
    from transformers import AutoModelForSeq2SeqLM

    from assay.parts.training.folders import quiet

    read = {"input_ids": batch["source"][:1], "decoder_input_ids": batch["decoder"][:1]}
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode(), quiet():
        loaded.model.save_pretrained(folder)
        again = AutoModelForSeq2SeqLM.from_pretrained(folder, local_files_only=True).eval()
        return float((loaded.model(**read).logits - again(**read).logits).abs().max())


@component(version="1")
def not_measured() -> Records:
    """Stand where a choice of a study measures nothing."""
    return Records()
