"""Whole training steps of mixtures of experts, beside transformers' and a dense model.

    python benchmarks/mixture_of_experts.py [--quick] [--json FILE] [--threads N]

One process for each number of threads (1 and 2, or N alone); rounds interleaved; CPU time with one
thread, wall time with two; ratios are medians over rounds. Every step has new ids, drawn by Zipf's
law, and so a new routing; the rate is so low that routing stays as it began, of which the loads
printed are the proof. After a change of code a step is taken that is not timed, since others push a
product's prepared form out of oneDNN's cache. A step is forward, backward and AdamW (fused), 8 x
256 tokens. The models, each with 8 and 32 experts, two to a token:

* mixtral: transformers' own, hidden 256, 4 layers, 4 heads, SwiGLU 512, vocabulary 2048; dense is
  its twin Mistral with SwiGLU 1024. Only the experts' function differs between the codes.
* paper: `SparseDecoderForCausalLM`, 256 wide, GELU 1024 with biases, mixtures in layers 2 and 4
  of 4; dense has feed-forward layers of 1024, 2048, 1024, 2048. transformers has no such model, so
  its functions stand in ours (its eager loop as a copy that knows biases).

Precisions: fp32; amp, which is fp32 under autocast; bf16, weights and moments included; master,
which is bf16 beside fp32 weights, as `fit` trains. Times of master are divided by those of a dense
model that `fit` trains, and compared with transformers under autocast. batched_mm copies the
weights for every token; it is run once, on 256 tokens. Only the ratios travel between machines.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from assay.parts.training.fit import Training
from assay.parts.training.losses import Loss, token_loss
from assay.parts.training.precision import fast_bf16
from assay.parts.training.recipe import Recipe
from assay.systems.mixture_of_experts import layer as mixture_layer
from assay.systems.mixture_of_experts.dispatch import mix
from assay.systems.mixture_of_experts.model import mixtures, new_decoder, training_loss
from assay.systems.mixture_of_experts.transformers_experts import NAME

THREADS = (1, 2)
VOCABULARY, WIDTH, LAYERS, HEADS, INNER = 2048, 256, 4, 4, 512
ROWS, LENGTH, BATCHES, RATE = 8, 256, 16, 1e-5
EXPERTS = (8, 32)
EQUAL = 1e-6
Step = Callable[[int], None]
Way = tuple[str, str]  # precision and code


class Target(NamedTuple):
    """What ours must reach and should reach, for 8 and for 32 experts."""

    model: str
    precision: str
    rival: str
    must: tuple[float, float]
    ambitious: tuple[float, float]


TARGETS = [
    Target("mixtral", "fp32", "grouped_mm", (1 / 1.03, 1 / 1.03), (1.0, 1.0)),
    Target("mixtral", "bf16", "dense", (1.40, 1.85), (1.30, 1.65)),
    Target("mixtral", "bf16", "grouped_mm", (1.6, 1.75), (1.8, 1.95)),
    Target("mixtral", "bf16", "eager", (2.0, 5.0), (2.2, 6.0)),
    Target("mixtral", "bf16", "best", (1.6, 1.3), (1.7, 1.4)),
    Target("mixtral", "master", "dense", (1.42, 2.0), (1.33, 1.8)),
    Target("mixtral", "master", "grouped_mm", (1.45, 1.15), (1.6, 1.3)),
    Target("mixtral", "master", "best", (1.5, 1.15), (1.65, 1.25)),
    Target("paper", "fp32", "grouped_mm", (1 / 1.03, 1 / 1.03), (1.0, 1.0)),
    Target("paper", "bf16", "dense", (1.22, 1.65), (1.16, 1.55)),
    Target("paper", "bf16", "grouped_mm", (1.6, 1.65), (1.75, 1.8)),
    Target("paper", "master", "dense", (1.30, 1.75), (1.20, 1.65)),
    Target("paper", "master", "grouped_mm", (1.4, 1.2), (1.5, 1.3)),
]
"""Against dense: our time over its, at most. Otherwise: their time over ours, at least."""
TWO_THREADS = {("bf16", "grouped_mm", 8): (2.3, 2.6)}
"""With two threads a rival loses more: it prepares its products with one."""


# -- models ---------------------------------------------------------------------------------------


def batches() -> list[Tensor]:
    """Ids drawn by Zipf's law."""
    torch.manual_seed(1)
    shares = 1.0 / torch.arange(10.0, VOCABULARY + 5)
    size = ROWS * LENGTH
    return [
        5 + torch.multinomial(shares, size, replacement=True).view(ROWS, LENGTH)
        for _ in range(BATCHES)
    ]


