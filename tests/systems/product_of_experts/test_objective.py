"""The objective against its formula, and its optimum against the closed form."""

import math

import jaxtyping
import pytest
import torch
from torch import nn

from assay.errors import DataError, ParameterError
from assay.parts.latent.gaussians import kl_to_standard, log_density
from assay.systems.product_of_experts.fusion import WEIGHTINGS
from assay.systems.product_of_experts.model import FusionModel, Seen, sensor_model
from assay.systems.product_of_experts.objective import (
    Objective,
    beta_at,
    gaussian_nll,
    loss,
    segmentation_nll,
)

SIZES = {"left": 3, "right": 5}
STATE = torch.tensor([[0.5, -1.0], [2.0, 0.0], [0.0, 0.0]])


def model_of(weighting: str = "learned") -> FusionModel:
    torch.manual_seed(1)
    return sensor_model(SIZES, latent=2, width=8, weighting=weighting, prior="fixed")


def seen(present: torch.Tensor | None = None) -> Seen:
    random = torch.Generator().manual_seed(0)
    return Seen({n: torch.randn(3, size, generator=random) for n, size in SIZES.items()}, present)


def certain(objective: Objective, weighting: str = "poe", **values) -> float:
    """The objective of a model whose belief is N(1, e^-8), so sure that its draws hardly vary."""
    model = FusionModel(
        {"a": Says(1.0, -8.0)}, {}, {"state": nn.Identity(), "twice": Twice()}, latent=2,
        weighting=weighting,
    )  # fmt: skip
    shown = Seen({"a": torch.zeros(1, 1)})
    return loss(model, shown, values["wanted"], objective).total.item()


class Says(nn.Module):
    def __init__(self, mean, logvar):
        super().__init__()
        self.said = nn.Parameter(torch.tensor([mean, mean, logvar, logvar]))

    def forward(self, values):
        return self.said.expand(len(values), 4)


class Twice(nn.Module):
    def forward(self, values):
        return 2.0 * values


def test_it_is_the_weighted_sum_of_the_nlls_and_beta_times_the_divergence():
    objective = Objective(
        outputs={"state": gaussian_nll(1.0), "twice": gaussian_nll(2.0)},
        output_weights={"twice": 0.5},
        beta=3.0,
    )
    wanted = {"state": torch.zeros(1, 2), "twice": torch.zeros(1, 2)}
    half_log = 0.5 * math.log(2 * math.pi)
    state = 2 * (0.5 * 1.0 + half_log)
    twice = 2 * (0.5 * (2.0 / 2.0) ** 2 + math.log(2.0) + half_log)
    divergence = 2 * 0.5 * (math.exp(-8) + 8 - 1 + 1)

    found = certain(objective, wanted=wanted)

    assert found == pytest.approx(state + 0.5 * twice + 3.0 * divergence, abs=0.2)


def test_the_likelihood_is_the_density_of_the_state_under_the_belief():
    model, present = model_of(), torch.tensor([[1, 1, 0], [1, 0, 1]]).bool()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    belief = model.belief(seen(present)).gaussian

    found = loss(model, seen(present), {"state": STATE}, Objective(kind="likelihood"))

    assert found.total.item() == pytest.approx(-log_density(belief, STATE).sum().item(), rel=1e-5)
    assert found.count == 3


def test_terms_of_single_modalities_are_those_of_the_model_without_the_others():
    model = model_of("learned")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    rows = [[1, 1], [1, 0], [0, 1]]  # both, then each alone
    parts = [
        loss(model, seen(torch.tensor(row).bool()[:, None].expand(2, 3)), {"state": STATE},
             Objective(kind="likelihood")).total.item()
        for row in rows
    ]  # fmt: skip

    found = loss(model, seen(), {"state": STATE}, Objective(kind="likelihood", unimodal=True))

    assert found.total.item() == pytest.approx(sum(parts), rel=1e-5)


def test_a_sample_without_any_modality_costs_nothing():
    nothing = torch.zeros(2, 3, dtype=torch.bool)

    found = loss(model_of(), seen(nothing), {"state": STATE}, Objective(kind="likelihood"))

    assert found.total.item() == 0.0


def test_random_subsets_are_terms_of_their_own_and_come_from_torchs_seed():
    objective = Objective(kind="likelihood", random_subsets=2)
    model = model_of()

    def once(seed):
        torch.manual_seed(seed)
        return loss(model, seen(), {"state": STATE}, objective).total.item()

    assert once(0) == once(0)
    plain = loss(model, seen(), {"state": STATE}, Objective(kind="likelihood")).total.item()
    assert any(once(seed) > plain + 1e-3 for seed in range(5))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("kind", ["elbo", "likelihood"])
def test_every_weighting_has_a_finite_gradient_even_where_nothing_is_there(weighting, kind):
    outputs = {"state": gaussian_nll(0.2)} if kind == "elbo" else {}
    objective = Objective(kind=kind, outputs=outputs, unimodal=True, random_subsets=1)
    model, present = model_of(weighting), torch.tensor([[1, 0, 0], [1, 1, 0]]).bool()

    loss(model, seen(present), {"state": STATE}, objective).total.backward()

    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert any(p.grad is not None and p.grad.any() for p in model.encoders.parameters())


