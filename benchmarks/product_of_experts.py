"""Training speed of fusions beside multivae and multiviewae, with the same networks.

    python benchmarks/product_of_experts.py [--quick] [--json FILE]

One process, one thread, rounds interleaved, CPU time; ratios are medians over rounds. Every way
trains encoders and decoders of one hidden layer of 512 (ReLU), a latent state of 64 and Adam on the
same random numbers, reconstructs every modality from one draw and takes the whole set of modalities
alone (no subsets), so that what differs is the fusion and what is around it. The cases:

* vectors: three modalities of 20 numbers, batches of 256, where the fusion itself weighs most;
* pictures: five modalities of 3 x 28 x 28, as PolyMNIST has, batches of 128.

multivae: MVAE (a plain product with the prior) and MoPoE (mixture of products). multiviewae: mVAE
and weighted_mVAE, whose decoders learn a variance as well. Ours: poe, static (as weighted_mVAE),
learned, which has a second network per modality that nobody else has, mopoe, which decodes one of
its components for each sample as MoPoE does, and the same with every component decoded.

The goal is that poe trains at least as fast as the fastest peer, and 1.5 times as fast as MoPoE.
First it is checked that our product with a prior is multivae's `stable_poe`, to 1e-6.

multivae imports torchvision for data sets and picture grids, which are not used here; where it is
not installed an empty module stands in for it. Only the ratios travel between machines.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import torch
from torch import Tensor, nn

from assay.systems.product_of_experts.fusion import Experts, fuse
from assay.systems.product_of_experts.model import FusionModel, Seen
from assay.systems.product_of_experts.objective import Objective, gaussian_nll, loss

HIDDEN, LATENT, RATE, BATCHES = 512, 64, 1e-3, 4
OURS = ("poe", "static", "learned", "mopoe", "mopoe, all")
Loss = Callable[[list[Tensor]], Tensor]


class Case(NamedTuple):
    """Sizes of the modalities and of a batch."""

    sizes: list[int]
    batch: int


CASES = {"vectors": Case([20] * 3, 256), "pictures": Case([3 * 28 * 28] * 5, 128)}


def stand_in_for_torchvision() -> None:
    """Empty modules under its names, where it is not installed."""
    if find_spec("torchvision") is not None:
        return
    parts = ("", ".datasets", ".datasets.utils", ".transforms", ".utils", ".models")
    for name in ("torchvision" + part for part in parts):
        module = types.ModuleType(name)
        module.__spec__ = ModuleSpec(name, None, is_package=True)
        module.__path__ = []

        def missing(attribute: str) -> Any:
            if attribute.startswith("__"):
                raise AttributeError(attribute)
            return type(attribute, (), {})

        module.__getattr__ = missing  # type: ignore[method-assign]
        sys.modules[name] = module


def encoder(size: int, numbers: int = 2 * LATENT) -> nn.Module:
    """From a modality to means and log-variances."""
    return nn.Sequential(nn.Linear(size, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, numbers))


def decoder(size: int) -> nn.Module:
    """From a latent state to a modality."""
    return nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, size))


# -- ways to train --------------------------------------------------------------------------------


def ours(case: Case, way: str) -> tuple[nn.Module, Loss]:
    """Our model and its loss."""
    weighting, _, decoded = way.partition(", ")
    names = [f"m{k}" for k in range(len(case.sizes))]
    sizes = dict(zip(names, case.sizes, strict=True))
    scored = sizes if weighting == "learned" else {}
    model = FusionModel(
        {name: encoder(size) for name, size in sizes.items()},
        {name: encoder(size, LATENT) for name, size in scored.items()},
        {name: decoder(size) for name, size in sizes.items()},
        latent=LATENT, weighting=weighting, prior="none" if weighting == "static" else "fixed",
    )  # fmt: skip
    aim = Objective(
        outputs={name: gaussian_nll(1.0) for name in names}, one_component=decoded != "all"
    )

    def of(batch: list[Tensor]) -> Tensor:
        inputs = dict(zip(names, batch, strict=True))
        found = loss(model, Seen(inputs), inputs, aim)
        return found.total / found.count

    return model, of


def multivae_way(case: Case, kind: str) -> tuple[nn.Module, Loss]:
    """A model of multivae with our networks."""
    from multivae.data.datasets.base import MultimodalBaseDataset
    from multivae.models import MVAE, MoPoE, MoPoEConfig, MVAEConfig
    from multivae.models.base import BaseDecoder, BaseEncoder, ModelOutput

    class Encoder(BaseEncoder):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.latent_dim, self.net = LATENT, encoder(size)

        def forward(self, x: Tensor) -> Any:
            mean, logvar = self.net(x).chunk(2, -1)
            return ModelOutput(embedding=mean, log_covariance=logvar)

    class Decoder(BaseDecoder):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.latent_dim, self.net = LATENT, decoder(size)

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.net(z))

    names = [f"m{k}" for k in range(len(case.sizes))]
    sizes = dict(zip(names, case.sizes, strict=True))
    common: dict[str, Any] = {
        "n_modalities": len(names),
        "latent_dim": LATENT,
        "input_dims": {name: (size,) for name, size in sizes.items()},
        "decoders_dist": dict.fromkeys(names, "normal"),
    }
    parts = (
        {name: Encoder(size) for name, size in sizes.items()},
        {name: Decoder(size) for name, size in sizes.items()},
    )
    if kind == "MVAE":
        model = MVAE(MVAEConfig(**common, use_subsampling=False, warmup=0), *parts)
    else:
        model = MoPoE(MoPoEConfig(**common), *parts)

    def of(batch: list[Tensor]) -> Tensor:
        data = dict(zip(names, batch, strict=True))
        return model(MultimodalBaseDataset(data=data)).loss

    return model, of


def multiviewae_way(case: Case, kind: str, folder: Path) -> tuple[nn.Module, Loss]:
    """A model of multiviewae with networks of the same layers, its own classes."""
    import multiviewae

    net = f"    hidden_layer_dim: [{HIDDEN}]\n    non_linear: True\n"
    file = folder / "multiviewae.yaml"
    file.write_text(f"encoder:\n  default:\n{net}decoder:\n  default:\n{net}", encoding="utf-8")
    model = getattr(multiviewae.models, kind)(
        cfg=str(file), input_dim=list(case.sizes), z_dim=LATENT
    )
    model._training, model.current_beta = True, 1.0

    def of(batch: list[Tensor]) -> Tensor:
        return model.loss_function(batch, model.forward(batch))["loss"]

    return model, of


def step_of(model: nn.Module, of: Loss) -> Callable[[list[Tensor]], None]:
    """One step of a plain loop."""
    model.train()
    adam = torch.optim.Adam(model.parameters(), lr=RATE)

    def step(batch: list[Tensor]) -> None:
        adam.zero_grad()
        of(batch).backward()
        adam.step()

    return step


# -- equal mathematics ----------------------------------------------------------------------------


def furthest_from_stable_poe() -> float:
    """The largest distance of our product with a prior from multivae's, in double precision."""
    from multivae.models.base.base_utils import stable_poe

    torch.manual_seed(0)
    mean = 3 * torch.randn(5, 1000, LATENT, dtype=torch.float64)
    logvar = torch.empty_like(mean).uniform_(-8, 8)
    present = torch.ones(5, 1000, dtype=torch.bool)
    found = fuse(Experts(mean, logvar, present), "poe", "fixed").gaussian
    prior = torch.zeros_like(mean[:1])
    told = stable_poe(torch.cat([mean, prior]), torch.cat([logvar, prior]))
    return max(float((a - b).abs().max()) for a, b in zip(found, told, strict=True))


