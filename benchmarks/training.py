"""Training speed of `fit` beside a plain loop: transformers, torch's AdamW, everything in fp32.

    python benchmarks/training.py [--quick] [--json FILE]

One process, one thread, rounds interleaved, CPU time; ratios are medians over rounds. Both sides
train the same transformers model from the same weights on the same ids, with the same share of
dropout, clipping and AdamW; `model(labels=...)` makes the peer's loss. What is ours: products in
bf16 beside flat fp32 weights, attention by its formula in bf16, dropout from 16 bits a value, and
logits that turn into their own gradient in place. The cases:

* decoder: OPT, 256 wide, 4 layers, vocabulary 4096, 4 x 256 tokens;
* encoder-decoder: BART, 256 wide, 3 + 3 layers, FFN 1024, vocabulary 8192, batch 16, source 102,
  target 128, dropout 0.1;
* the same, small: 128 wide, 2 + 2 layers, FFN 512, vocabulary 2048, 32 x 128 on both sides;
* the same, padded: a third of the targets are padding, which the peer computes logits for.

fp32 and bf16 say what a precision gives by itself; `auto` is one of the two. Only the ratios travel
between machines.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import torch
from torch import Tensor, nn

from assay.parts.training.fit import Training
from assay.parts.training.losses import Loss, token_loss
from assay.parts.training.precision import choose
from assay.parts.training.recipe import Recipe

RATE, BATCHES = 1e-3, 8
Step = Callable[[int], None]


class Case(NamedTuple):
    """A model and its batches: ids of the source (none for a decoder) and of the target."""

    model: Callable[[], nn.Module]
    source: int
    target: int
    batch: int
    vocabulary: int
    padded: float = 0.0
    goal: float = 1.0


def decoder() -> nn.Module:
    """OPT of some 4 million parameters, 3 million without the table of tokens."""
    from transformers import OPTConfig, OPTForCausalLM

    return OPTForCausalLM(
        OPTConfig(
            vocab_size=4096, hidden_size=256, word_embed_proj_dim=256, num_hidden_layers=4,
            ffn_dim=1024, num_attention_heads=4, max_position_embeddings=256, dropout=0.0,
            use_cache=False,
        )
    )  # fmt: skip


def encoder_decoder(width: int, layers: int, vocabulary: int) -> nn.Module:
    """BART with a feed-forward layer four times as wide."""
    from transformers import BartConfig, BartForConditionalGeneration

    return BartForConditionalGeneration(
        BartConfig(
            vocab_size=vocabulary, d_model=width, encoder_layers=layers, decoder_layers=layers,
            encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width, encoder_attention_heads=4,
            decoder_attention_heads=4, max_position_embeddings=256, dropout=0.1, use_cache=False,
        )
    )  # fmt: skip


CASES = {
    "decoder": Case(decoder, 0, 256, 4, 4096, goal=2.0),
    "encoder-decoder": Case(lambda: encoder_decoder(256, 3, 8192), 102, 128, 16, 8192, goal=1.3),
    "small": Case(lambda: encoder_decoder(128, 2, 2048), 128, 128, 32, 2048),
    "padded": Case(lambda: encoder_decoder(256, 3, 8192), 102, 128, 16, 8192, 1 / 3, goal=1.3),
}


def batches(case: Case) -> list[tuple[Tensor, Tensor]]:
    """Ids drawn by Zipf's law; source and targets, padded with -100."""
    torch.manual_seed(1)
    shares = 1.0 / torch.arange(10.0, case.vocabulary + 5)
    made = []
    for _ in range(BATCHES):
        source, target = (
            5 + torch.multinomial(shares, case.batch * max(n, 1), replacement=True)
            for n in (case.source, case.target)
        )
        target = target.view(case.batch, -1)
        if case.padded:
            target[:, round(case.target * (1 - case.padded)) :] = -100
        made.append((source.view(case.batch, -1), target))
    return made


def plain(case: Case, model: nn.Module) -> Step:
    """The loop that everybody writes."""
    adamw, given = torch.optim.AdamW(model.parameters(), lr=RATE), batches(case)
    model.train()

    def step(k: int) -> None:
        source, target = given[k % BATCHES]
        ids = source if case.source else target
        loss = model(input_ids=ids, labels=target).loss
        adamw.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adamw.step()
        loss.item()

    return step


def ours(case: Case, model: nn.Module, precision: Any, folder: Path) -> Step:
    """The steps of `fit`, one at a time."""

    def loss(model: Any, batch: tuple[Tensor, Tensor]) -> Loss:
        source, target = batch
        if not case.source:
            hidden = model.model(input_ids=target)[0][:, :-1]
            return token_loss(hidden, model.lm_head.weight, target[:, 1:])
        shifted = target.roll(1, 1).clamp_min(1)
        shifted[:, 0] = 2
        hidden = model.model(input_ids=source, decoder_input_ids=shifted)[0]
        return token_loss(hidden, model.lm_head.weight, target)

    recipe = Recipe(steps=10**4, rate=RATE, schedule="constant", warm_up=0, precision=precision)
    run, given = Training(model, loss, recipe, folder, 0, sharded=False), batches(case)
    return lambda k: run.take(k, [given[k % BATCHES]])


def measure(case: Case, rounds: int, folder: Path) -> list[dict[str, Any]]:
    """Tokens per second of each way of training, and its ratio to the plain loop."""
    torch.manual_seed(0)
    first = case.model()

    def copied() -> nn.Module:
        model = case.model()
        model.load_state_dict(first.state_dict())
        return model

    ways = {"plain": plain(case, copied())}
    for precision in ("fp32", "bf16"):
        ways[f"fit {precision}"] = ours(case, copied(), precision, folder / precision)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for k in range(rounds + 2):
        for name, step in ways.items():
            begin = time.process_time()
            step(k)
            if k >= 2:  # the first steps make oneDNN's kernels
                seconds[name].append(time.process_time() - begin)
    tokens = case.batch * round(case.target * (1 - case.padded))
    auto, rows = choose(first, "auto").precision, []
    for name, spent in seconds.items():
        ratios = [a / b for a, b in zip(seconds["plain"], spent, strict=True)]
        rows.append({
            "way": name, "auto": name == f"fit {auto}",
            "tokens_per_s": tokens / statistics.median(spent),
            "x plain": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios),
            "goal": case.goal if name == f"fit {auto}" else None,
        })  # fmt: skip
    return rows


def main() -> int:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="5 rounds instead of 15")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="transformers")
    rounds, rows = 5 if options.quick else 15, []
    machine = platform.processor() or platform.machine()
    amx = torch.cpu.get_capabilities().get("amx_bf16", False)
    print(
        f"{machine}{' with AMX' if amx else ''}, torch {torch.__version__}, one thread, CPU time;"
    )
    print(f"{rounds} interleaved rounds, ratios are medians (lowest to highest)\n")
    print(f"{'case':17}{'way':11}{'tokens/s':>9}{'x plain':>9}{'range':>14}{'goal':>7}")
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            for row in measure(case, rounds, Path(folder, name)):
                rows.append({"case": name, **row})
                spread = f"{row['lowest']:.2f} to {row['highest']:.2f}"
                goal = f">= {row['goal']:.1f}" if row["goal"] else ""
                way = row["way"] + (" *" if row["auto"] else "")
                print(
                    f"{name:17}{way:11}{row['tokens_per_s']:>9,.0f}{row['x plain']:>9.2f}"
                    f"{spread:>14}{goal:>7}", flush=True,
                )  # fmt: skip
    print("\n* what precision='auto' takes here")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
