"""Two processes train as one does, their errors come back, and they end with who started them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch import nn

from assay.core.task import Task, _current, task
from assay.errors import DataError, StepError, UsageError
from assay.parts.training import distributed, processes
from assay.parts.training.distributed import launch
from assay.parts.training.fit import fit
from assay.parts.training.losses import token_loss
from assay.parts.training.recipe import Recipe

HERE = "parts.training.test_distributed"
PATIENCE = 120


# -- what the processes run ------------------------------------------------------------------------


class Small(nn.Module):
    """Two layers with dropout and a tied head."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(13, 16)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 16), nn.GELU(), nn.Dropout(0.2))
            for _ in range(2)
        )
        self.frozen = nn.Linear(16, 16).requires_grad_(False)
        self.head = nn.Linear(16, 13, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids):
        x = self.frozen(self.embedding(ids))
        for layer in self.layers:
            x = x + layer(x)
        return x


class Split(nn.Module):
    """Scales and shifts for even and odd micro-batches; two processes have those that they need."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(2, 16))
        self.shift = nn.Parameter(torch.randn(2 * 16))

    def forward(self, x, number):
        scale, shift = self.scale, self.shift.view(-1, 16)
        return x * scale[number % len(scale)] + shift[number % len(shift)]

    def split(self):
        self.of_one_process = True
        for name, weight in self.named_parameters():
            dist.broadcast(weight.data, 0)
            setattr(self, name, nn.Parameter(weight.data.chunk(2)[dist.get_rank()].clone()))

    def make_whole(self):
        self.of_one_process = False
        for name, weight in self.named_parameters():
            parts = [torch.empty_like(weight.data) for _ in range(2)]
            dist.all_gather(parts, weight.data)
            setattr(self, name, nn.Parameter(torch.cat(parts)))


class Partly(Small):
    """The same with weights that a process has for itself, where there are several."""

    def __init__(self):
        super().__init__()
        self.split = Split()
        if dist.is_initialized():
            self.split.split()


def batches(step):
    random = np.random.default_rng([1, step])
    ids = torch.from_numpy(random.integers(13, size=(4, 3, 5)))
    return [(x, F.pad(x[:, : 2 + k], (0, 3 - k), value=-100), k) for k, x in enumerate(ids)]


def loss(model, batch):
    hidden = model(batch[0])
    if hasattr(model, "split"):
        hidden = model.split(hidden, batch[2])
    return token_loss(hidden, model.head.weight, batch[1])


def trains(ways, folder):
    """Losses and weights of each way of training."""
    found = {}
    for name, way in ways.items():
        torch.manual_seed(dist.get_rank() if dist.is_initialized() else 0)  # the first's count
        model, kept = Partly() if way.get("own") else Small(), []
        recipe = Recipe(
            steps=6, rate=3e-3, precision=way["precision"], clip=0.5, keep_at=(2,),
            checkpoint_every=4,
        )  # fmt: skip
        given = batches if "stop" not in way else stopping(way["stop"])
        arguments = {"folder": Path(folder) / way.get("folder", name), "sharded": way["sharded"]}
        try:
            fitted = fit(
                model, given, loss, recipe, threads=1, **arguments,
                on_keep=lambda step, m, kept=kept: kept.append(weights(m)),
            )  # fmt: skip
        except KeyboardInterrupt:
            continue
        found[name] = {
            "losses": fitted.losses.tolist(), "weights": weights(processes.whole(model)),
            "kept": kept, "parameters": fitted.parameters,
        }  # fmt: skip
    return found


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()]).tolist()


def stopping(at):
    def given(step):
        if step == at:
            raise KeyboardInterrupt
        return batches(step)

    return given


def refuses(rank):
    task().event("said", words="before")
    if dist.get_rank() == rank:
        raise DataError("no such thing", where="a.txt:3", next="Look.")
    dist.barrier()


def dies(rank):
    if dist.get_rank() == rank:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()


def sleeps(marks):
    Path(marks, f"asleep-{os.getpid()}").touch()
    time.sleep(PATIENCE)


# -- the tests -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same trainings in one process and in two."""
    folder = tmp_path_factory.mktemp("both")
    kinds = [("ddp", False, "fp32"), ("fsdp", True, "fp32"), ("fsdp bf16", True, "bf16")]
    ways = {name: {"sharded": sharded, "precision": p} for name, sharded, p in kinds}
    ways["cut"] = {**ways["fsdp"], "folder": "resumed", "stop": 5}
    ways["resumed"] = ways["fsdp"]
    for name in ("ddp", "fsdp", "cut", "resumed"):
        ways[f"own {name}"] = {**ways[name], "own": True}
    ways["own cut"]["folder"] = "own resumed"
    ways["own bf16"] = {"sharded": False, "precision": "bf16", "own": True}
    arguments = {"ways": ways, "folder": str(folder / "two")}
    two = launch(f"{HERE}:trains", arguments, 2, folder)
    return trains(ways, folder / "one"), two


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("ddp", 1e-5), ("fsdp", 1e-5), ("fsdp bf16", 3e-2), ("resumed", 1e-5),
        ("own ddp", 1e-5), ("own fsdp", 1e-5), ("own bf16", 3e-2), ("own resumed", 1e-5),
    ],
)  # fmt: skip
def test_two_processes_have_the_losses_and_weights_of_one(both, name, near):
    one, two = (found[name] for found in both)

    assert two["losses"] == pytest.approx(one["losses"], abs=near)
    assert two["weights"] == pytest.approx(one["weights"], abs=near)
    assert two["losses"][5] != two["losses"][4]
    assert two["parameters"] == one["parameters"]