def furthest_loss(case: Case) -> float:
    """How far our loss is from MVAE's with the same weights and the same draws, relatively."""
    (mine, of_mine), (theirs, of_theirs) = ours(case, "poe"), multivae_way(case, "MVAE")
    for name in mine.encoders:
        theirs.encoders[name].net.load_state_dict(mine.encoders[name].state_dict())
        theirs.decoders[name].net.load_state_dict(mine.decoders[name].state_dict())
    batch = [torch.randn(case.batch, size) for size in case.sizes]
    found = []
    for of in (of_mine, of_theirs):
        torch.manual_seed(0)
        found.append(float(of(batch).detach()))
    return abs(found[0] - found[1]) / abs(found[1])


# -- measuring ------------------------------------------------------------------------------------


def ways_of(case: Case, folder: Path) -> dict[str, Callable[[list[Tensor]], None]]:
    """A step of every way, from the same seed."""
    found: dict[str, tuple[nn.Module, Loss]] = {}
    for kind in ("MVAE", "MoPoE"):
        torch.manual_seed(0)
        found[f"multivae {kind}"] = multivae_way(case, kind)
    for kind in ("mVAE", "weighted_mVAE"):
        torch.manual_seed(0)
        found[f"multiviewae {kind}"] = multiviewae_way(case, kind, folder)
    for weighting in OURS:
        torch.manual_seed(0)
        found[f"ours {weighting}"] = ours(case, weighting)
    return {name: step_of(*way) for name, way in found.items()}


