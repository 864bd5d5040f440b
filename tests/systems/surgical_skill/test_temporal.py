"""The network over time: sums of rates, what filling may not change, and that it can learn."""

import numpy as np
import pytest
import torch

from assay.errors import DataError
from assay.systems.surgical_skill.temporal import (
    CHANNELS,
    RateNet,
    expected,
    fit_net,
    fit_temporal,
    poisson_loss,
    signals,
)
from assay.systems.surgical_skill.tracking import Tracks

WIDTH = 320.0


def net_of(attention=False, channels=3, metrics=2) -> RateNet:
    torch.manual_seed(0)
    return RateNet(channels, metrics, width=8, attention=attention).eval()


def blips(cases, seed=0, steps=60):
    """Recordings in which a channel shows the events that are counted, among noise."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(2.0, cases)
    made = []
    for count in counts:
        rows = rng.normal(scale=0.1, size=(steps, 2)).astype(np.float32)
        at = rng.choice(steps, count, replace=False)
        rows[at, 0] += 1.0
        made.append(rows)
    return made, counts.astype(float)[:, None]


def tracks_of(time, fps=30.0) -> Tracks:
    seen = np.ones((time, 3), bool)
    centre = np.zeros((time, 3, 2))
    centre[:, 0, 0] = np.arange(time) * WIDTH / fps
    return Tracks(fps, WIDTH, seen, centre, np.full((time, 3, 2), 32.0), np.ones((time, 3)),
                  np.zeros(time, int), np.zeros((time, 3), bool))  # fmt: skip


@pytest.mark.parametrize("attention", [False, True])
def test_filling_up_changes_nothing(attention):
    """Neither how much of it there is nor what stands in it."""
    net, rng = net_of(attention), np.random.default_rng(0)
    rows = rng.normal(size=(17, 3)).astype(np.float32)
    longer = np.concatenate([rows, rng.normal(size=(9, 3)).astype(np.float32)])
    there = torch.arange(26) < 17

    alone = expected(net, [rows], threads=1)
    with torch.no_grad():
        filled = net(torch.from_numpy(longer)[None], there[None]).numpy()

    assert filled == pytest.approx(alone, rel=1e-5)


def test_what_is_expected_of_two_recordings_far_apart_is_the_sum():
    """Rates add up over time; with as much silence between as the layers reach."""
    net, rng = net_of(), np.random.default_rng(1)
    rows = rng.normal(size=(20, 3)).astype(np.float32)
    silence = np.zeros((40, 3), np.float32)

    def of(*parts):
        return expected(net, [np.concatenate(parts)], threads=1)

    one, two = of(silence, rows, silence), of(silence, rows, silence, rows, silence)
    nothing = [of(np.zeros((length, 3), np.float32)) for length in (100, 160)]

    assert two - nothing[1] == pytest.approx(2 * (one - nothing[0]), rel=1e-4)
    assert np.abs(one - nothing[0]).min() > 1e-3


def test_the_likelihood_is_that_of_poisson_up_to_what_does_not_depend_on_the_model():
    told = torch.tensor([[2.0, 3.0]], dtype=torch.float64, requires_grad=True)
    wanted = torch.tensor([[4.0, 0.0]], dtype=torch.float64)

    total, count = poisson_loss(told, wanted)
    total.backward()

    likelihood = torch.distributions.Poisson(told.detach()).log_prob(wanted)
    without = (likelihood + torch.lgamma(wanted + 1)).sum()
    assert float(total.detach()) == pytest.approx(-float(without))
    assert told.grad.tolist() == [[1 - 4 / 2, 1.0]]
    assert count == 2


def test_a_count_that_is_not_known_has_no_part_in_it():
    told = torch.tensor([[2.0, 3.0]], requires_grad=True)

    total, count = poisson_loss(told, torch.tensor([[float("nan"), 3.0]]))
    total.backward()

    assert count == 1
    assert told.grad.tolist() == [[0.0, 0.0]]
    assert total.isfinite()


def test_a_new_network_expects_the_mean(tmp_path):
    cases, targets = blips(10)

    net = fit_net(cases, targets, folder=tmp_path, steps=1, rate=1e-9, threads=1, seed=0)

    assert expected(net, cases, threads=1).mean() == pytest.approx(targets.mean(), rel=0.1)


@pytest.mark.parametrize("attention", [False, True])
def test_it_learns_to_count(tmp_path, attention):
    cases, targets = blips(48)
    targets[::10] = np.nan

    net = fit_net(cases, targets, folder=tmp_path, steps=60, rate=1e-2, width=8,
                  attention=attention, threads=1, seed=0)  # fmt: skip

    fresh, truth = blips(40, seed=1)
    assert np.corrcoef(expected(net, fresh, threads=1)[:, 0], truth[:, 0])[0, 1] > 0.8


def test_folds_part_no_surgeon_and_equal_seeds_are_equal_bits(tmp_path):
    cases, targets = blips(8)
    groups = np.arange(8) // 2
    options = {"folds": 2, "steps": 5, "batch": 4, "width": 8, "seed": 3, "threads": 1}

    one = fit_temporal(cases, targets, groups, folder=tmp_path / "one", **options)
    two = fit_temporal(cases, targets, groups, folder=tmp_path / "two", **options)

    assert all(len(set(one.fold[groups == group])) == 1 for group in range(4))
    assert (one.out_of_fold == two.out_of_fold).all()
    for k, net in enumerate(one.nets):
        held = np.flatnonzero(one.fold == k)
        assert (
            expected(net, [cases[case] for case in held], threads=1) == one.out_of_fold[held]
        ).all()


def test_what_is_held_out_changes_nothing_about_what_is_said_of_it(tmp_path):
    cases, targets = blips(8)
    groups, options = (
        np.arange(8) // 2,
        {"folds": 2, "steps": 5, "width": 8, "seed": 3, "threads": 1},
    )
    before = fit_temporal(cases, targets, groups, folder=tmp_path / "before", **options)
    held = before.fold == 0
    changed = np.where(held[:, None], targets + 9, targets)

    after = fit_temporal(cases, changed, groups, folder=tmp_path / "after", **options)

    assert (after.out_of_fold[held] == before.out_of_fold[held]).all()
    assert (after.out_of_fold[~held] != before.out_of_fold[~held]).all()


def test_signals_are_means_over_moments():
    tracks = tracks_of(30)
    tracks.present[:2, 2] = False
    tracks.centre[:2, 2] = np.nan
    tracks.state[:2] = -1

    rows = signals(tracks, hz=10.0)

    def of(name):
        return rows[:, CHANNELS.index(name)]

    assert rows.shape == (10, len(CHANNELS))
    assert rows.dtype == np.float32
    assert of("left driver x") == pytest.approx((np.arange(10) * 3 + 1) / 30)
    assert of("left driver speed")[1:] == pytest.approx(1.0)
    assert of("left driver width") == pytest.approx(0.1)
    assert of("needle seen") == pytest.approx([1 / 3, *[1.0] * 9])
    assert of("needle grabbed") == pytest.approx([1 / 3, *[1.0] * 9])


@pytest.mark.parametrize(("time", "fps", "moments"), [
    (0, 30.0, 1), (1, 30.0, 1), (31, 30.0, 11), (7, 1.0, 7),
])  # fmt: skip
def test_any_recording_has_moments_and_only_numbers(time, fps, moments):
    tracks = tracks_of(time, fps)
    tracks.centre[:] = np.nan
    tracks.present[:] = False

    rows = signals(tracks)

    assert rows.shape == (moments, len(CHANNELS))
    assert np.isfinite(rows).all()


def test_what_cannot_be_learned_from_is_refused(tmp_path):
    cases, targets = blips(4)
    with pytest.raises(DataError, match="metric 1 is known of no case"):
        fit_net(cases, targets * np.nan, folder=tmp_path, threads=1, seed=0)
    with pytest.raises(DataError, match="fewer than two surgeons"):
        fit_temporal(cases, targets, np.zeros(4, int), folder=tmp_path, threads=1, seed=0)
