"""What detectors find: the same in any batch, in a mirror, and fused."""

import numpy as np
import pytest
import torch
from torch import nn

from assay.errors import DataError, ParameterError
from assay.parts.detection.boxes import Boxes
from assay.systems.surgical_skill.classes import DRIVER, NEEDLE
from assay.systems.surgical_skill.detector import Detector, DetectorConfig, Heads
from assay.systems.surgical_skill.predict import failures_in, predict
from assay.systems.surgical_skill.targets import targets_of

HEIGHT, WIDTH = 48, 80


class Seer(nn.Module):
    """Sees a rectangle of each colour, and says of a driver on which side of the frame it is.

    Args:
        error: How far to the right it takes things to be, in pixels.
        sure: Logit of its heatmaps where it sees something.
    """

    def __init__(self, error: float = 0.0, sure: float = 3.0) -> None:
        super().__init__()
        self.config, self.error, self.sure = DetectorConfig(), error, sure

    def forward(self, frames: torch.Tensor) -> Heads:
        rows = []
        for image, frame in enumerate(frames.numpy()):
            for label in (DRIVER, NEEDLE):
                y, x = np.nonzero(frame[:, :, label] > 200)
                if len(x):
                    box = np.array([x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1], float)
                    right = int(box[0] + box[2] / 2 > WIDTH / 2)
                    state = right if label == DRIVER else int(frame[y[0], x[0], 2] > 200)
                    box[0] += self.error
                    rows.append((image, label, box, state))
        image, label, xywh, state = zip(*rows, strict=True) if rows else ((),) * 4
        wanted = targets_of(Boxes.of(image, label, xywh, state=state), len(frames), HEIGHT, WIDTH)
        heat, size, offset = (torch.from_numpy(t) for t in wanted[:3])
        known = torch.from_numpy(wanted.state).clamp(min=0)
        states = nn.functional.one_hot(known, 2).movedim(-1, 2).float()
        return Heads(torch.where(heat == 1, self.sure, -9.0), size, offset, states)


def seen(count: int = 7) -> tuple[np.ndarray, Boxes]:
    """Frames with a driver and a needle that the seer sees, the last frame empty."""
    random, rows = np.random.default_rng(1), []
    frames = np.zeros((count, HEIGHT, WIDTH, 3), np.uint8)
    for image in range(count - 1):
        for label in (DRIVER, NEEDLE):
            w, h = random.integers(8, 15, 2)
            x = random.integers(2, 24) + (42 if random.random() < 0.5 else 0)
            y = random.integers(0, HEIGHT - h)
            state = int(x > 40) if label == DRIVER else int(random.integers(2))
            frames[image, y : y + h, x : x + w, label] = 255
            frames[image, y : y + h, x : x + w, 2] = 255 * (label == NEEDLE) * state
            rows.append((image, label, [x, y, w, h], state))
    image, label, xywh, state = zip(*rows, strict=True)
    return frames, Boxes.of(image, label, xywh, state=state)


def assert_same(found: Boxes, wanted: Boxes, atol: float = 1e-4) -> None:
    assert len(found) == len(wanted)
    order = [np.lexsort((b.label, b.image)) for b in (found, wanted)]
    for column in ("image", "label", "state", "xywh"):
        one, other = (getattr(b, column)[o] for b, o in zip((found, wanted), order, strict=True))
        np.testing.assert_allclose(one, other, atol=atol, err_msg=column)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("fuse", ["wbf", "nms"])
def test_what_is_there_is_found_with_its_state_in_a_mirror_too(fuse, flip):
    frames, truth = seen()

    found = predict(Seer(), [frames], fuse=fuse, flip=flip)

    assert_same(found, truth)
    np.testing.assert_allclose(found.score, 1 / (1 + np.exp(-3.0)), rtol=1e-6)


def test_an_error_to_one_side_is_undone_by_the_mirror():
    frames, truth = seen()

    found = predict(Seer(error=0.75), [frames], fuse="wbf", flip=True)

    assert_same(found, truth)


def test_folds_are_averaged_by_weight():
    frames, truth = seen()
    shifted = truth.take(np.arange(len(truth)))
    shifted.xywh[:, 0] += 0.5

    found = predict([Seer(), Seer(error=2.0)], [frames], iou_above=0.4, weights=[3.0, 1.0])

    assert_same(found, shifted)


