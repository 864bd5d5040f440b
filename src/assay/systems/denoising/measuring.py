"""Measuring what a fine-tuned model has learned: likelihoods, classes, spans, written texts."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.core.component import component
from assay.core.records import Records
from assay.core.task import task as running_step
from assay.errors import ParameterError
from assay.parts.text import metrics
from assay.parts.text.decoding import Decoding, generation_config
from assay.parts.text.tasks import OUTSIDE, Kind, Task, TooLong
from assay.systems.denoising.batches import padded, prefixes
from assay.systems.denoising.finetuning import LIBRARIES
from assay.systems.denoising.model import BEGIN, PAD, family_of

if TYPE_CHECKING:
    from assay.systems.denoising.examples import Prepared

__all__ = ["measure_task"]

AT_ONCE = 100  # examples


@component(version="1", requires=(*LIBRARIES, "rouge-score", "sacrebleu"))
def measure_task(
    model: Path,
    tokenizer: Path,
    task: Task,
    source_tokenizer: Path | None = None,
    *,
    decoding: Decoding | None = None,
    items: bool = False,
    too_long: TooLong = "cut",
) -> Records:
    """Measure a fine-tuned model on the test examples of its task.

    Generation: ``em``, the share of examples whose every token is the likeliest given the ones
    before (the share that greedy decoding writes exactly), and ``perplexity``, of a token, the end
    of text included. With ``decoding`` also ``exact_match`` and ``f1`` (SQuAD's), ``rouge1``,
    ``rouge2``, ``rougeL``, ``rougeLsum`` (package rouge_score) and ``bleu`` (sacreBLEU) of what is
    written. Classification: ``accuracy`` and ``matthews``. Regression: ``pearson`` and
    ``spearman``. Spans: ``em`` and ``f1`` (SQuAD's). Tokens: ``accuracy``, the share of words with
    the right label, and ``f1``, over the entities of all examples together (micro; see
    `tagging.entities`); a word that was cut counts as wrong. ``cut_texts`` counts the examples that
    were longer than the model reads.

    Args:
        model: What `finetune` made of a model.
        tokenizer: Folder of its tokenizer.
        task: The same task.
        source_tokenizer: As for `finetune`.
        decoding: How to write; targets are not written if not given. Not from the nucleus; a
            two-stream model writes greedily.
        items: Also record ``correct`` of each example, by its number ``item``.
        too_long: As for `finetune`.
    """
    from assay.parts.text.tokenizer import load_tokenizer
    from assay.parts.training.torch_state import own_threads
    from assay.systems.denoising.examples import prepare

    words = load_tokenizer(tokenizer)
    reads = load_tokenizer(source_tokenizer) if source_tokenizer else words
    with own_threads(running_step().threads):
        net = _tuned(model, task.kind)
        prepared = prepare(net, reads, words, task, task.test, too_long=too_long)
        found, correct = _MEASURES[task.kind](net, task, prepared)
        if decoding is not None and task.kind == "generation":
            found |= _of_texts(task, _written(net, words, prepared.sources, decoding))
    records = Records()
    for name, value in found.items():
        records.add(name, value, task=task.name)
    records.add("cut_texts", prepared.cut, task=task.name)
    for item, right in enumerate(correct if items else ()):
        records.add("correct", float(right), task=task.name, item=item)
    return records


Found = tuple[dict[str, float], np.ndarray]
"""Measures by name, and whether each example is right; nothing where numbers are predicted."""


def _tuned(model: Path, kind: Kind) -> Any:
    from transformers import BartForQuestionAnswering, BartForSequenceClassification

    from assay.parts.training.folders import load_pretrained
    from assay.systems.denoising.checkpoints import load_model

    if kind == "generation":
        return load_model(model)
    if kind == "tokens":
        from assay.systems.denoising.tagging import BartForTokenClassification

        return load_pretrained(BartForTokenClassification, model)
    head = BartForQuestionAnswering if kind == "span" else BartForSequenceClassification
    return load_pretrained(head, model)


def _chunks(sizes: np.ndarray) -> Iterator[np.ndarray]:
    """All examples, those of like length together."""
    order = np.argsort(sizes, kind="stable")
    for k in range(0, len(order), AT_ONCE):
        yield order[k : k + AT_ONCE]
        running_step().progress(min(k + AT_ONCE, len(order)), len(order), "examples")


def _measured_targets(net: Any, task: Task, prepared: "Prepared") -> Found:
    from assay.systems.denoising.likelihood import score

    count = len(prepared.sizes)
    nats, tokens, right = np.zeros(count), np.zeros(count, int), np.zeros(count, bool)
    for rows in _chunks(prepared.sizes):
        scores = score(net, prepared.batch(rows))
        nats[rows] = -scores.log_likelihood.double().sum(1).cpu().numpy()
        tokens[rows] = scores.counted.sum(1).cpu().numpy()
        right[rows] = (scores.correct | ~scores.counted).all(1).cpu().numpy()
    perplexity = metrics.perplexity(nats, tokens).value
    return {"em": right.mean(), "perplexity": perplexity}, right


def _read(net: Any, prepared: "Prepared", read: Any) -> list[Any]:
    """What a head makes of each example, in their order."""
    import torch

    found: list[Any] = [None] * len(prepared.sizes)
    with torch.inference_mode():
        for rows in _chunks(prepared.sizes):
            for k, value in zip(rows, read(net, prepared.batch(rows)["ids"], rows), strict=True):
                found[k] = value
    return found


def _measured_labels(net: Any, task: Task, prepared: "Prepared") -> Found:
    from assay.systems.denoising.heads import class_logits

    found = _read(net, prepared, lambda net, ids, _: class_logits(net, ids).argmax(1).tolist())
    said, meant = [net.config.id2label[k] for k in found], [e.target for e in task.test]
    right = np.array([a == b for a, b in zip(said, meant, strict=True)])
    return {"accuracy": right.mean(), "matthews": metrics.matthews(said, meant).value}, right


def _measured_numbers(net: Any, task: Task, prepared: "Prepared") -> Found:
    from assay.systems.denoising.heads import class_logits

    found = _read(net, prepared, lambda net, ids, _: class_logits(net, ids)[:, 0].tolist())
    said, meant = np.array(found), np.array([float(e.target) for e in task.test])
    measures = {"pearson": metrics.pearson, "spearman": metrics.spearman}
    return {name: measure(said, meant).value for name, measure in measures.items()}, np.array([])


def _measured_spans(net: Any, task: Task, prepared: "Prepared") -> Found:
    import torch

    from assay.systems.denoising.heads import best_spans, span_logits, words_of

    def read(net: Any, ids: Any, rows: np.ndarray) -> list[str]:
        frames = [prepared.frames[k] for k in rows]
        allowed = torch.zeros(ids.shape, dtype=torch.bool)
        for line, frame in zip(allowed, frames, strict=True):
            line[frame.first : frame.first + len(frame.places)] = True
        spans = best_spans(span_logits(net, ids), allowed.to(ids.device)).tolist()
        texts = [task.test[k].text for k in rows]
        return [words_of(*each) for each in zip(frames, texts, spans, strict=True)]

    said, meant = _read(net, prepared, read), [e.target for e in task.test]
    exact = metrics.exact_match(said, meant)
    found = {"em": exact.value, "f1": metrics.token_f1(said, meant).value}
    return found, np.array(exact.items)


def _measured_words(net: Any, task: Task, prepared: "Prepared") -> Found:
    from assay.systems.denoising.heads import NOWHERE
    from assay.systems.denoising.tagging import first_tokens, label_f1, tag_logits

    def read(net: Any, ids: Any, rows: np.ndarray) -> list[list[str]]:
        lines = tag_logits(net, ids).argmax(2).tolist()
        firsts = [first_tokens(prepared.frames[k], task.test[k].text) for k in rows]
        return [
            [net.config.id2label[line[at]] if at != NOWHERE else "" for at in places]
            for line, places in zip(lines, firsts, strict=True)
        ]

    said, meant = _read(net, prepared, read), [e.target.split(" ") for e in task.test]
    right = [np.array(one) == np.array(other) for one, other in zip(said, meant, strict=True)]
    there = [[label or OUTSIDE for label in labels] for labels in said]
    found = {"accuracy": np.concatenate(right).mean(), "f1": label_f1(there, meant)}
    return found, np.array([all(each) for each in right])


_MEASURES = {
    "generation": _measured_targets,
    "classification": _measured_labels,
    "regression": _measured_numbers,
    "span": _measured_spans,
    "tokens": _measured_words,
}


# -- writing ------------------------------------------------------------------------------------


def _written(net: Any, words: Any, sources: list[list[int]], decoding: Decoding) -> list[str]:
    """What the model writes to each source."""
    import torch

    family, most = family_of(net), decoding.max_new_tokens
    longest = max(map(len, sources)) + 2 if family != "bart" else 0
    if longest + most > net.config.max_position_embeddings:
        raise ParameterError(
            f"{most} tokens after {longest}", where="decoding.max_new_tokens",
            accepted=f"{net.config.max_position_embeddings} together, the positions of the model",
        )  # fmt: skip
    if decoding.method == "nucleus" or (family == "two_stream" and decoding.method != "greedy"):
        raise ParameterError(f"method is {decoding.method!r}", where="decoding",
                             accepted="greedy, or beam for a BART or a causal model")  # fmt: skip
    texts = [""] * len(sources)
    with torch.inference_mode():
        for rows in _chunks(np.array([len(source) for source in sources])):
            found = _generated(net, words, [sources[k] for k in rows], decoding)
            for k, text in zip(
                rows, words.batch_decode(found, skip_special_tokens=True), strict=True
            ):
                texts[k] = text.strip()
    return texts


def _generated(net: Any, words: Any, sources: list[list[int]], decoding: Decoding) -> Any:
    import torch

    from assay.systems.denoising.likelihood import greedy_answers

    family, rows = family_of(net), prefixes(sources)
    if family == "two_stream":
        return greedy_answers(net, sources, decoding.max_new_tokens)
    if family == "bart":
        decoding = replace(decoding, forced_bos=BEGIN)  # which no model here has learned to write
        ids = torch.from_numpy(padded(rows))
    else:
        ids = torch.from_numpy(padded([row[::-1] for row in rows])).flip(1)
    net.generation_config = generation_config(decoding, net, words)
    ids = ids.to(net.device)
    found = net.generate(input_ids=ids, attention_mask=(ids != PAD).long())
    return found[:, 1 if family == "bart" else ids.shape[1] :].tolist()


def _of_texts(task: Task, texts: list[str]) -> dict[str, float]:
    """Measures of written texts."""
    meant = [example.target for example in task.test]
    found = {"exact_match": metrics.exact_match(texts, meant), "f1": metrics.token_f1(texts, meant)}
    found |= metrics.rouge(texts, meant) | {"bleu": metrics.bleu(texts, meant)}
    return {name: measured.value for name, measured in found.items()}