def transformers_model(experts: int) -> nn.Module:
    """Mixtral, or its dense twin for 0 experts."""
    from transformers import MistralConfig, MistralForCausalLM, MixtralConfig, MixtralForCausalLM

    shape: dict[str, Any] = {
        "vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "sliding_window": None,
        "max_position_embeddings": LENGTH, "use_cache": False,
    }  # fmt: skip
    torch.manual_seed(0)
    if not experts:
        return MistralForCausalLM(MistralConfig(intermediate_size=2 * INNER, **shape))
    return MixtralForCausalLM(
        MixtralConfig(intermediate_size=INNER, num_local_experts=experts, **shape)
    )


def paper_model(experts: int) -> nn.Module:
    """Our decoder; for 0 experts it computes as much for a token as with two."""
    model = new_decoder(
        vocabulary=VOCABULARY, width=WIDTH, layers=LAYERS, heads=HEADS, positions=LENGTH,
        experts=experts, capacity_factor=None,
    )  # fmt: skip
    if not experts:
        for block in model.decoder.layers[1::2]:
            up, down = nn.Linear(WIDTH, 8 * WIDTH), nn.Linear(8 * WIDTH, WIDTH)
            block.feed_forward = nn.Sequential(up, nn.GELU(), down)
    return model


def eager_loop(hidden: Tensor, routing: Any, weights: Any) -> Tensor:
    """The loop of transformers' eager experts, with biases and without gates."""
    out, experts = torch.zeros_like(hidden), len(weights.up)
    with torch.no_grad():
        taken = nn.functional.one_hot(routing.experts, experts).permute(2, 1, 0)
        used = taken.sum((1, 2)).nonzero()
    for (e,) in used:
        choice, token = torch.where(taken[e])
        x = nn.functional.linear(hidden[token], weights.up[e], weights.up_bias[e])
        x = nn.functional.gelu(x)
        x = nn.functional.linear(x, weights.down[e], weights.down_bias[e])
        x = x * routing.weights[token, choice, None]
        out.index_add_(0, token, x.to(out.dtype))
    return out


def grouped_function(hidden: Tensor, routing: Any, weights: Any) -> Tensor:
    """The function of transformers on our weights."""
    from transformers.integrations.moe import grouped_mm_experts_forward

    experts = SimpleNamespace(
        num_experts=len(weights.up), has_gate=False, has_bias=True, is_transposed=False,
        has_post_expert_norm=False, _is_expert_parallel=False, act_fn=nn.functional.gelu,
        up_proj=weights.up, up_proj_bias=weights.up_bias, down_proj=weights.down,
        down_proj_bias=weights.down_bias,
    )  # fmt: skip
    return grouped_mm_experts_forward(experts, hidden, routing.experts, routing.weights)


class Kind(NamedTuple):
    """A model: how it is made, how its experts are computed, and its loss for `fit`."""

    make: Callable[[int], nn.Module]
    use: Callable[[nn.Module, str], None]
    loss: Callable[[Any, Any], Loss]


def use_in_transformers(model: nn.Module, code: str) -> None:
    """Have the experts of a Mixtral computed by a code."""
    model.set_experts_implementation(NAME if code == "ours" else code)


def use_in_paper(model: nn.Module, code: str) -> None:
    """The same for our decoder."""
    peers = {"eager": eager_loop, "grouped_mm": grouped_function}
    peer = peers.get(code)
    mixture_layer.mix = mix if peer is None else lambda h, r, w, kernel: peer(h, r, w)


def transformers_loss(model: Any, ids: Tensor) -> Loss:
    """The loss that `fit` is given for a model of transformers."""
    hidden = model.model(input_ids=ids)[0][:, :-1]
    return token_loss(hidden, model.lm_head.weight, ids[:, 1:])


KINDS = {
    "mixtral": Kind(transformers_model, use_in_transformers, transformers_loss),
    "paper": Kind(paper_model, use_in_paper, lambda model, ids: training_loss(model, {"ids": ids})),
}


# -- steps ----------------------------------------------------------------------------------------


def plain_step(model: nn.Module, given: list[Tensor], autocast: bool = False) -> Step:
    """The loop that everybody writes."""
    adamw = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)

    def step(k: int) -> None:
        ids = given[k % len(given)]
        with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
            loss = model(input_ids=ids, labels=ids).loss
        adamw.zero_grad()
        loss.backward()
        adamw.step()

    return step


