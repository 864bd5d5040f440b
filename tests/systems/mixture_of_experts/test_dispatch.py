"""Dispatch: three ways, one result; and what the fast one does and does not compute."""

import jaxtyping
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from assay.errors import ParameterError
from assay.systems.mixture_of_experts import dispatch
from assay.systems.mixture_of_experts.dispatch import (
    ExpertWeights,
    apply_experts,
    fastest,
    mix,
    padding,
)
from assay.systems.mixture_of_experts.padded import padded_experts
from assay.systems.mixture_of_experts.routing import RoutingPolicy, route

KERNELS = ("one_hot", "grouped", "padded")
POLICIES = {
    "dropless": RoutingPolicy(capacity_factor=None),
    "one choice": RoutingPolicy(choices=1, capacity_factor=None),
    "drops": RoutingPolicy(capacity_factor=0.5),
    "random": RoutingPolicy(second="random", capacity_factor=0.7),
}
KINDS = {
    "gelu with biases": ("gelu", False, True),
    "tanh gelu": ("gelu_new", False, False),
    "relu with biases": ("relu", False, True),
    "swiglu": ("silu", True, False),
    "geglu with biases": ("gelu", True, True),
}


class Case:
    """Tokens, their routing and experts, all with gradients."""

    def __init__(self, policy=POLICIES["drops"], kind="gelu with biases", *, tokens=70, experts=6,
                 width=16, inner=24, dtype=torch.float32):  # fmt: skip
        torch.manual_seed(0)
        activation, gated, bias = KINDS[kind]
        rows = 2 * inner if gated else inner

        def made(*shape):
            return torch.randn(*shape).to(dtype).requires_grad_()

        self.hidden = made(tokens, width)
        self.logits = torch.randn(tokens, experts).requires_grad_()
        self.routing = route(self.logits, policy, training=True)
        self.weights = ExpertWeights(
            made(experts, rows, width), made(experts, rows) if bias else None,
            made(experts, width, inner), made(experts, width) if bias else None,
            activation, gated,
        )  # fmt: skip
        self.target = torch.randn(tokens, width)

    def inputs(self):
        """What gradients are wanted for; the logits stand for the routing weights."""
        named = {"hidden": self.hidden, "logits": self.logits, **self.weights._asdict()}
        return {k: t for k, t in named.items() if isinstance(t, torch.Tensor)}

    def results(self, compute):
        """The output and all gradients."""
        out = compute(self)
        inputs = self.inputs()
        gradients = torch.autograd.grad(
            (out.float() * self.target).sum(), list(inputs.values()), retain_graph=True
        )
        return {"out": out.detach(), **dict(zip(inputs, gradients, strict=True))}


def by(kernel):
    return lambda case: mix(case.hidden, case.routing, case.weights, kernel)


def in_segments_of(multiple):
    def compute(case):
        r = case.routing
        dtype = case.weights.up.dtype
        return padded_experts(case.hidden, r.experts, r.weights, r.kept, case.weights,
                              dtype=dtype, multiple=multiple)  # fmt: skip

    return compute


