"""The detector: its inverse, its losses, its training, and the folder that comes of it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from assay.errors import DataError, ParameterError
from assay.parts.detection.average_precision import average_precision
from assay.parts.detection.boxes import UNKNOWN, Boxes
from assay.parts.training import fit as fitting
from assay.systems.surgical_skill.classes import DRIVER, NEEDLE
from assay.systems.surgical_skill.detector import Detector, DetectorConfig, Heads, decode, losses
from assay.systems.surgical_skill.folders import load_detector, save_detector
from assay.systems.surgical_skill.predict import predict
from assay.systems.surgical_skill.targets import Targets, targets_of
from assay.systems.surgical_skill.train import _state_weights, train_detector

SMALL = {"width": 8, "batch": 8, "worst": 3, "seed": 5}


def drawn(count: int, height: int = 64, width: int = 96) -> tuple[np.ndarray, Boxes]:
    """Red drivers with a dark left or right half, and green needles, bluish when dropped."""
    random = np.random.default_rng(7)
    frames = random.integers(60, 110, (count, height, width, 3)).astype(np.uint8)
    rows = []
    for image in range(count):
        for label in (DRIVER, DRIVER, NEEDLE):
            w, h = random.integers(14, 26, 2) if label == DRIVER else random.integers(8, 14, 2)
            x, y = random.integers(0, width - w), random.integers(0, height - h)
            state = int(random.integers(2))
            part = frames[image, y : y + h, x : x + w]
            part[:] = (220, 60, 60) if label == DRIVER else (60, 220, 220 * state)
            if label == DRIVER:
                half = slice(w // 2) if state == 0 else slice(w // 2, None)
                part[:, half] //= 2
            rows.append((image, label, [x, y, w, h], state))
    images, labels, xywh, states = zip(*rows, strict=True)
    return frames, Boxes.of(images, labels, xywh, state=states)


# -- the network --------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def first_weights():
    """The same in every test, whatever ran before."""
    torch.manual_seed(0)


@pytest.mark.parametrize(("height", "width"), [(180, 320), (64, 96), (33, 50)])
@pytest.mark.parametrize("stride", [2, 4])
def test_frames_of_any_size_have_the_cells_of_their_targets(height, width, stride):
    model = Detector(DetectorConfig(width=8, stride=stride))

    heads = model(torch.zeros(2, height, width, 3, dtype=torch.uint8))

    wanted = targets_of(Boxes.of(), 2, height, width, stride=stride)
    assert heads.heat.shape == wanted.heat.shape
    assert heads.size.shape == heads.offset.shape == wanted.size.shape
    assert heads.state.shape == (2, 2, 2, *wanted.heat.shape[2:])


def test_the_default_network_is_plain_and_of_the_size_asked_for():
    model = Detector(DetectorConfig())

    assert 80_000 <= sum(p.numel() for p in model.parameters()) <= 180_000
    assert all(m.groups == 1 for m in model.modules() if isinstance(m, torch.nn.Conv2d))


def test_an_untrained_network_says_a_tenth():
    frames, _ = drawn(2)

    heat = Detector(DetectorConfig(width=8))(torch.from_numpy(frames)).heat.sigmoid()

    assert 0.05 < float(heat.detach().mean()) < 0.2


def test_every_weight_is_trained():
    frames, truth = drawn(2)
    model = Detector(DetectorConfig(width=8, stride=2))

    heads = model(torch.from_numpy(frames))
    losses(heads, targets_of(truth, 2, 64, 96, stride=2)).total.sum().backward()

    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_what_is_filled_up_moves_nothing():
    """The same pixels, whether grey was put there by hand or by the network."""
    frames, _ = drawn(1, 64, 96)
    whole = torch.from_numpy(frames).clone()
    whole[:, 50:], whole[:, :, 90:] = 127, 127
    model = Detector(DetectorConfig(width=8))

    cut, filled = model(whole[:, :50, :90]), model(whole)

    # 127 is not quite the middle, 127.5; black instead of grey would move them by more than 0.5.
    for one, other in zip(cut, filled, strict=True):
        torch.testing.assert_close(one, other, atol=0.1, rtol=0)


@pytest.mark.parametrize(
    "frames",
    [np.zeros((2, 8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8),
     np.zeros((1, 8, 8, 4), np.uint8)],
)  # fmt: skip
def test_what_is_not_frames_is_refused(frames):
    with pytest.raises(DataError, match=r"^detector: frames are .*expected uint8"):
        Detector(DetectorConfig(width=8))(torch.from_numpy(frames))


@pytest.mark.parametrize("values", [{"width": 12}, {"stride": 3}, {"states": ()}])
def test_a_config_out_of_range_is_refused(values):
    with pytest.raises(ParameterError, match=rf"^detector: {next(iter(values))} is"):
        DetectorConfig(**values)


# -- the inverse --------------------------------------------------------------------------------


def perfect(wanted: Targets) -> Heads:
    """A network that says just what is wanted."""
    heat, size, offset = (torch.from_numpy(t) for t in wanted[:3])
    state = torch.nn.functional.one_hot(torch.from_numpy(wanted.state).clamp(min=0), 2)
    return Heads(heat.logit(), size, offset, state.movedim(-1, 2).float())


@given(st.integers(0, 10**6), st.sampled_from([2, 4]), st.sampled_from([(180, 320), (203, 1279)]))
def test_targets_are_decoded_to_their_boxes(seed, stride, frame):
    random = np.random.default_rng(seed)
    height, width = frame
    n = int(random.integers(0, 12))
    size = np.exp(random.uniform(math.log(3), math.log(150), (n, 2)))
    place = random.uniform(0, 1, (n, 2)) * ([width, height] - size)
    label, image = random.integers(2, size=n), random.integers(2, size=n)
    cell = ((place + size / 2) // stride).astype(int)
    _, alone = np.unique(np.column_stack([image, label, cell]), axis=0, return_index=True)
    boxes = Boxes.of(
        image, label, np.hstack([place, size]), state=random.integers(0, 2, n)
    ).take(np.sort(alone))  # fmt: skip

    heads = perfect(targets_of(boxes, 2, height, width, stride=stride))
    found = decode(heads, DetectorConfig(stride=stride), height, width)
    found = found.boxes(score_at_least=0.9999)

    assert len(found) == len(boxes)
    for column in ("image", "label", "state", "xywh"):
        one, other = (_in_order(b, getattr(b, column)) for b in (found, boxes))
        np.testing.assert_allclose(one, other, atol=2e-5, rtol=0, err_msg=column)


def _in_order(boxes: Boxes, column: np.ndarray) -> np.ndarray:
    return column[np.lexsort((*boxes.xywh.round(2).T, boxes.label, boxes.image))]


def test_boxes_are_cut_at_the_edge_and_numbered_from_the_first():
    inside = Boxes.of([1], [NEEDLE], [[2, 2, 60, 20]], state=[1])
    heads = perfect(targets_of(inside, 2, 48, 64))
    heads.size[1, NEEDLE, 0] *= 2

    found = decode(heads, DetectorConfig(), 48, 64).boxes(first=10, score_at_least=0.99)

    assert found.image.tolist() == [11]
    assert found.xywh.tolist() == [[0, 2, 64, 20]]


def test_the_flanks_of_a_peak_are_not_found():
    _, truth = drawn(3)
    wanted = targets_of(truth, 3, 64, 96, min_overlap=0.1)

    heads = perfect(wanted)
    heads = heads._replace(size=heads.size + 1)  # so that every cell has a box to tell

    found = decode(heads, DetectorConfig(), 64, 96).boxes(score_at_least=0.01)

    assert (wanted.heat > 0.01).sum() > 3 * len(truth)
    assert len(found) == len(truth)


def test_a_class_has_only_its_own_states():
    boxes = Boxes.of([0, 0], [DRIVER, NEEDLE], [[2, 2, 20, 20], [30, 20, 9, 9]], state=[1, 1])
    heads = perfect(targets_of(boxes, 1, 48, 64))

    found = decode(heads, DetectorConfig(states=(2, 0)), 48, 64).boxes(score_at_least=0.99)

    assert dict(zip(found.label, found.state, strict=True)) == {DRIVER: 1, NEEDLE: UNKNOWN}
    one = decode(heads, DetectorConfig(states=(2, 1)), 48, 64).boxes(score_at_least=0.99)
    assert dict(zip(one.label, one.state, strict=True)) == {DRIVER: 1, NEEDLE: 0}


# -- the losses ---------------------------------------------------------------------------------


def test_the_losses_are_those_of_the_paper():
    """Equation 1 cell by cell, and the absolute errors at the centres."""
    truth = Boxes.of([0, 0, 1], [0, 1, 1], [[4, 4, 30, 30], [30, 20, 9, 9], [8, 9, 25, 7]],
                     state=[1, UNKNOWN, 0])  # fmt: skip
    wanted = targets_of(truth, 2, 48, 64, min_overlap=0.3)
    random = torch.Generator().manual_seed(1)
    shapes = ((2, 2, 12, 16), (2, 2, 2, 12, 16), (2, 2, 2, 12, 16), (2, 2, 2, 12, 16))
    heads = Heads(*(torch.randn(shape, generator=random) for shape in shapes))

    found = losses(heads, wanted)

    expected = np.zeros((4, 2))
    for (image, label, y, x), t in np.ndenumerate(wanted.heat):
        p = 1 / (1 + math.exp(-float(heads.heat[image, label, y, x])))
        if t == 1:
            at = (image, label, slice(None), y, x)
            expected[0, image] -= (1 - p) ** 2 * math.log(p)
            expected[1, image] += abs(heads.size[at].numpy() - wanted.size[at]).sum()
            expected[2, image] += abs(heads.offset[at].numpy() - wanted.offset[at]).sum()
            if (state := wanted.state[image, label, y, x]) >= 0:
                expected[3, image] -= float(heads.state[at].log_softmax(0)[state])
        else:
            expected[0, image] -= (1 - t) ** 4 * p**2 * math.log(1 - p)
    np.testing.assert_allclose(torch.stack([*found]), expected, rtol=1e-4)
    total = expected[0] + 0.1 * expected[1] + expected[2] + expected[3]
    np.testing.assert_allclose(found.total, total, rtol=1e-4)


def test_a_state_that_weighs_more_loses_more():
    truth = Boxes.of([0, 0, 1], [0, 1, 1], [[4, 4, 30, 30], [30, 20, 9, 9], [8, 9, 25, 7]],
                     state=[1, UNKNOWN, 0])  # fmt: skip
    wanted = targets_of(truth, 2, 48, 64)
    random = torch.Generator().manual_seed(1)
    shapes = ((2, 2, 12, 16), (2, 2, 2, 12, 16), (2, 2, 2, 12, 16), (2, 2, 2, 12, 16))
    heads = Heads(*(torch.randn(shape, generator=random) for shape in shapes))
    plain = losses(heads, wanted)

    weighed = losses(heads, wanted, torch.tensor([[9.0, 3.0], [0.5, 9.0]]))

    torch.testing.assert_close(weighed.state, plain.state * torch.tensor([3.0, 0.5]))
    torch.testing.assert_close(weighed[:3], plain[:3])


def test_states_weigh_so_that_all_of_a_class_count_alike():
    """Three needles are held, one is dropped, one nobody knows; all drivers are right."""
    boxes = Boxes.of([0] * 7, [1, 1, 1, 1, 1, 0, 0], [[0, 0, 9, 9]] * 7,
                     state=[0, 0, 1, 0, UNKNOWN, 1, 1])  # fmt: skip

    weights = _state_weights(boxes)

    torch.testing.assert_close(weights[1], torch.tensor([4 / (2 * 3), 4 / 2]))
    assert float(weights[0, 1]) == 1
    assert bool(torch.isfinite(weights).all())


def test_a_perfect_network_loses_nothing_but_for_the_heat_beside_the_centres():
    _, truth = drawn(3)
    wanted = targets_of(truth, 3, 64, 96)
    heads = perfect(wanted)
    heads = heads._replace(heat=heads.heat.clamp(-50, 50), state=1000 * heads.state)

    found = losses(heads, wanted)

    assert float(found.size.sum() + found.offset.sum() + found.state.sum()) == 0
    assert bool((found.heat < 1e-3 + 0.1 * 3).all())


# -- training -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(step):
    """Sixteen frames, their objects, events, and a detector that was trained on them."""
    frames, truth = drawn(16)
    events = []
    made = step("trained", train_detector, frames, truth, steps=150, rate=1e-2, augment=False,
                emit=events.append, **SMALL | {"batch": 16})  # fmt: skip
    return frames, truth, events, made


def test_it_overfits_a_few_frames(trained):
    frames, truth, _, made = trained

    found = predict(load_detector(made.model), [frames], fuse="none")

    precision = average_precision(truth, found, classes=2)
    assert precision.ap50 > 0.5
    sure = found.take(found.score > 0.3)
    overlaps = [(b, t) for b in range(len(sure)) for t in range(len(truth))
                if sure.image[b] == truth.image[t] and sure.label[b] == truth.label[t]
                and abs(sure.xywh[b] - truth.xywh[t]).max() < 3]  # fmt: skip
    right = [sure.state[b] == truth.state[t] for b, t in overlaps]
    assert len(right) > 20
    assert np.mean(right) > 0.8


def test_it_tells_beforehand_what_it_will_take_and_afterwards_what_it_missed(trained):
    _, truth, events, made = trained

    kinds = [event["kind"] for event in events]
    plan = events[kinds.index("note")]
    assert kinds.index("note") < kinds.index("training")
    assert plan["text"].startswith("150 steps on ")
    assert plan["steps"] == 150
    assert plan["parameters"] == 37_190
    assert plan["seconds"] == pytest.approx(150 * plan["seconds_per_step"])
    assert plan["memory_mib"] * 2**20 > 16 * 64 * 96 * 8  # at least the stem's maps in fp32
    told = {r["measure"]: r["value"] for r in made.records}
    assert told["training_frames"] == 16
    assert told["training_objects"] == 48
    assert [f.missed for f in made.failures] == sorted(f.missed for f in made.failures)[::-1]
    assert len(made.failures) == 3
    assert told["training_missed"] >= sum(f.missed for f in made.failures)
    assert all(f.objects == (truth.image == f.frame).sum() for f in made.failures)


def test_a_run_that_was_killed_ends_with_the_same_weights(step, monkeypatch):
    frames, truth = drawn(10)
    frames, truth = frames[:, :32, :48], _within(truth, 32, 48)
    values = SMALL | {"steps": 120, "batch": 2, "worst": 0}
    whole = step("whole", train_detector, frames, truth, **values)
    take = fitting.Training.take

    def killed(self, at, batches):
        if at == 105:
            raise KeyboardInterrupt
        take(self, at, batches)

    monkeypatch.setattr(fitting.Training, "take", killed)
    with pytest.raises(KeyboardInterrupt):
        step("killed", train_detector, frames, truth, **values)
    taken = []
    monkeypatch.setattr(
        fitting.Training, "take", lambda self, at, b: (taken.append(at), take(self, at, b))
    )
    again = step("killed", train_detector, frames, truth, **values)

    assert taken == list(range(100, 120))
    one, other = (load_file(made.model / "model.safetensors") for made in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert [*whole.records] == [*again.records]


def _within(boxes: Boxes, height: int, width: int) -> Boxes:
    """Objects that lie in the left top of their frames."""
    return boxes.take((boxes.xywh[:, :2] + boxes.xywh[:, 2:] <= [width, height]).all(axis=1))


def test_only_the_chosen_frames_are_trained_on(step):
    frames, truth = drawn(6)
    values = SMALL | {"steps": 3, "batch": 2}
    chosen = np.array([1, 4])
    spoilt = frames.copy()
    spoilt[[0, 2, 3, 5]] = 0

    one = step("chosen", train_detector, frames, truth, chosen, **values)
    other = step("spoilt", train_detector, spoilt, truth, chosen, **values)

    assert one.failures == other.failures
    assert {f.frame for f in one.failures} == {1, 4}


@pytest.mark.parametrize(
    ("change", "what"),
    [({"frames": np.zeros((2, 8, 8), np.uint8)}, "uint8 .* expected uint8"),
     ({"chosen": np.array([9])}, "expected at least one, from 0 to 1"),
     ({"chosen": np.array([], int)}, "0 frames of 2"),
     ({"truth": Boxes.of([1], [0], [[90, 60, 40, 40]])}, "frame 1: the centre"),
     ({"patch": 80}, "patch is 80 pixels; expected at most 64")],
)  # fmt: skip
def test_what_cannot_be_trained_on_is_refused(change, what):
    frames, truth = drawn(2)
    given = {"frames": frames, "truth": truth, "steps": 1, **SMALL} | change

    with pytest.raises((DataError, ParameterError), match=what):
        train_detector(**given)


# -- the folder ---------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    save_detector(tmp_path / "model", Detector(DetectorConfig(8, 2)), {"steps": 0})
    return tmp_path / "model"


def test_a_detector_comes_back_as_it_was(folder):
    torch.manual_seed(0)
    before = Detector(DetectorConfig(8, 2))

    after = load_detector(folder)

    assert after.config == before.config
    frames = torch.from_numpy(drawn(1)[0])
    for one, other in zip(before(frames), after(frames), strict=True):
        assert torch.equal(one, other)


def _another_kind(folder):
    text = (folder / "config.json").read_text().replace("surgical", "other")
    (folder / "config.json").write_text(text)


def _another_width(folder):
    text = (folder / "config.json").read_text().replace('"width": 8', '"width": 16')
    (folder / "config.json").write_text(text)


def _a_weight_less(folder):
    weights = load_file(folder / "model.safetensors")
    weights.popitem()
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize(
    "spoil",
    [_another_kind, _another_width, _a_weight_less,
     lambda folder: (folder / "config.json").unlink(),
     lambda folder: (folder / "config.json").write_text("[]"),
     lambda folder: (folder / "model.safetensors").write_bytes(b"no")],
)  # fmt: skip
def test_a_foreign_folder_is_refused_in_one_line(folder, spoil):
    spoil(folder)

    with pytest.raises(DataError, match=r"model: holds no trained detector \(.*expected") as told:
        load_detector(folder)

    assert "\n" not in str(told.value)
