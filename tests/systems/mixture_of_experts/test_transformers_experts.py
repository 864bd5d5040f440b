"""Our dispatch in the mixtures of transformers, beside their own."""

import pytest
import torch
from transformers import (
    GptOssConfig,
    GptOssForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    OlmoeConfig,
    OlmoeForCausalLM,
)
from transformers.integrations.moe import use_experts_implementation

from assay.errors import ParameterError
from assay.systems.mixture_of_experts import dispatch
from assay.systems.mixture_of_experts.transformers_experts import NAME, assay_experts

SHAPE = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 2, "pad_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
IDS = torch.randint(3, 96, (3, 24), generator=torch.Generator().manual_seed(0))


def mixtral(experts=8):
    torch.manual_seed(0)
    return MixtralForCausalLM(MixtralConfig(num_local_experts=experts, **SHAPE))


def olmoe(experts=8):
    torch.manual_seed(0)
    return OlmoeForCausalLM(OlmoeConfig(num_experts=experts, num_experts_per_tok=4, **SHAPE))


def loss_and_gradients(model, implementation):
    model.set_experts_implementation(implementation)
    model.zero_grad()
    loss = model(IDS, labels=IDS).loss
    loss.backward()
    return loss.item(), {n: p.grad for n, p in model.named_parameters()}


@pytest.mark.parametrize("kernel", ["grouped", "padded"])
@pytest.mark.parametrize("model", [mixtral(), mixtral(32), olmoe()], ids=["8", "32", "top 4 of 8"])
def test_loss_and_gradients_are_those_of_their_eager_experts(model, kernel, monkeypatch):
    monkeypatch.setattr(dispatch, "fastest", lambda *a: kernel)

    wanted, wanted_gradients = loss_and_gradients(model, "eager")
    found, gradients = loss_and_gradients(model, NAME)

    assert found == pytest.approx(wanted, abs=1e-6)
    for name, gradient in wanted_gradients.items():
        torch.testing.assert_close(gradients[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_training_takes_the_same_road():
    losses = {}
    for implementation in ("eager", NAME):
        model = mixtral()
        model.set_experts_implementation(implementation)
        adamw = torch.optim.AdamW(model.parameters(), lr=1e-3)
        losses[implementation] = []
        for step in range(4):
            adamw.zero_grad()
            loss = model(IDS.roll(step, 1), labels=IDS.roll(step, 1)).loss
            loss.backward()
            adamw.step()
            losses[implementation].append(loss.item())

    assert losses[NAME] == pytest.approx(losses["eager"], abs=1e-6)
    assert losses[NAME][-1] < losses[NAME][0]


class Experts(torch.nn.Module):
    """Experts in transformers' manner, without gates and with biases."""

    def __init__(self, config):
        super().__init__()
        self.num_experts = 4
        self.up_proj = torch.nn.Parameter(torch.randn(4, 12, 8))
        self.up_proj_bias = torch.nn.Parameter(torch.randn(4, 12))
        self.down_proj = torch.nn.Parameter(torch.randn(4, 8, 12))
        self.down_proj_bias = torch.nn.Parameter(torch.randn(4, 8))
        self.act_fn = torch.nn.ReLU()

    def forward(self, hidden, experts, weights):
        raise NotImplementedError


def test_experts_without_gates_and_with_biases_are_those_of_their_grouped_mm():
    torch.manual_seed(0)
    config = MixtralConfig(**SHAPE)
    experts = use_experts_implementation(Experts, has_gate=False, has_bias=True)(config)
    hidden, weights = torch.randn(20, 8), torch.rand(20, 2)
    chosen = torch.rand(20, 4).topk(2).indices

    config._experts_implementation = "grouped_mm"
    wanted = experts(hidden, chosen, weights)
    config._experts_implementation = NAME
    found = experts(hidden, chosen, weights)

    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_experts_that_are_elsewhere_add_nothing():
    experts = mixtral().model.layers[0].mlp.experts
    hidden, weights = torch.randn(6, 32), torch.rand(6, 2)
    chosen = torch.rand(6, 8).topk(2).indices

    alone = assay_experts(experts, hidden, chosen[:, :1], weights[:, :1])
    chosen[:, 1] = 8  # one past the last
    experts._is_expert_parallel = True

    torch.testing.assert_close(assay_experts(experts, hidden, chosen, weights), alone)


def test_what_lies_otherwise_is_refused():
    config = GptOssConfig(num_local_experts=4, head_dim=16, **SHAPE)
    config.layer_types = config.layer_types[:2]
    model = GptOssForCausalLM(config)
    model.set_experts_implementation(NAME)

    with pytest.raises(ParameterError, match=r"GptOssExperts.*other way round.*grouped_mm"):
        model(IDS)


def test_another_activation_is_refused():
    model = MixtralForCausalLM(MixtralConfig(num_local_experts=2, hidden_act="mish", **SHAPE))
    model.set_experts_implementation(NAME)

    with pytest.raises(ParameterError, match="its activation is Mish"):
        model(IDS)
