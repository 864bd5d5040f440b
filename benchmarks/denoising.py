"""Noising speed beside the usual implementations; then pretraining and scoring.

    python benchmarks/denoising.py [--quick] [--json FILE]

One process, one thread, rounds interleaved, CPU time; rates are tokens of the original per second,
ratios those of medians. Random ids, vocabulary 50,265, a sentence ends at 5 % of the tokens, 75 %
of the ids begin a word, 32 rows at a time. What is timed:

* ours: `apply_noise` from padded block to padded block, with the record of edits.
* row by row: the functions of fairseq's `DenoisingDataset`, rewritten from their definition
  (benchmarks/fairseq_style.py), one row after another. Putting rows together is left out.
* batch by batch: the collator of transformers' former Flax script, rewritten in the same way. It
  has neither whole words nor random ids nor empty spans.
* whole arrays: that collator with its loops over spans and ids taken out, which nobody published.

"out" is the noised length over the original, "gone" the share of the tokens that ours removed.
Ours places spans exactly or, marked "overlapping", as fairseq does. Pretraining and scoring have
files of their own and are run from here. Only the ratios travel between machines.
"""

import argparse
import importlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import torch
from fairseq_style import BEGIN, END, PAD, BatchByBatch, RowByRow, Setting

from assay.systems.denoising.noise import NOISES, Noise, Specials, apply_noise

VOCABULARY, ROWS = 50_265, 32
MASK_ID, STOP_ID = VOCABULARY - 1, 13
SPECIALS = Specials(mask=MASK_ID, first=4, last=MASK_ID - 1)
GOALS = {"row by row": 25.0, "batch by batch": 12.0}
WHOLE = "whole arrays"
PEERS = (*GOALS, WHOLE)
JUDGED = "released"
OTHERS = ("token_masking", "token_deletion", "text_infilling", "sentence_permutation",
          "document_rotation")  # fmt: skip
Run = Callable[[int], float]  # noise so many blocks; the noised length over the original


class Text:
    """The same random text as each code wants it."""

    def __init__(self, length: int) -> None:
        rng = np.random.default_rng(0)
        self.ids = rng.integers(SPECIALS.first, SPECIALS.last + 1, (ROWS, length))
        stops = rng.random((ROWS, length)) < 0.05
        self.ids[self.ids == STOP_ID] += 1
        self.ids[stops] = STOP_ID
        self.sentences = np.zeros((ROWS, length), bool)
        self.sentences[:, 1:] = stops[:, :-1] & ~stops[:, 1:]
        self.word_starts = rng.random(VOCABULARY) < 0.75
        self.lengths = np.full(ROWS, length)
        begin, end = np.full((ROWS, 1), BEGIN), np.full((ROWS, 1), END)
        self.closed = np.concatenate([begin, self.ids, end], axis=1)
        self.separated = np.where(self.closed == STOP_ID, PAD, self.closed)


def setting(noise: Noise, text: Text) -> Setting:
    """A noise as the peers are told it."""
    spans = noise.mask_length == "span-poisson"
    return Setting(
        noise.mask, noise.poisson_lambda, noise.mask_random, noise.permute_sentences, noise.rotate,
        noise.replace_length, spans, MASK_ID, STOP_ID, text.word_starts if spans else None,
    )  # fmt: skip


def ours(noise: Noise, text: Text) -> Run:
    """`apply_noise`, an epoch for each block."""
    ids, lengths = text.ids.astype(np.int32), text.lengths
    indices = np.arange(ROWS)

    def run(blocks: int) -> float:
        for epoch in range(blocks):
            noised = apply_noise(
                ids, lengths, text.sentences, text.word_starts, noise, SPECIALS, seed=0,
                epoch=epoch, indices=indices,
            )  # fmt: skip
        return noised.lengths.sum() / lengths.sum()

    return run


def row_by_row(noise: Noise, text: Text) -> Run:
    """The first peer."""
    peer, rows = RowByRow(setting(noise, text)), torch.from_numpy(text.closed)

    def run(blocks: int) -> float:
        for _ in range(blocks):
            noised = [peer(row) for row in rows]
        return sum(row.size(0) - 2 for row in noised) / text.lengths.sum()

    return run


def batch_by_batch(noise: Noise, text: Text, *, whole_arrays: bool = False) -> Run:
    """The second peer, as it was or without its loops."""
    peer = BatchByBatch(setting(noise, text), whole_arrays=whole_arrays)

    def run(blocks: int) -> float:
        for _ in range(blocks):
            noised = peer(text.separated)
        gone = (noised == PAD).sum() - (text.separated == PAD).sum()
        return 1.0 - gone / text.lengths.sum()

    return run


