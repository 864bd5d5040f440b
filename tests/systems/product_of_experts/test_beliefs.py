"""Beliefs of anybody's encoders, joined in a workflow of their own."""

import numpy as np
import pytest

from assay import Study, Workflow, component
from assay.errors import DataError, ParameterError
from assay.systems.product_of_experts.beliefs import Belief, fuse_beliefs


def belief(name="eye", mean=0.0, sd=1.0, **others):
    return Belief(name, np.full((2, 3), mean), np.full((2, 3), sd), **others)


def test_a_product_adds_precisions_and_a_prior_counts_as_one():
    """Precisions 1 and 1/4; with the prior another 1 about 0."""
    plain = fuse_beliefs([belief(), belief("ear", 3.0, 2.0)])
    with_prior = fuse_beliefs([belief(), belief("ear", 3.0, 2.0)], prior="fixed")

    np.testing.assert_allclose(plain.mean, 0.75 / 1.25)
    np.testing.assert_allclose(plain.sd, 1.25**-0.5)
    np.testing.assert_allclose(with_prior.mean, 0.75 / 2.25)
    np.testing.assert_allclose(with_prior.prior_share, 1 / 2.25)
    np.testing.assert_allclose(with_prior.share.sum(0) + with_prior.prior_share, 1.0)


def test_scores_are_logits_of_weights():
    sure = np.full((2, 3), np.log(3.0))
    said = [belief(score=sure), belief("ear", 4.0, score=np.zeros((2, 3)))]

    found = fuse_beliefs(said, weighting="learned")

    np.testing.assert_allclose(found.weight, [np.full((2, 3), 0.75), np.full((2, 3), 0.25)])
    np.testing.assert_allclose(found.mean, 1.0)


def test_what_a_missing_modality_says_is_not_looked_at():
    lost = np.array([True, False])
    ear = Belief("ear", np.array([[2.0], [np.nan]]), np.array([[1.0], [0.0]]), present=lost)

    found = fuse_beliefs([Belief("eye", np.zeros((2, 1)), np.ones((2, 1))), ear])

    np.testing.assert_allclose(found.mean, [[1.0], [0.0]])
    np.testing.assert_allclose(found.share[1], [[0.5], [0.0]])


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([belief()], r"beliefs of \['eye', 'eye'\]"),
        (
            [Belief("ear", np.zeros((1, 3)), np.ones((1, 3)))],
            r"'ear': present of shape",
        ),
        ([Belief("ear", np.zeros((2, 1)), np.ones((2, 1)))], r"'ear'.*mean of shape \(2, 1\)"),
        ([belief("ear", np.nan)], "'ear': sample 0, dimension 0: mean is nan"),
        ([belief("ear", sd=0.0)], "'ear': sample 0, dimension 0: sd is 0; expected above 0"),
        ([belief("ear", present=np.ones(3, bool))], r"'ear'.*present of shape \(3,\)"),
        ([belief("ear", score=np.zeros((2, 3)))], "'ear'.*a score of some modalities only"),
    ],
)
def test_beliefs_that_do_not_fit_are_named(others, said):
    with pytest.raises(DataError, match=said):
        fuse_beliefs([belief(), *others])


def test_nobody_and_weights_without_scores_are_refused():
    with pytest.raises(DataError, match="one or more"):
        fuse_beliefs([])
    with pytest.raises(ParameterError, match="scores"):
        fuse_beliefs([belief(), belief("ear")], weighting="learned")


@component
def look(*, name: str, sd: float) -> Belief:
    return Belief(name, np.array([[1.0]]), np.array([[sd]]))


def test_encoders_of_ones_own_are_gathered_in_a_workflow(tmp_path):
    flow = Workflow("mine")
    parts = [flow.step(name, look, name=name, sd=sd) for name, sd in (("eye", 1.0), ("ear", 2.0))]
    flow.step("joint", fuse_beliefs, beliefs=parts)

    run = Study(flow).run(workers=0, store=tmp_path, progress=False)

    shares = run.records[run.records["measure"] == "share"].set_index("modality")["value"]
    assert shares.round(6).to_dict() == {"eye": 0.8, "ear": 0.2}
