"""Scoring of options that share a prefix, beside a row for each option; packing, beside first fit.

    python benchmarks/scoring.py [--quick] [--json FILE]

One process, one thread, rounds interleaved, CPU time; ratios of medians. What is timed:

* scoring: four questions, each with a prefix of 384 tokens and 16 options of 4, by a causal
  model of 1M parameters with first weights. "naive" is a row of prefix and option for each option,
  all rows of a question in one pass, with logits where they are asked for and nowhere else: what
  the others gain on it they gain by the shared prefix. "naive, all logits" computes them for the
  prefix too, as is often done.
* packing: lengths of documents into rows of 2048 tokens. The peer is plain first fit decreasing,
  which looks through the open rows one by one; it gets fewer documents, for its time grows with
  their square. Fill is tokens over the room of the rows, on the same documents.

Only the ratios travel between machines.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import torch

from assay.parts.text.packing import Packing, pack
from assay.parts.text.scoring import Method, Question, score

PREFIX, OPTIONS, OPTION = 384, 16, 4
VOCABULARY, POSITIONS = 2048, 512
CAPACITY = 2048
Scores = list[np.ndarray]


def causal_model() -> Any:
    """OPT of 128 channels and four layers: 1.1M parameters."""
    from transformers import OPTConfig, OPTForCausalLM

    config = OPTConfig(
        vocab_size=VOCABULARY, max_position_embeddings=POSITIONS, hidden_size=128,
        word_embed_proj_dim=128, ffn_dim=512, num_hidden_layers=4, num_attention_heads=4,
    )  # fmt: skip
    torch.manual_seed(0)
    return OPTForCausalLM(config).eval()


def questions(count: int) -> list[Question]:
    """Random ids: the time does not depend on them."""
    random = np.random.default_rng(0)
    ids = random.integers(5, VOCABULARY, (count, PREFIX + OPTIONS * OPTION)).tolist()
    return [
        Question(row[:PREFIX], [row[k : k + OPTION] for k in range(PREFIX, len(row), OPTION)])
        for row in ids
    ]


def by(method: Method, precision: Any, model: Any, asked: list[Question]) -> Scores:
    """Our scores; nothing is close enough to be scored twice."""
    found = score(model, asked, method=method, precision=precision, close_nats=-1.0)
    return [scores.log_probability for scores in found]


@torch.inference_mode()
def all_logits(model: Any, asked: list[Question]) -> Scores:
    """A row for each option, with logits at every position."""
    found = []
    for prefix, options in asked:
        ids = torch.tensor([[*prefix, *option] for option in options])
        logits = model(input_ids=ids, use_cache=False).logits[:, PREFIX - 1 : -1]
        picked = logits.log_softmax(-1).gather(-1, ids[:, PREFIX:, None])
        found.append(picked.sum((1, 2)).numpy())
    return found


def scorers(model: Any) -> dict[str, Callable[[list[Question]], Scores]]:
    """Every way to score; naive ones first, to which the others of a precision are compared."""
    ways: dict[str, Callable[[list[Question]], Scores]] = {
        "naive, all logits fp32": lambda q: all_logits(model, q)
    }
    methods: tuple[Method, ...] = ("naive", "cached", "tree")
    for precision in ("fp32", "bf16"):
        for method in methods:
            ways[f"{method} {precision}"] = lambda q, m=method, p=precision: by(m, p, model, q)
    return ways


def measure_scoring(rounds: int, count: int) -> list[dict[str, Any]]:
    """Questions per CPU second of each way, and how far its sums are from naive fp32."""
    model, asked = causal_model(), questions(count)
    ways = scorers(model)
    reference = np.stack(ways["naive fp32"](asked))
    rates: dict[str, list[float]] = {name: [] for name in ways}
    gaps = {}
    for name, run in ways.items():
        gaps[name] = float(abs(np.stack(run(asked)) - reference).max())
    for _ in range(rounds):
        for name, run in ways.items():
            begin = time.process_time()
            run(asked)
            rates[name].append(count / (time.process_time() - begin))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    parameters = sum(p.numel() for p in model.parameters())
    return [
        {
            "case": "scoring", "way": name, "parameters": parameters, "questions_per_s": rate,
            "x naive": rate / medians[f"naive {name[-4:]}"],
            "x all logits": rate / medians["naive, all logits fp32"], "largest_gap": gaps[name],
        }
        for name, rate in medians.items()
    ]  # fmt: skip


def first_fit_decreasing(lengths: np.ndarray, capacity: int) -> list[list[int]]:
    """The textbook's way: each document in the first row with room, from the longest on."""
    rows: list[list[int]] = []
    room: list[int] = []
    for k in np.argsort(-lengths, kind="stable").tolist():
        size = int(lengths[k])
        for row, left in enumerate(room):
            if left >= size:
                rows[row].append(k)
                room[row] -= size
                break
        else:
            rows.append([k])
            room.append(capacity - size)
    return rows