def test_what_one_fold_of_two_sees_counts_half():
    frames, truth = seen()
    blind = Seer(sure=-9.0)

    found = predict([blind, Seer()], [frames])

    assert_same(found, truth)
    np.testing.assert_allclose(found.score, 0.5 / (1 + np.exp(-3.0)), rtol=1e-6)
    assert len(predict([blind, Seer()], [frames], score_at_least=0.6)) == 0
    assert len(predict([blind, Seer()], [frames], fuse="nms", score_at_least=0.6)) == len(truth)


@pytest.fixture
def untrained():
    """A detector whose weights are such that it finds all kinds of things."""
    torch.manual_seed(3)
    model = Detector(DetectorConfig(width=8))
    for head in (model.heat[-1], model.told[-1]):
        nn.init.normal_(head.weight, std=0.5)
    nn.init.constant_(model.told[-1].bias, 2.0)
    return model


@pytest.mark.parametrize("fuse", ["wbf", "none"])
def test_what_is_found_does_not_depend_on_the_batch_or_the_pieces(untrained, fuse):
    frames = np.random.default_rng(2).integers(0, 256, (19, 45, 70, 3), dtype=np.uint8)
    whole = predict(untrained, [frames], batch=16, fuse=fuse, score_at_least=0.3)

    alone = predict(untrained, [frames], batch=1, fuse=fuse, score_at_least=0.3)
    pieces = (frames[a:b] for a, b in ((0, 3), (3, 3), (3, 19)))
    in_pieces = predict(untrained, pieces, batch=5, fuse=fuse, score_at_least=0.3)

    assert len(set(whole.image.tolist())) == 19
    for other in (alone, in_pieces):
        assert len(other) == len(whole) > 50
        for name, column in vars(whole).items():
            np.testing.assert_allclose(getattr(other, name), column, atol=1e-4, err_msg=name)


def test_twice_is_the_same_and_the_best_come_first(untrained):
    frames = np.random.default_rng(2).integers(0, 256, (3, 45, 70, 3), dtype=np.uint8)

    one, other = (predict(untrained, [frames], flip=True) for _ in range(2))

    assert all(np.array_equal(column, vars(other)[name]) for name, column in vars(one).items())
    assert (np.diff(one.image) >= 0).all()
    assert (np.diff(one.score)[np.diff(one.image) == 0] <= 0).all()


def test_no_frames_hold_nothing():
    assert len(predict(Seer(), [])) == 0


@pytest.mark.parametrize(
    ("models", "values", "what"),
    [([], {}, "no detectors"), ([0, 0], {"fuse": "none"}, "several views"),
     ([0], {"fuse": "none", "flip": True}, "several views"), ([0], {"fuse": "soft"}, "'soft'"),
     ([0], {"weights": [1.0, 1.0]}, "2 weights"), ([0], {"batch": 0}, "batch is 0")],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(models, values, what):
    with pytest.raises(ParameterError, match=rf"^predict: .*{what}.*expected"):
        predict([Seer() for _ in models], [seen()[0]], **values)


def test_what_is_not_frames_is_refused(untrained):
    with pytest.raises(DataError, match="expected uint8"):
        predict(untrained, np.zeros((4, 45, 70, 3), np.uint8))


def test_the_worst_frames_come_first():
    frames, truth = seen()
    needle = truth.xywh[(truth.image == 5) & (truth.label == NEEDLE)][0]
    unseen = Boxes.of(  # what lies where the other class is seen was not found either
        [2, 2, 5], [DRIVER, NEEDLE, DRIVER], [[0, 0, 9, 9], [60, 40, 9, 7], needle]
    )
    known = Boxes.joined([truth.take(truth.image != 3), unseen])

    failures = failures_in(Seer(sure=9.0), frames, known, np.arange(1, 7), batch=4)

    assert next(f.loss for f in failures if f.frame == 3) > failures[1].loss
    assert [f.frame for f in failures[:2]] == [2, 5]
    assert [f.missed for f in failures] == [2, 1, 0, 0, 0, 0]
    assert {f.frame: f.objects for f in failures} == {1: 2, 2: 4, 3: 0, 4: 2, 5: 3, 6: 0}
    assert {f.frame: f.invented for f in failures} == {1: 0, 2: 0, 3: 2, 4: 0, 5: 0, 6: 0}
    rest = [f.loss for f in failures[2:]]
    assert rest == sorted(rest, reverse=True)