def contenders(name: str, text: Text) -> dict[str, Run]:
    """The codes that know a noise, by name."""
    noise = NOISES[name]
    found = {"ours": ours(noise, text)}
    if noise.mask:
        found["ours, overlapping"] = ours(replace(noise, placement="fairseq"), text)
    found["row by row"] = row_by_row(noise, text)
    if noise.mask and noise.permute_sentences:
        found["batch by batch"] = batch_by_batch(noise, text)
        found[WHOLE] = batch_by_batch(noise, text, whole_arrays=True)
    return found


def gone(name: str, placement: str, text: Text) -> float:
    """The share of the tokens that ours removes."""
    noised = apply_noise(
        text.ids, text.lengths, text.sentences, text.word_starts,
        replace(NOISES[name], placement=placement), SPECIALS, seed=0, epoch=0,
        indices=np.arange(ROWS),
    )  # fmt: skip
    return float((noised.edits.removed >= 0).mean())


def measure(name: str, length: int, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """One row per code: median rate, and how many times a peer's rate ours is."""
    text = Text(length)
    runs = contenders(name, text)
    blocks, out = {}, {}
    for code, run in runs.items():
        run(1)  # compilation and first touch
        begin = time.process_time()
        out[code] = run(3)
        blocks[code] = max(1, round(3 * seconds / (time.process_time() - begin)))
    rates: dict[str, list[float]] = {code: [] for code in runs}
    for _ in range(rounds):
        for code, run in runs.items():
            begin = time.process_time()
            run(blocks[code])
            rates[code].append(blocks[code] * ROWS * length / (time.process_time() - begin))
    medians = {code: statistics.median(values) for code, values in rates.items()}
    rows = []
    for code, rate in medians.items():
        row = {"noise": name, "length": length, "code": code, "tokens_per_s": rate,
               "out": float(out[code])}  # fmt: skip
        if code.startswith("ours"):
            row["gone"] = gone(name, "fairseq" if "overlapping" in code else "exact", text)
            row |= {f"x {peer}": rate / medians[peer] for peer in PEERS if peer in medians}
        rows.append(row)
    return rows


def report(rows: list[dict[str, Any]]) -> None:
    """Print the rows of one noise."""
    for row in rows:
        gone = f"{row['gone']:>7.3f}" if "gone" in row else " " * 7
        ratios = "".join(
            f"{row[f'x {peer}']:>{len(peer) + 4}.1f}" if f"x {peer}" in row else ""
            for peer in PEERS
        )
        line = (f"{row['length']:>6}  {row['noise']:21}{row['code']:19}"
                f"{row['tokens_per_s'] / 1e6:>9.2f}{row['out']:>7.2f}{gone}{ratios}")  # fmt: skip
        print(line.rstrip())


def noising(rounds: int, seconds: float) -> list[dict[str, Any]]:
    """The section on noise: what is judged, then each noise alone."""
    heads = "".join(f"{f'x {peer}':>{len(peer) + 4}}" for peer in PEERS)
    print(f"{'length':>6}  {'noise':21}{'code':19}{'Mtoken/s':>9}{'out':>7}{'gone':>7}{heads}")
    found = []
    for name, lengths in ((JUDGED, (512, 128)), *((name, (512,)) for name in OTHERS)):
        for length in lengths:
            rows = measure(name, length, rounds, seconds)
            report(rows)
            found += rows
    print()
    judged = [r for r in found if r["noise"] == JUDGED and r["code"].startswith("ours")]
    goals = []
    for peer, goal in GOALS.items():
        least = min(row[f"x {peer}"] for row in judged)
        verdict = "met" if least >= goal else "not met"
        print(f"goal: {JUDGED} noise at least {goal:.0f} x as fast as {peer}, "
              f"here at least {least:.1f} x: {verdict}")  # fmt: skip
        goals.append({"goal": f"x {peer}", "wanted": goal, "reached": least})
    return found + goals


def main() -> int:
    """Run the benchmark and print its sections."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="3 short rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    options = parser.parse_args()
    rounds, seconds = (3, 0.1) if options.quick else (9, 0.4)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, Python {platform.python_version()}, one thread, {rounds} rounds\n")
    print("== Noise ==\n")
    rows = noising(rounds, seconds)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    sys.argv[1:] = ["--quick"] if options.quick else []
    for section in ("training", "scoring"):
        if find_spec(section):
            print(f"\n== {section.capitalize()} ==\n")
            importlib.import_module(section).main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