def fit_step(model: nn.Module, loss: Any, given: list[Tensor], folder: Path) -> Step:
    """The steps of `fit`, in bf16 with fp32 weights beside it."""
    recipe = Recipe(steps=10**4, rate=RATE, schedule="constant", warm_up=0, precision="bf16")
    run = Training(model, loss, recipe, folder, 0, sharded=False)
    step = lambda k: run.take(k, [given[k % len(given)]])  # noqa: E731
    step.model = run.worker  # type: ignore[attr-defined]
    return step


def steps_of(kind: Kind, experts: int, low: bool, folder: Path) -> dict[Way, Step]:
    """A step for every precision and code; codes of a precision train one model together."""
    given, found = batches(), {}

    def add(precision: str, codes: tuple[str, ...], model: nn.Module, step: Step) -> None:
        for code in codes:

            def run(k: int, code: str = code) -> None:
                kind.use(model, code)
                step(k)

            found[precision, code] = run if code != "dense" else step

    peers = ("eager", "grouped_mm")
    sparse, dense = kind.make(experts), kind.make(0)
    add("fp32", ("dense",), dense, plain_step(dense, given))
    add("fp32", (*peers, "ours"), sparse, plain_step(sparse, given))
    if low:
        add("amp", peers, sparse, plain_step(sparse, given, autocast=True))
        for count, codes in ((0, ("dense",)), (experts, (*peers, "ours"))):
            model = kind.make(count).bfloat16()
            add("bf16", codes, model, plain_step(model, given))
        for count, codes in ((0, ("dense",)), (experts, ("ours",))):
            step = fit_step(kind.make(count), kind.loss, given, folder / str(count))
            add("master", codes, step.model, step)  # type: ignore[attr-defined]
    return found


# -- measuring ------------------------------------------------------------------------------------


def measure(steps: dict[Way, Step], rounds: int, clock: Callable[[], float]) -> dict[Way, list]:
    """Seconds of every step, round by round."""
    seconds: dict[Way, list[float]] = {way: [] for way in steps}
    for k in range(rounds):
        for way, step in list(steps.items())[:: 1 if k % 2 else -1]:
            step(2 * k)  # for what others have pushed out
            begin = clock()
            step(2 * k + 1)
            seconds[way].append(clock() - begin)
    return seconds


def ratio(over: list[float], under: list[float]) -> float:
    """Median of the ratios of rounds."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def difference_of_losses(kind: Kind, experts: int) -> float:
    """The largest among the codes, on the same ids and weights in fp32."""
    model, ids, losses = kind.make(experts), batches()[0], []
    for code in ("eager", "grouped_mm", "ours"):
        kind.use(model, code)
        with torch.no_grad():
            logits = model(input_ids=ids).logits[:, :-1].double()
            losses.append(float(nn.functional.cross_entropy(logits.mT, ids[:, 1:])))
    return max(losses) - min(losses)


def loads(name: str, experts: int) -> tuple[float, int]:
    """Load of the busiest expert over the mean, and the most experts without a token in a layer."""
    kind, ids = KINDS[name], batches()[0]
    model = kind.make(experts)
    kind.use(model, "ours")
    with torch.no_grad():
        if name == "paper":
            model(input_ids=ids)
            chosen = [m.last.experts for m in mixtures(model) if m.last]
        else:
            logits = model(input_ids=ids, output_router_logits=True).router_logits
            chosen = [layer.topk(2).indices for layer in logits]
    counts = torch.stack([c.flatten().bincount(minlength=experts) for c in chosen])
    return float(counts.max() * experts / counts[0].sum()), int((counts == 0).sum(1).max())


def batched_mm(clock: Callable[[], float]) -> float:
    """How many times as long as ours transformers' batched_mm takes, forward and backward."""
    model, ids = transformers_model(8), batches()[0][:1]
    spent = {}
    for code in ("ours", "batched_mm"):
        use_in_transformers(model, code)
        for _ in range(2):
            begin = clock()
            model(input_ids=ids, labels=ids).loss.backward()
            spent[code] = clock() - begin
    return spent["batched_mm"] / spent["ours"]