def measure(case: Case, rounds: int, folder: Path) -> list[dict[str, Any]]:
    """Samples per CPU second of each way, and ratios to the fastest peer and to MoPoE."""
    torch.manual_seed(1)
    batches = [[torch.randn(case.batch, size) for size in case.sizes] for _ in range(BATCHES)]
    ways = ways_of(case, folder)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for k in range(rounds + 2):
        for name, step in ways.items():
            begin = time.process_time()
            step(batches[k % BATCHES])
            if k >= 2:  # the first steps make Adam's moments and oneDNN's kernels
                seconds[name].append(time.process_time() - begin)
    peers = {n: statistics.median(s) for n, s in seconds.items() if not n.startswith("ours")}
    fastest = min(peers, key=lambda name: peers[name])

    def ratio(name: str, other: str) -> float:
        pairs = zip(seconds[other], seconds[name], strict=True)
        return statistics.median(a / b for a, b in pairs)

    return [
        {"way": name, "samples_per_s": case.batch / statistics.median(spent),
         "fastest peer": fastest, "x fastest peer": ratio(name, fastest),
         "x MoPoE": ratio(name, "multivae MoPoE")}
        for name, spent in seconds.items()
    ]  # fmt: skip


def main() -> int:
    """Run the benchmark and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="8 rounds instead of 40")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    stand_in_for_torchvision()
    rounds, rows = 8 if options.quick else 40, []
    apart = furthest_from_stable_poe()
    assert apart <= 1e-6, f"the product differs from stable_poe by {apart}"
    losses = {name: furthest_loss(case) for name, case in CASES.items()}
    assert max(losses.values()) <= 1e-4, f"losses differ from MVAE's by {losses}"
    machine = platform.processor() or platform.machine()
    print(f"{machine}, torch {torch.__version__}, one thread, CPU time, {rounds} rounds")
    print(f"furthest from stable_poe {apart:.1e}; loss from MVAE's {max(losses.values()):.1e}\n")
    print(f"{'case':10}{'way':28}{'samples/s':>11}{'x fastest peer':>16}{'x MoPoE':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            for row in measure(case, rounds, Path(folder)):
                rows.append({"case": name, **row})
                mark = " *" if row["way"] == row["fastest peer"] else ""
                print(
                    f"{name:10}{row['way'] + mark:28}{row['samples_per_s']:>11,.0f}"
                    f"{row['x fastest peer']:>16.2f}{row['x MoPoE']:>10.2f}", flush=True,
                )  # fmt: skip
    print("\n* the fastest peer; the goal of ours poe is 1.0 and more of it, 1.5 of MoPoE")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