def assert_alike(found, wanted, tolerance):
    """Equal within a share of the largest value."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        scale = value.abs().max().item() or 1.0
        torch.testing.assert_close(
            found[name], value, atol=tolerance * scale, rtol=0, check_dtype=False,
            msg=lambda m, name=name: f"{name}: {m}",
        )  # fmt: skip


# -- one result -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", POLICIES)
def test_the_kernels_agree_in_value_and_gradient(policy, kind):
    case = Case(POLICIES[policy], kind)
    wanted = case.results(by("one_hot"))

    assert wanted["logits"].any()
    for kernel in ("grouped", "padded"):
        assert_alike(case.results(by(kernel)), wanted, 1e-5)


def test_the_reference_is_the_sum_over_the_choices():
    case = Case(kind="swiglu")
    w, r = case.weights, case.routing

    def expert(e, x):
        gate, value = (x @ w.up[e].T).chunk(2)
        return (torch.nn.functional.silu(gate) * value) @ w.down[e].T

    wanted = torch.stack([
        sum(
            r.weights[t, j] * expert(r.experts[t, j], case.hidden[t])
            for j in range(2) if r.kept[t, j]
        ) + torch.zeros(16)
        for t in range(len(case.hidden))
    ])  # fmt: skip

    assert not r.kept.any(1).all()
    torch.testing.assert_close(mix(case.hidden, r, w, "one_hot"), wanted, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("multiple", [1, 4, 64])
def test_rows_that_fill_up_change_nothing(multiple):
    case = Case(experts=4)

    assert_alike(case.results(in_segments_of(multiple)), case.results(by("one_hot")), 1e-5)


def test_the_way_back_is_the_derivative():
    case = Case(kind="geglu with biases", tokens=7, experts=3, width=3, inner=2,
                dtype=torch.float64)  # fmt: skip
    shares = case.routing.weights.detach().double().requires_grad_()
    w = case.weights

    def function(hidden, shares, *tensors):
        weights = ExpertWeights(*tensors, w.activation, w.gated)
        r = case.routing
        return apply_experts(hidden, r.experts, shares, weights, kept=r.kept, kernel="padded")

    assert torch.autograd.gradcheck(function, (case.hidden, shares, *w[:4]))


def test_going_back_twice_gives_the_same():
    case = Case(kind="swiglu")
    out = mix(case.hidden, case.routing, case.weights, "padded").sum()
    once = torch.autograd.grad(out, list(case.inputs().values()), retain_graph=True)
    twice = torch.autograd.grad(out, list(case.inputs().values()))

    assert all(a.equal(b) for a, b in zip(once, twice, strict=True))


@pytest.mark.parametrize("kernel", KERNELS)
def test_widths_that_torch_has_no_grouped_product_for(kernel):
    case = Case(width=5, inner=7)

    assert_alike(case.results(by(kernel)), case.results(by("one_hot")), 1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_expert_without_tokens_has_a_gradient_of_zero(kernel):
    case = Case(POLICIES["dropless"], tokens=3, experts=40)
    unused = torch.ones(40, dtype=torch.bool)
    unused[case.routing.experts] = False

    found = case.results(by(kernel))

    for name in ("up", "up_bias", "down", "down_bias"):
        assert not found[name][unused].any()
        assert found[name][~unused].flatten(1).any(1).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("tokens", [0, 5])
def test_where_no_token_is_kept_there_is_nothing(kernel, tokens):
    case = Case(tokens=tokens)
    kept = torch.zeros_like(case.routing.kept)

    found = case.results(
        lambda case: mix(case.hidden, case.routing._replace(kept=kept), case.weights, kernel)
    )

    assert found["out"].shape == (tokens, 16)
    assert not any(value.any() for value in found.values())


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_pair_that_does_not_count_adds_nothing_whatever_its_weight(kernel):
    case = Case()
    shares = torch.rand(70, 2).requires_grad_()
    kept = torch.rand(70, 2) < 0.5

    found = apply_experts(case.hidden, case.routing.experts, shares, case.weights, kept=kept,
                          kernel=kernel)  # fmt: skip
    wanted = apply_experts(case.hidden, case.routing.experts, shares * kept, case.weights,
                           kernel=kernel)  # fmt: skip
    (gradient,) = torch.autograd.grad(found.sum(), shares)

    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-5)
    assert (gradient != 0).equal(kept)


@pytest.mark.parametrize("kernel", KERNELS)
def test_more_than_two_choices(kernel):
    case = Case()
    chosen = torch.rand(70, 6).topk(4).indices
    shares = torch.rand(70, 4)

    found = apply_experts(case.hidden, chosen, shares, case.weights, kernel=kernel)
    one_by_one = [
        apply_experts(case.hidden, chosen[:, j, None], shares[:, j, None], case.weights,
                      kernel="one_hot")
        for j in range(4)
    ]  # fmt: skip

    torch.testing.assert_close(found, sum(one_by_one), atol=1e-4, rtol=1e-5)


# -- precision ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
def test_in_bf16_the_result_is_that_of_fp32_but_for_rounding(kernel):
    wanted = Case(kind="swiglu").results(by("one_hot"))

    found = Case(kind="swiglu", dtype=torch.bfloat16).results(by(kernel))

    assert {t.dtype for k, t in found.items() if k != "logits"} == {torch.bfloat16}
    assert_alike(found, wanted, 2e-2)


@pytest.mark.parametrize("kind", ["swiglu", "gelu with biases"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_under_autocast_products_are_in_bf16_and_gradients_in_fp32(kernel, kind):
    case = Case(kind=kind)
    wanted = case.results(by("one_hot"))
    with Products() as seen, torch.autocast("cpu", torch.bfloat16):
        found = case.results(by(kernel))

    assert {t.dtype for t in found.values()} == {torch.float32}
    assert seen.dtypes == {torch.bfloat16}
    assert_alike(found, wanted, 2e-2)
    assert (found["out"] != wanted["out"]).any()


def test_hidden_states_in_bf16_are_computed_in_bf16_with_weights_in_fp32():
    case = Case()
    with Products() as seen:
        out = apply_experts(case.hidden.detach().bfloat16(), case.routing.experts,
                            case.routing.weights, case.weights, kernel="padded")  # fmt: skip

    assert out.dtype == torch.bfloat16
    assert seen.dtypes == {torch.bfloat16}


# -- what is computed -----------------------------------------------------------------------------


class Products(TorchDispatchMode):
    """The shapes and types of the matrix products while it is entered."""

    def __init__(self):
        super().__init__()
        self.shapes, self.dtypes = [], set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (
            torch.ops.aten.mm, torch.ops.aten.bmm, torch.ops.aten.addmm, torch.ops.aten._grouped_mm,
        ):  # fmt: skip
            left = args[1] if func.overloadpacket == torch.ops.aten.addmm else args[0]
            self.shapes.append(tuple(left.shape))
            self.dtypes.add(left.dtype)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", ["swiglu", "gelu with biases"])
def test_an_expert_without_tokens_costs_no_product(kind):
    case = Case(POLICIES["dropless"], kind, tokens=4, experts=50)
    used = len(case.routing.experts.unique())

    with Products() as seen:
        out = mix(case.hidden, case.routing, case.weights, "padded")
        assert len(seen.shapes) == 2 * used
        out.sum().backward()

    assert len(seen.shapes) == 6 * used


def test_in_bf16_products_have_few_shapes_whatever_the_routing():
    shapes = set()
    for tokens in range(90, 130):
        case = Case(POLICIES["dropless"], tokens=tokens, experts=4, dtype=torch.bfloat16)
        with Products() as seen, torch.no_grad():
            mix(case.hidden, case.routing, case.weights, "padded")
        shapes |= {shape[0] for shape in seen.shapes}

    assert shapes == {64, 128}


def test_segments_with_few_tokens_are_padded_to_a_power_of_two():
    for tokens, rows in ((1, 1), (3, 4), (33, 64), (64, 64), (65, 128)):
        case = Case(POLICIES["one choice"], tokens=tokens, dtype=torch.bfloat16)
        chosen = torch.zeros(tokens, 1, dtype=torch.int64)
        with Products() as seen, torch.no_grad():
            apply_experts(case.hidden, chosen, chosen + 1.0, case.weights, kernel="padded")
        assert [shape[0] for shape in seen.shapes] == [rows, rows]


def test_padding_is_for_low_precision_and_less_for_many_experts():
    assert padding(torch.float32, 8) == 1
    assert padding(torch.bfloat16, 8) == 64
    assert padding(torch.bfloat16, 32) == 32


@pytest.mark.parametrize(
    ("device", "dtype", "training", "kernel"),
    [
        ("cpu", torch.bfloat16, True, "padded"),
        ("cpu", torch.bfloat16, False, "padded"),
        ("cpu", torch.float32, True, "padded"),
        ("cpu", torch.float32, False, "grouped"),
        ("cuda", torch.bfloat16, True, "grouped"),
    ],
)
def test_the_kernel_goes_by_device_precision_and_way_back(device, dtype, training, kernel):
    assert fastest(device, dtype, training) == kernel


@pytest.mark.parametrize(
    ("graded", "training"), [(torch.no_grad, False), (torch.enable_grad, True)]
)
def test_what_is_taken_is_asked_for_once(graded, training, monkeypatch):
    asked = []
    monkeypatch.setattr(dispatch, "fastest", lambda *a: asked.append(a) or "one_hot")
    case = Case()

    with graded():
        out = mix(case.hidden, case.routing, case.weights)

    assert asked == [("cpu", torch.float32, training)]
    assert out.equal(mix(case.hidden, case.routing, case.weights, "one_hot"))


def test_a_kernel_or_activation_that_is_not_known_is_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    case = Case()

    with pytest.raises(ParameterError, match="the kernel 'sorted'; expected one of"):
        mix(case.hidden, case.routing, case.weights, "sorted")
    with pytest.raises(ParameterError, match="the activation 'mish'; expected one of"):
        mix(case.hidden, case.routing, case.weights._replace(activation="mish"))