def judged(name: str, experts: int, threads: int, seconds: dict[Way, list]) -> list[dict[str, Any]]:
    """Ours against each target that was measured."""
    rows = []
    for target in TARGETS:
        ours = seconds.get((target.precision, "ours"))
        if target.model != name or ours is None:
            continue
        peers = {way: s for way, s in seconds.items() if way[1] in ("eager", "grouped_mm")}
        if target.rival == "best":
            rival = min(peers, key=lambda way: statistics.median(peers[way]))
        elif target.precision == "master" and target.rival != "dense":
            rival = ("amp", target.rival)
        else:
            rival = (target.precision, target.rival)
        less = target.rival == "dense"
        reached = ratio(ours, seconds[rival]) if less else ratio(seconds[rival], ours)
        k = EXPERTS.index(experts)
        must, ambitious = target.must[k], target.ambitious[k]
        key = (target.precision, target.rival, experts)
        if threads == 2 and name == "mixtral" and key in TWO_THREADS:
            must, ambitious = TWO_THREADS[key]
        sign = -1 if less else 1
        verdict = "short"
        if sign * reached >= sign * must:
            verdict = "ambitious" if sign * reached >= sign * ambitious else "must"
        rows.append({
            "model": name, "experts": experts, "threads": threads, "precision": target.precision,
            "against": target.rival, "rival": " ".join(rival), "ratio": reached, "must": must,
            "ambitious": ambitious, "verdict": verdict,
        })  # fmt: skip
    return rows


def run(threads: int, rounds: int) -> list[dict[str, Any]]:
    """Everything with so many threads, in this process; print and return it."""
    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore", module="transformers")
    clock = time.process_time if threads == 1 else time.perf_counter
    what = "CPU" if threads == 1 else "wall"
    low, rows = fast_bf16(torch.device("cpu")), []
    print(f"== {threads} thread{'s' * (threads > 1)}, {what} time ==\n")
    for name, kind in KINDS.items():
        for experts in EXPERTS:
            apart = difference_of_losses(kind, experts)
            busiest, empty = loads(name, experts)
            print(f"{name}, {experts} experts: busiest {busiest:.1f} x the mean, "
                  f"up to {empty} without a token; losses in fp32 differ by {apart:.1e}: "
                  f"{'equal' if apart <= EQUAL else 'NOT EQUAL'}")  # fmt: skip
            with tempfile.TemporaryDirectory() as folder:
                seconds = measure(steps_of(kind, experts, low, Path(folder)), rounds, clock)
            use_in_paper(nn.Module(), "ours")
            for (precision, code), spent in seconds.items():
                dense = seconds.get((precision, "dense")) or seconds["fp32", "dense"]
                row = {"model": name, "experts": experts, "threads": threads,
                       "precision": precision, "code": code,
                       "ms": 1e3 * statistics.median(spent), "least_ms": 1e3 * min(spent),
                       "x dense": ratio(spent, dense), "losses_apart": apart}  # fmt: skip
                rows.append(row)
                print(f"  {precision:8}{code:12}{row['ms']:>8.0f} ms (least {row['least_ms']:.0f})"
                      f"{row['x dense']:>8.2f} x dense")  # fmt: skip
            for row in (found := judged(name, experts, threads, seconds)):
                verb = "x the time of" if row["against"] == "dense" else "x as fast as"
                print(f"  {row['precision']:8}{row['ratio']:>6.2f} {verb} {row['rival']:16}"
                      f" must {row['must']:.2f}, ambitious {row['ambitious']:.2f}: "
                      f"{row['verdict']}")  # fmt: skip
            rows += found
            print(flush=True)
    if not low:
        print("bf16: not measured, this CPU has no fast bf16\n")
    if threads == 1:
        slower = batched_mm(clock)
        rows.append({"model": "mixtral", "experts": 8, "code": "batched_mm", "x ours": slower})
        print(f"mixtral, 8 experts, 256 tokens, forward and backward: transformers' batched_mm "
              f"takes {slower:.0f} x as long as ours\n")  # fmt: skip
    return rows


def main() -> int:
    """Run the benchmark, a process for each number of threads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 9")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    parser.add_argument("--threads", type=int, choices=THREADS, help="this number only")
    options = parser.parse_args()
    if options.threads:
        rows = run(options.threads, 3 if options.quick else 9)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1) + "\n")
        return 0
    rows = []
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for threads in THREADS:
            part = Path(folder, "rows.json")
            command = [sys.executable, __file__, "--threads", str(threads), "--json", str(part)]
            subprocess.run(command + ["--quick"] * options.quick, check=True)
            rows += json.loads(part.read_text())
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