def test_the_elbo_of_a_mixture_weighs_its_components():
    """Of two modalities that say N(1, .) and N(-1, .): the mean of what each would cost alone."""
    objective = Objective(outputs={"state": gaussian_nll(1.0)})
    nets = {"a": Says(1.0, -8.0), "b": Says(-3.0, -8.0)}
    wanted, shown = {"state": torch.zeros(1, 2)}, torch.zeros(1, 1)

    def cost(names, weighting):
        model = FusionModel({n: nets[n] for n in names}, {}, {"state": nn.Identity()}, latent=2,
                            weighting=weighting)  # fmt: skip
        return loss(model, Seen(dict.fromkeys(names, shown)), wanted, objective).total.item()

    assert cost("ab", "moe") == pytest.approx((cost("a", "poe") + cost("b", "poe")) / 2, abs=0.3)


@pytest.mark.parametrize("weighting", ["moe", "mopoe"])
def test_one_component_of_a_mixture_costs_what_all_do_on_average(weighting):
    model, many = model_of(weighting), 4000
    with torch.no_grad():  # the last layers begin at 0, where all components are alike
        for values in model.parameters():
            values.add_(0.5 * torch.randn_like(values))
    shown = Seen({name: torch.randn(1, size).expand(many, size) for name, size in SIZES.items()})
    wanted = {"state": torch.tensor([[0.5, -1.0]]).expand(many, 2)}
    calls = []
    model.decoders["state"].register_forward_hook(lambda net, given, _: calls.append(given[0]))

    all_of, one_of = (
        loss(
            model, shown, wanted,
            Objective(outputs={"state": gaussian_nll(1.0)}, one_component=one, unimodal=True),
        ).total.item() / many
        for one in (False, True)
    )  # fmt: skip

    assert one_of == pytest.approx(all_of, rel=0.02)
    count = len(calls) // 2
    assert [len(given) for given in calls[count:]] == [1] * count
    assert max(len(given) for given in calls[:count]) == {"moe": 2, "mopoe": 3}[weighting]


def test_the_elbo_asks_for_a_variance_that_the_modalities_do_not_change():
    """v / (1 + v), the minimum over the belief's variance of the expected loss, by search."""
    v = 0.3**2
    variances = torch.logspace(-4, 1, 4001, dtype=torch.float64)
    for spread in (0.1, 1.0):  # what is not known of the state, whatever its size
        cost = (spread + variances) / (2 * v) + 0.5 * (variances - variances.log())
        best = variances[cost.argmin()].item()

        assert best == pytest.approx(v / (1 + v), rel=5e-3)

    belief = model_of().belief(seen()).gaussian
    assert kl_to_standard(belief).shape == (3,)


# -- warm-up, outputs ----------------------------------------------------------------------------


def test_beta_rises_in_a_line_and_stays():
    objective = Objective(beta=4.0, beta_warm_up=0.25)

    assert [beta_at(step, 16, objective) for step in range(6)] == [1, 2, 3, 4, 4, 4]
    assert beta_at(0, 16, Objective(beta=4.0)) == 4.0


def test_the_nll_of_numbers_is_that_of_torch():
    found, wanted = torch.randn(1, 4, 3), torch.randn(1, 4, 3)
    variance = torch.full_like(found, 0.49)

    score = nn.GaussianNLLLoss(full=True, reduction="none")
    expected = score(found, wanted, variance).sum(-1)

    assert torch.allclose(gaussian_nll(0.7)(found, wanted), expected, atol=1e-5)


def test_the_nll_of_a_mask_is_cross_entropy_and_soft_dice_by_hand():
    logits = torch.log(torch.tensor([0.75, 0.25]))[None, None, :, None, None].expand(1, 1, 2, 1, 2)
    mask = torch.tensor([[[[0, 1]]]])  # one pixel of each class

    plain = segmentation_nll()(logits, mask).item()
    both = segmentation_nll(dice=2.0)(logits, mask).item()

    assert plain == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)
    # class 0: 1 - 2 x .75 / (1.5 + 1) = .4; class 1: 1 - 2 x .25 / (.5 + 1) = 2/3
    assert both - plain == pytest.approx(2.0 * (0.4 + 2 / 3) / 2, abs=1e-6)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"kind": "likelyhood"}, "kind"),
        ({"beta": -1.0}, "beta"),
        ({"beta_warm_up": 1.0}, "beta_warm_up"),
        ({"random_subsets": -1}, "random_subsets"),
        ({"output_weights": {"mask": 1.0}}, "output_weights"),
    ],
)
def test_what_is_out_of_range_is_named(monkeypatch, values, name):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside the tests
    with pytest.raises(ParameterError, match=f"objective.{name}"):
        Objective(**values)


def test_an_output_that_nothing_decodes_or_nobody_gave_is_named():
    of_mask = Objective(outputs={"mask": gaussian_nll(1.0)})
    with pytest.raises(ParameterError, match=r"objective.outputs: 'mask' is refused; expected sta"):
        loss(model_of(), seen(), {"mask": STATE}, of_mask)
    for objective in (Objective(outputs={"state": gaussian_nll(1.0)}), Objective("likelihood")):
        with pytest.raises(DataError, match="wanted: no 'state'"):
            loss(model_of(), seen(), {}, objective)
