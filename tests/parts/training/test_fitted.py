"""The curve of a training run."""

import numpy as np

from assay.parts.training.fitted import Fitted


def test_a_point_is_the_mean_over_tokens_and_not_over_steps():
    fitted = Fitted(
        losses=np.array([1.0, 3.0, 5.0]), counts=np.array([1, 3, 4]),
        step_flops=np.array([10, 30, 40]), seconds=1.0, parameters=7, precision="fp32",
    )  # fmt: skip
    rows = fitted.records(points=2).frame().pivot_table("value", "training_step", "measure")

    assert rows["training_loss"].to_dict() == {2: 2.5, 3: 5.0}
    assert rows["training_tokens"].to_dict() == {2: 4, 3: 8}
    assert rows["training_flops"].to_dict() == {2: 40, 3: 80}
    assert (fitted.tokens, fitted.flops) == (8, 80)
    assert len(fitted.records(points=99)) == 1 + 3 * 3
