"""Experts in two processes train as they do in one, whatever travels between them."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist

from assay.errors import AssayError
from assay.parts.training import processes
from assay.parts.training.distributed import launch
from assay.parts.training.fit import fit
from assay.parts.training.recipe import Recipe
from assay.systems.mixture_of_experts.expert_parallel import spread
from assay.systems.mixture_of_experts.model import mixtures, new_decoder, training_loss

torch.set_num_threads(1)
HERE = "systems.mixture_of_experts.test_expert_parallel"
STEPS, PAD = 4, 1


# -- what the processes run ---------------------------------------------------------------------


def batches(step):
    """Four micro-batches of unequal numbers of tokens."""
    random = np.random.default_rng([1, step])
    ids = torch.from_numpy(random.integers(4, 20, size=(4, 2, 10)))
    ids[0, 1, 6:], ids[3, 0, 3:] = PAD, PAD
    return [{"ids": part} for part in ids]


def trains(ways, folder):
    """What each way of training comes to: losses and weights, or the error."""
    return {
        name: trained(way, Path(folder) / way.get("folder", name)) for name, way in ways.items()
    }


def trained(way, folder):
    seed = dist.get_rank() if dist.is_initialized() else 0  # the experts of the first count
    model = new_decoder(
        vocabulary=20, width=16, layers=2, heads=2, positions=16, seed=seed, balance_weight=0.5,
        initializer_range=0.3, **{"experts": 4, **way["config"]},
    )  # fmt: skip
    if way.get("crowded"):
        mixtures(model)[0].gate.weight.data.zero_()  # all tokens go to the same two experts
    kept, gates = [], set()
    for mixture in mixtures(model):
        mixture.gate.register_forward_hook(lambda gate, *_: gates.add(str(gate.weight.dtype)))
    recipe = Recipe(
        steps=STEPS, rate=3e-3, epsilon=1e-3, precision=way["precision"], clip=0.5, keep_at=(2,),
        checkpoint_every=3,
    )  # fmt: skip
    try:
        spread(model)
        here = sum(len(m.up) for m in mixtures(model))
        fitted = fit(
            model, batches, training_loss, recipe, folder=folder, threads=1,
            sharded=way["sharded"], on_keep=lambda _, m: kept.append(weights(m)),
        )  # fmt: skip
    except AssayError as error:
        return str(error)
    return {
        "losses": fitted.losses.tolist(),
        "weights": weights(processes.whole(model)),
        "kept": kept,
        "parameters": fitted.parameters,
        "here": here,
        "gates": sorted(gates),
        "logits": answers(processes.whole(model)),
    }


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()]).tolist()


def answers(model):
    """Of a whole model, which needs nobody else."""
    assert not processes.own_parameters(model)
    with torch.no_grad():
        return model.eval()(batches(9)[0]["ids"]).logits.flatten().tolist()


# -- the tests ----------------------------------------------------------------------------------

PLAIN = {"config": {"capacity_factor": None}, "precision": "fp32", "sharded": False}
FEW = {"capacity_factor": 0.5, "second": "sampling", "batch_prioritised": True}
WAYS = {
    "plain": PLAIN,
    "sharded": {**PLAIN, "sharded": True},
    "few places": {**PLAIN, "config": FEW},
    "crowded": {**PLAIN, "crowded": True},
    "bf16": {**PLAIN, "precision": "bf16"},
    "sharded bf16": {**PLAIN, "precision": "bf16", "sharded": True},
    "other experts": {**PLAIN, "config": {"experts": 8}, "folder": "plain"},
    "odd": {**PLAIN, "config": {"experts": 3}},
}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same trainings in one process and in two."""
    folder = tmp_path_factory.mktemp("both")
    two = launch(f"{HERE}:trains", {"ways": WAYS, "folder": str(folder / "two")}, 2, folder)
    return trains(WAYS, folder / "one"), two


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("plain", 1e-6), ("sharded", 1e-6), ("few places", 1e-6), ("crowded", 1e-6),
        ("bf16", 8e-2), ("sharded bf16", 8e-2),
    ],
)  # fmt: skip
def test_two_processes_have_the_losses_and_weights_of_one(both, name, near):
    one, two = (found[name] for found in both)

    assert (one["here"], two["here"]) == (4, 2)
    assert two["losses"] == pytest.approx(one["losses"], abs=near)
    assert two["weights"] == pytest.approx(one["weights"], abs=10 * near)
    assert two["parameters"] == one["parameters"] == len(one["weights"])
    assert one["gates"] == two["gates"] == ["torch.float32"]
    assert two["losses"][-1] != two["losses"][0]


@pytest.mark.parametrize("name", ["plain", "sharded"])
def test_the_whole_model_is_handed_out_and_speaks_for_itself(both, name):
    one, two = (found[name] for found in both)

    assert len(two["kept"][0]) == two["parameters"]
    assert two["kept"][0] == pytest.approx(one["kept"][0], abs=1e-5)
    assert two["kept"][0] != two["weights"]
    assert two["logits"] == pytest.approx(one["logits"], abs=1e-4)


def test_a_run_with_other_experts_does_not_go_on_from_the_checkpoint(both):
    for found in both:
        error = found["other experts"]
        assert "the checkpoint is of another run: its model is SparseDecoderForCausalLM" in error
        assert f"with {found['plain']['parameters']:,} weights" in error


def test_experts_that_cannot_be_shared_out_are_refused(both):
    one, two = both

    assert len(one["odd"]["losses"]) == STEPS
    assert two["odd"] == (
        "mixture of layer 1: 3 experts cannot be shared out to 2 processes; "
        "expected a multiple of the processes"
    )


def test_one_process_keeps_all_experts_where_they_are():
    model = new_decoder(vocabulary=20, width=16, layers=2, heads=2, positions=16, experts=4)
    before = [id(p) for p in model.parameters()]

    spread(model)

    assert [id(p) for p in model.parameters()] == before
    assert processes.whole(model) is model
