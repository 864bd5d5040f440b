"""Learned critics on disk."""

import json

import numpy as np
import pytest
import torch

from assay.errors import DataError
from assay.systems.policy_composition.agents import (
    Agent,
    Configuration,
    load_agent,
    new_network,
    save_agent,
)

OF = Configuration(
    task="top", observations=2, low=(-1.0, -2.0), high=(1.0, 2.0), width=8, depth=2, scale=3.0,
    trained={"seed": 4},
)  # fmt: skip


@pytest.fixture
def agent():
    torch.manual_seed(1)
    return Agent(new_network(OF), OF)


def test_what_is_written_is_read(agent, tmp_path):
    save_agent(tmp_path / "a", agent)
    again = load_agent(tmp_path / "a")
    states = np.random.default_rng(0).uniform(-9, 9, (5, 2))

    assert again.of == OF
    assert np.array_equal(again.level(1.0).values(states), agent.level(1.0).values(states))
    assert sorted(f.name for f in (tmp_path / "a").iterdir()) == [
        "config.json", "model.safetensors",
    ]  # fmt: skip


def test_it_is_a_level_with_the_name_of_its_task_and_its_box(agent):
    level = agent.level(0.5, per_axis=3)

    assert (level.name, level.epsilon) == ("top", 0.5)
    assert level.actions.low == (-1.0, -2.0)
    assert level.values(np.zeros((4, 2))).shape == (4, 9)
    assert agent.level(0.5, actions=level.actions).actions is level.actions


def _spoil(**changed):
    def spoil(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changed))

    return spoil


def _pickled(folder):
    torch.save(new_network(OF).state_dict(), folder / "model.safetensors")


def _not_finite(folder):
    from safetensors.torch import save_file

    net = new_network(OF)
    with torch.no_grad():
        net.out.bias[0] = torch.nan
    save_file(net.state_dict(), folder / "model.safetensors")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda folder: (folder / "config.json").unlink(), "No such file"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: (folder / "config.json").write_text("[]"), "[(]."),
        (_spoil(model_type="bert"), "a bert of format 1"),
        (_spoil(width=9), "size mismatch|Error"),
        (_spoil(depth=0), "[(]."),
        (_spoil(low=[1.0, 2.0]), "a box from"),
        (_spoil(colour="red"), "colour"),
        (_pickled, "[(]."),
        (_not_finite, "numbers of out.bias are not finite"),
    ],
)
def test_anything_else_is_refused_in_one_line(agent, tmp_path, spoil, why):
    save_agent(tmp_path, agent)
    spoil(tmp_path)

    with pytest.raises(DataError, match=why) as refused:
        load_agent(tmp_path)
    text = str(refused.value)
    assert text.startswith(f"{tmp_path}: holds no learned critic (")
    assert "expected config.json and model.safetensors as save_agent writes them" in text
    assert "\n" not in text
