"""Training: it repeats, resumes, forgets nothing, and leaves the process as it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from assay.core.identity import content_digest
from assay.core.task import Task, _current
from assay.errors import DataError
from assay.systems.climate_impact import train
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.rasters import Grid, Raster, Roughness, Terrain
from assay.systems.climate_impact.surrogate import Scales
from assay.systems.climate_impact.train import train_surrogate

GRID = Grid(12, 12, 30.0, 0.0, 0.0, "EPSG:32616")
SMALL = {"channels": 4, "levels": 2, "batch": 2, "seed": 5}


def floods(count=4, depth=None):
    random = np.random.default_rng(1)
    grounds = [Terrain(random.uniform(0, 30, (12, 12)), GRID, f"{k}") for k in range(count)]
    rough = [Roughness(np.full((12, 12), 0.03), GRID) for _ in range(count)]
    rains = [
        Hyetograph(np.array([0.0, 3600.0]), np.array([10.0 + k]), "storm", 10.0)
        for k in range(count)
    ]
    deep = [random.uniform(0, 2, (12, 12)) if depth is None else depth for _ in range(count)]
    return grounds, rough, rains, [Raster(values, GRID, "depth", "m") for values in deep]


@pytest.fixture
def in_task(tmp_path):
    """Runs a function as a step whose scratch folder is the one of this name."""

    def run(function, name, emit=None):
        token = _current.set(Task("fit", name, 1, tmp_path / name, emit))
        try:
            return function()
        finally:
            _current.reset(token)

    return run


def losses(fit):
    return [r["value"] for r in fit.records if r["measure"] == "training_loss"]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(in_task):
    fits = [
        in_task(lambda s=seed: train_surrogate(*floods(), **{**SMALL, "seed": s}, steps=5), name)
        for name, seed in (("a", 5), ("b", 5), ("c", 6))
    ]
    digests = [content_digest(fit.model / "model.safetensors") for fit in fits]

    assert digests[0] == digests[1] != digests[2]
    assert fits[0].records == fits[1].records


def test_a_killed_training_goes_on_to_the_same_weights(in_task, monkeypatch, tmp_path):
    monkeypatch.setattr(train, "CHECKPOINT_STEPS", 3)
    whole = in_task(lambda: train_surrogate(*floods(), **SMALL, steps=11), "whole")
    taken = []

    def killed_after_eight(step, steps):
        taken.append(step)
        if len(taken) == 9:
            raise KeyboardInterrupt
        return 1.0 if step < 0 else schedule(step, steps)

    schedule = train._schedule
    monkeypatch.setattr(train, "_schedule", killed_after_eight)
    with pytest.raises(KeyboardInterrupt):
        in_task(lambda: train_surrogate(*floods(), **SMALL, steps=11), "killed")
    resumed = in_task(lambda: train_surrogate(*floods(), **SMALL, steps=11), "killed")

    assert taken[9:] == [6, 7, 8, 9, 10]  # from the checkpoint, not from the start
    one, two = (load_file(fit.model / "model.safetensors") for fit in (whole, resumed))
    assert all((one[name] == two[name]).all() for name in one)
    assert losses(whole) == losses(resumed)


def test_the_seed_decides_the_first_weights_and_each_step_draws_anew(in_task, monkeypatch):
    drawn = []

    def noting(floods, batch, random):
        drawn.append(taken := draw(floods, batch, random))
        return taken

    draw = train._batch
    monkeypatch.setattr(train, "_batch", noting)
    first = [
        in_task(
            lambda s=seed: train_surrogate(*floods(), **{**SMALL, "seed": s}, steps=4, rate=1e-12),
            f"first {seed}",
        )
        for seed in (5, 6)
    ]
    one, two = (load_file(fit.model / "model.safetensors")["head.weight"] for fit in first)
    assert (one - two).abs().max() > 1e-3
    assert len({tuple(rain.flatten().tolist()) for _, rain, *_ in drawn[:4]}) > 1


def test_the_loss_is_the_mean_over_known_cells():
    found, target = torch.tensor([[1.0, 2.0, 9.0]]), torch.tensor([[0.0, 4.0, 0.0]])

    assert train._loss(found, target, torch.tensor([[1.0, 1.0, 0.0]])) == 2.5


def test_only_the_share_asked_for_is_learned_from(in_task):
    few = in_task(lambda: train_surrogate(*floods(8), **SMALL, share=0.25, steps=3), "few")
    two = [values[:2] for values in floods(8)]
    first = in_task(lambda: train_surrogate(*two, **SMALL, steps=3), "first")

    assert content_digest(few.model / "model.safetensors") == content_digest(
        first.model / "model.safetensors"
    )
    assert [r["value"] for r in few.records if r["measure"] == "training_floods"] == [2.0]


def test_a_depth_that_is_everywhere_the_same_is_learned(in_task):
    given = floods(2, depth=np.full((12, 12), 1.5))

    fit = in_task(lambda: train_surrogate(*given, **SMALL, steps=120, rate=1e-2), "level")

    assert losses(fit)[-1] < 0.01 * losses(fit)[0]


def test_cells_without_ground_are_not_learned_from(in_task):
    def trained(name, beyond):
        grounds, rough, rains, deep = floods(2)
        for terrain in grounds:
            terrain.elevation_m[:, :3] = np.nan
        values = [np.where(np.isnan(grounds[0].elevation_m), beyond, d.values) for d in deep]
        deep = [replace(d, values=v) for d, v in zip(deep, values, strict=True)]
        given = train._floods(grounds, rough, rains, deep)
        assert (given.known[:, :, :3] == 0).all() == np.isnan(beyond)
        return in_task(lambda: train_surrogate(grounds, rough, rains, deep, **SMALL, steps=3), name)

    assert np.isfinite(losses(trained("walls", np.nan))).all()
    assert losses(trained("walls", np.nan)) != losses(trained("deep", 9.0))


def test_planes_depth_and_mask_are_turned_together():
    ground = torch.arange(2 * 3 * 16.0).reshape(2, 3, 4, 4)
    given = train._Floods(ground, torch.arange(2.0)[:, None], ground[:, 0].clone(), ground[:, 1])

    orders = set()
    for seed in range(300):
        planes, rain, target, known = train._batch(given, 3, np.random.default_rng(seed))
        assert (planes[:, 0] == target).all()
        assert (planes[:, 1] == known).all()
        assert (rain[:, 0] == planes[:, 0].amin((1, 2)) // 48).all()
        orders.add(tuple(target[0].flatten().tolist()))
    assert len(orders) == 2 * 8  # both floods in each of the eight symmetries of a square


def test_inputs_are_standardised_by_the_training_set():
    given = train._floods(*floods())
    net = train._new_net(given, 4, 2)

    mean, deviation = net.get_buffer("ground_mean"), net.get_buffer("ground_deviation")
    scaled = (given.ground - mean[:, None, None]) / deviation[:, None, None]
    assert scaled[:, :3].mean(dim=(0, 2, 3)).numpy() == pytest.approx(0.0, abs=1e-5)
    assert scaled[:, :3].std(dim=(0, 2, 3), unbiased=False).numpy() == pytest.approx(1.0, abs=1e-5)
    assert deviation[3] == 1.0  # Manning's n is the same everywhere: left as it is
    assert Scales._fields == tuple(dict(net.named_buffers()))


def test_the_rate_rises_then_falls_to_nothing():
    rates = np.array([train._schedule(step, 200) for step in range(200)])

    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert rates[10] == 1.0
    assert (np.diff(rates[10:]) < 0).all()
    assert 0 < rates[-1] < 1e-3
    assert rates[105] == pytest.approx(0.5)


def test_threads_and_random_numbers_of_the_process_stay_its_own(in_task):
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()

    in_task(lambda: train_surrogate(*floods(), **SMALL, steps=2), "own")

    assert (torch.random.get_rng_state() == before).all()
    assert torch.get_num_threads() == threads


def test_progress_is_told_in_steps(in_task):
    events = []

    in_task(lambda: train_surrogate(*floods(), **SMALL, steps=4), "told", emit=events.append)

    told = [e for e in events if e["kind"] == "progress"]
    assert (told[-1]["done"], told[-1]["total"], told[-1]["unit"]) == (4.0, 4.0, "steps")


def test_floods_that_do_not_fit_together_are_refused():
    grounds, rough, rains, deep = floods()

    with pytest.raises(DataError, match="are not as many"):
        train_surrogate(grounds, rough, rains, deep[:-1], **SMALL, steps=1)
    deep[1] = replace(deep[1], values=np.zeros((12, 9)))
    with pytest.raises(DataError, match=r"tiles of 2 sizes.*one size"):
        train_surrogate(grounds, rough, rains, deep, **SMALL, steps=1)