@pytest.mark.parametrize("name", ["fsdp", "own ddp", "own fsdp"])
def test_the_whole_model_is_handed_out_on_the_way(both, name):
    one, two = (found[name] for found in both)

    assert two["kept"][0] == pytest.approx(one["kept"][0], abs=1e-5)
    assert two["kept"][0] != two["weights"]


@pytest.mark.parametrize("own", ["", "own "])
def test_a_sharded_run_goes_on_from_its_checkpoint_to_the_same_bits(both, own):
    _, two = both

    assert f"{own}cut" not in two
    assert two[f"{own}resumed"]["losses"] == two[f"{own}fsdp"]["losses"]
    assert two[f"{own}resumed"]["weights"] == two[f"{own}fsdp"]["weights"]


def test_the_error_of_a_process_comes_back_as_it_was_and_events_before_it(tmp_path):
    events = []
    token = _current.set(Task("fit", "key", 1, tmp_path, events.append))
    try:
        with pytest.raises(DataError) as caught:
            launch(f"{HERE}:refuses", {"rank": 1}, 2, tmp_path)
    finally:
        _current.reset(token)

    assert str(caught.value) == "process 1 of 2: a.txt:3: no such thing. Look."
    assert events == [{"kind": "said", "step": "fit", "key": "key", "words": "before"}]


def test_a_function_that_is_not_there_is_refused_before_anything_starts(tmp_path):
    for reference in (f"{HERE}:nothing", "no.such:thing", "words"):
        with pytest.raises(UsageError, match="no function"):
            launch(reference, {}, 2, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_the_one_that_started_them(tmp_path, how):
    code = (
        "from pathlib import Path\nfrom assay.parts.training.distributed import launch\n"
        f"launch('{HERE}:sleeps', {{'marks': '{tmp_path}'}}, 2, Path('{tmp_path}') / 'run')\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )  # fmt: skip
    wait_until(lambda: len(list(tmp_path.glob("asleep-*"))) == 2)
    asleep = [int(p.name.removeprefix("asleep-")) for p in tmp_path.glob("asleep-*")]
    starter.send_signal(how)
    starter.wait(PATIENCE)

    wait_until(lambda: not any(runs(process) for process in asleep))


@pytest.mark.slow
def test_a_process_that_is_killed_is_told_of(tmp_path):
    with pytest.raises(StepError) as caught:
        launch(f"{HERE}:dies", {"rank": 1}, 2, tmp_path)

    assert "2 processes ended with code" in str(caught.value) or "process 1 ended" in str(
        caught.value
    )
    assert len(str(caught.value).splitlines()) == 1


def test_of_several_errors_the_first_that_explains_itself_is_told(tmp_path):
    for rank, (error, at) in enumerate(
        [(RuntimeError("connection closed\nby peer"), 1.0), (DataError("bad", where="a"), 2.0)]
    ):
        told = {**distributed._told(error, rank), "time": at}
        (tmp_path / f"error-{rank}.json").write_text(json.dumps(told))

    found = distributed._failure(tmp_path, 2, 1)

    assert (type(found), str(found)) == (DataError, "process 1 of 2: a: bad")
    (tmp_path / "error-1.json").unlink()
    found = distributed._failure(tmp_path, 2, 1)
    assert type(found) is StepError
    assert str(found) == (
        "process 0 of 2: RuntimeError: connection closed "
        "(process 1 ended without a word; out of memory?)"
    )


def test_where_no_process_left_an_error_the_log_has_the_last_word(tmp_path):
    (tmp_path / "processes.log").write_text("much\nthe last line\n")

    assert str(distributed._failure(tmp_path, 2, -9)) == (
        "the 2 processes ended with code -9: the last line"
    )


def runs(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def wait_until(condition):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.05)