def document_lengths(count: int) -> np.ndarray:
    """Lognormal lengths in tokens, median 300, none beyond a row."""
    random = np.random.default_rng(0)
    return np.minimum(random.lognormal(np.log(300), 1.0, count).astype(np.int64) + 1, CAPACITY)


def measure_packing(rounds: int, count: int) -> list[dict[str, Any]]:
    """Documents per CPU second and fill, of ours and of first fit decreasing on a tenth of them."""
    ways: dict[str, tuple[Callable[[np.ndarray, int], Any], int]] = {
        "first fit decreasing": (first_fit_decreasing, count // 10),
        "ours, as many": (pack, count // 10),
        "ours": (pack, count),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    fill = {}
    for name, (run, some) in ways.items():
        lengths = document_lengths(some)
        found = run(lengths, CAPACITY)
        rows = found
        if isinstance(found, Packing):
            rows = [found.members(row) for row in range(len(found.rows) - 1)]
        packed = [lengths[np.asarray(row)].sum() for row in rows]
        assert max(packed) <= CAPACITY
        assert sum(packed) == lengths.sum()
        fill[name] = float(np.mean(packed) / CAPACITY)
    for _ in range(rounds):
        for name, (run, some) in ways.items():
            lengths = document_lengths(some)
            begin = time.process_time()
            run(lengths, CAPACITY)
            rates[name].append(some / (time.process_time() - begin))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return [
        {
            "case": "packing", "way": name, "documents": ways[name][1], "documents_per_s": rate,
            "fill": fill[name], "x first fit": rate / medians["first fit decreasing"],
        }
        for name, rate in medians.items()
    ]  # fmt: skip


def main() -> int:
    """Run the benchmark and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="3 short rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    options = parser.parse_args()
    rounds, count, documents = (3, 4, 5_000) if options.quick else (9, 4, 20_000)
    torch.set_num_threads(1)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, Python {platform.python_version()}, one thread, {rounds} rounds\n")
    rows = measure_scoring(rounds, count)
    print(f"scoring: {rows[0]['parameters'] / 1e6:.2f}M parameters, prefix {PREFIX}, "
          f"{OPTIONS} options of {OPTION} tokens; x naive of the same precision\n")  # fmt: skip
    print(f"{'way':26}{'questions/s':>12}{'x naive':>9}{'x all logits':>14}{'largest gap':>13}")
    for row in rows:
        print(f"{row['way']:26}{row['questions_per_s']:>12.1f}{row['x naive']:>9.1f}"
              f"{row['x all logits']:>14.1f}{row['largest_gap']:>13.1e}")  # fmt: skip
    packing = measure_packing(rounds, documents)
    if packing:
        print(f"\npacking into rows of {CAPACITY} tokens\n")
        print(f"{'way':26}{'documents':>10}{'documents/s':>13}{'x first fit':>13}{'fill':>8}")
    for row in packing:
        print(f"{row['way']:26}{row['documents']:>10}{row['documents_per_s']:>13.0f}"
              f"{row['x first fit']:>13.1f}{row['fill']:>8.4f}")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps([*rows, *packing], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
