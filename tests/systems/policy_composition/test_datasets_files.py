"""Readers of Minari folders, D4RL files and buffers, on files written by hand here."""

import json

import h5py
import numpy as np
import pytest
from gymnasium import spaces

from assay.errors import DataError
from assay.systems.policy_composition.datasets import combined, from_episode
from assay.systems.policy_composition.datasets_flat import read_d4rl, read_npz, write_npz
from assay.systems.policy_composition.datasets_minari import (
    minari_folder,
    read_minari,
    write_minari,
)

BOX, MOVES = spaces.Box(-10.0, 10.0, (2,), np.float64), spaces.Discrete(5)
METADATA = {
    "total_episodes": 11, "total_steps": 33, "data_format": "hdf5", "jpeg_encoding": True,
    "observation_space": '{"type": "Box", "dtype": "float64", "shape": [2], "low": [-10.0, -10.0],'
    ' "high": [10.0, 10.0]}',
    "action_space": '{"type": "Discrete", "dtype": "int64", "start": 0, "n": 5}',
    "dataset_id": "point/nav-v0", "minari_version": "0.5.4",
}  # fmt: skip
"""As Minari 0.5.4 writes them, spaces as JSON in strings."""


def minari(tmp_path, change=lambda file, metadata: None):
    """Eleven episodes of three steps, laid out as by Minari; the even ones terminate."""
    data, metadata = tmp_path / "nav-v0" / "data", dict(METADATA)
    data.mkdir(parents=True)
    with h5py.File(data / "main_data.hdf5", "w", track_order=True) as file:
        for k in range(11):
            group = file.create_group(f"episode_{k}")
            group["observations"] = k + np.arange(8.0).reshape(4, 2) / 10
            group["actions"] = np.array([k % 5, 1, 2])
            group["rewards"] = -k - np.arange(3.0)
            group["terminations"] = np.array([False, False, k % 2 == 0])
            group["truncations"] = np.array([False, False, k % 2 == 1])
            group["infos/rewards"] = 100 * k + np.arange(8.0).reshape(4, 2)
        change(file, metadata)
    (data / "metadata.json").write_text(json.dumps(metadata))
    return tmp_path / "nav-v0"


def same(one, other):
    for name in ("states", "actions", "rewards", "next_states", "terminated", "truncated"):
        assert (getattr(one, name) == getattr(other, name)).all(), name
        assert getattr(one, name).dtype == getattr(other, name).dtype, name
    assert (one.episode == other.episode).all()
    assert one.tasks == other.tasks


def made():
    rng = np.random.default_rng(0)
    parts = [
        from_episode(
            rng.normal(size=(n + 1, 2)), rng.integers(0, 5, n), rng.normal(size=(n, 2)),
            terminated=n == 3, tasks=("obstacle", "top"),
        )
        for n in (3, 1, 5)
    ]  # fmt: skip
    return combined(parts)


def test_a_minari_folder_is_read_episode_by_episode_in_the_order_of_their_numbers(tmp_path):
    found = read_minari(minari(tmp_path))

    assert (len(found), found.episodes, found.tasks) == (33, 11, ("reward",))
    assert found.states[30:].tolist() == [[10.0, 10.1], [10.2, 10.3], [10.4, 10.5]]
    assert found.next_states[30:].tolist() == [[10.2, 10.3], [10.4, 10.5], [10.6, 10.7]]
    assert found.actions[-3:].tolist() == [0, 1, 2]
    assert found.reward("reward")[-3:].tolist() == [-10, -11, -12]
    assert np.flatnonzero(found.terminated).tolist() == [2, 8, 14, 20, 26, 32]
    assert np.flatnonzero(found.truncated).tolist() == [5, 11, 17, 23, 29]


def test_rewards_of_infos_begin_after_that_of_the_reset(tmp_path):
    found = read_minari(minari(tmp_path) / "data", reward_info="rewards", tasks=["a", "b"])

    assert found.rewards[3:6].tolist() == [[102, 103], [104, 105], [106, 107]]
    assert found.tasks == ("a", "b")
    assert read_minari(tmp_path / "nav-v0", reward_info="rewards").tasks == ("reward 1", "reward 2")


def test_minari_round_trip(tmp_path):
    written = made()
    write_minari(written, tmp_path / "a" / "v-v0", observation_space=BOX, action_space=MOVES)
    alone = written.relabelled({"x": lambda s, a, n: n[:, 0]})
    write_minari(alone, tmp_path / "x-v0", observation_space=BOX, action_space=MOVES, name="p/x-v0")

    same(read_minari(tmp_path / "a" / "v-v0"), written)
    same(read_minari(tmp_path / "x-v0"), alone)
    with h5py.File(tmp_path / "x-v0" / "data" / "main_data.hdf5") as file:
        assert {n: v.shape for n, v in file["episode_2"].items()} == {
            "observations": (6, 2), "actions": (5,), "rewards": (5,),
            "terminations": (5,), "truncations": (5,),
        }  # fmt: skip
    metadata = json.loads((tmp_path / "x-v0" / "data" / "metadata.json").read_text())
    assert metadata["dataset_id"] == "p/x-v0"
    for name in ("data_format", "minari_version", "action_space", "observation_space"):
        assert metadata[name] == METADATA[name]
    assert (metadata["total_episodes"], metadata["total_steps"]) == (3, 9)


def test_minari_is_written_whole_or_not_at_all(tmp_path):
    written = made()
    with pytest.raises(DataError, match="a space MultiBinary"):
        write_minari(
            written, tmp_path / "v", observation_space=BOX, action_space=spaces.MultiBinary(2)
        )
    with pytest.raises(DataError, match="episode 2, step 0: the next state is not the state"):
        write_minari(
            written.kept(np.arange(9) != 5), tmp_path / "v", observation_space=BOX,
            action_space=MOVES,
        )  # fmt: skip
    assert not list(tmp_path.iterdir())
    write_minari(written, tmp_path / "v", observation_space=BOX, action_space=MOVES)
    with pytest.raises(DataError, match="is there already"):
        write_minari(written, tmp_path / "v", observation_space=BOX, action_space=MOVES)
    assert [p.name for p in tmp_path.iterdir()] == ["v"]


def set_value(name, value):
    def change(file, metadata):
        if name in metadata:
            metadata[name] = value
        else:
            del file[name]
            for below, array in (value if isinstance(value, dict) else {"": value}).items():
                if array is not None:
                    file[f"{name}/{below}".rstrip("/")] = array

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [(set_value("data_format", "arrow"), "metadata.json: data in the format 'arrow'"),
     (set_value("total_episodes", None), "no Minari metadata"),
     (set_value("total_episodes", 0), "no episode"),
     (set_value("action_space", "{"), "no Minari metadata"),
     (set_value("episode_4", None), "episode 4: no 'episode_4'"),
     (set_value("episode_4/rewards", None), "episode 4: no 'rewards'"),
     (set_value("episode_4/rewards", np.zeros(2)), "episode 4: 4 observations, 3 actions and 2"),
     (set_value("episode_4/rewards", [0, np.nan, 0]), "episode 4, step 1: rewards hold nan"),
     (set_value("episode_4/observations", np.zeros((4, 3))), "episode 4, observation_space: val"),
     (set_value("episode_4/observations", {"x": np.zeros(4)}), "observations are a group of x"),
     (set_value("episode_4/actions", ["a", "b", "c"]), "episode 4: actions are object"),
     (set_value("episode_4/terminations", [True, False, True]), "1 of them set before the end")],
)  # fmt: skip
def test_a_minari_folder_that_is_none_is_refused_in_a_line(tmp_path, change, said):
    folder = minari(tmp_path, change)
    with pytest.raises(DataError, match=said) as error:
        read_minari(folder)
    assert "\n" not in str(error.value)


def test_an_episode_with_both_flags_has_terminated(tmp_path):
    found = read_minari(minari(tmp_path, set_value("episode_4/truncations", [False, False, True])))

    assert (found.terminated[14], found.truncated[14]) == (True, False)


def test_a_folder_without_minari_or_with_damage_is_refused(tmp_path):
    with pytest.raises(DataError, match="no Minari metadata"):
        read_minari(tmp_path)
    folder = minari(tmp_path)
    (folder / "data" / "main_data.hdf5").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"main_data.hdf5: cannot be read; expected an HDF5 file"):
        read_minari(folder)
    with pytest.raises(DataError, match=r"infos: no 'cost'. Known: rewards"):
        read_minari(minari(tmp_path / "more"), reward_info="cost")


def test_minari_datasets_lie_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    assert minari_folder("point/nav-v0") == tmp_path / "point" / "nav-v0"
    monkeypatch.delenv("MINARI_DATASETS_PATH")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert minari_folder("a-v1") == tmp_path / ".minari" / "datasets" / "a-v1"


def d4rl(path, **arrays):
    """Eight steps: one episode that terminates, one that is timed out, one that goes on."""
    flat = {
        "observations": np.arange(16.0).reshape(8, 2), "actions": np.arange(8.0)[:, None],
        "rewards": -np.arange(8.0),
        "terminals": np.array([0, 0, 1, 0, 0, 0, 0, 0], bool),
        "timeouts": np.array([0, 0, 0, 0, 0, 1, 0, 0], bool), "infos/qpos": np.zeros((8, 2)),
    }  # fmt: skip
    with h5py.File(path, "w") as file:
        for name, value in (flat | arrays).items():
            if value is not None:
                file[name] = value
    return path


def test_a_flat_file_is_split_at_terminals_and_timeouts(tmp_path):
    """Steps 5 and 7 were cut off and what came after them is not in the file."""
    found = read_d4rl(d4rl(tmp_path / "flat.hdf5"))

    assert found.states[:, 0].tolist() == [0, 2, 4, 6, 8, 12]
    assert found.next_states[:, 0].tolist() == [2, 4, 4, 8, 10, 14]
    assert found.episode.tolist() == [0, 0, 0, 1, 1, 2]
    assert found.terminated.tolist() == [False, False, True, False, False, False]
    assert found.continues.tolist() == [1, 1, 0, 1, 1, 1]


def test_with_next_observations_every_step_counts(tmp_path):
    after = np.arange(16.0).reshape(8, 2) + 0.5
    found = read_d4rl(d4rl(tmp_path / "flat.hdf5", next_observations=after))

    assert (found.next_states == after).all()
    assert np.flatnonzero(found.truncated).tolist() == [5, 7]
    assert found.continues.tolist() == [1, 1, 0, 1, 1, 1, 1, 1]


def test_rewards_of_several_tasks_are_taken_from_any_array(tmp_path):
    costs = np.arange(16.0).reshape(8, 2)
    path = d4rl(tmp_path / "flat.hdf5", **{"infos/cost": costs, "terminals": None})
    found = read_d4rl(path, reward="infos/cost", tasks=["a", "b"])

    assert found.reward("b").tolist() == [1, 3, 5, 7, 9, 13]
    assert found.episode.tolist() == [0, 0, 0, 0, 0, 1]


def test_a_step_that_is_both_has_terminated(tmp_path):
    both = np.array([0, 0, 1, 0, 0, 1, 0, 1], bool)
    found = read_d4rl(d4rl(tmp_path / "flat.hdf5", terminals=both))

    assert np.flatnonzero(found.terminated).tolist() == [2, 5, 7]
    assert not found.truncated.any()


@pytest.mark.parametrize(
    ("arrays", "said"),
    [({"rewards": None}, "no array 'rewards'; expected actions, infos, observations"),
     ({"rewards": np.zeros(7)}, r"rewards of shape \(7,\); expected one row per step"),
     ({"actions": np.array(["a"] * 8, dtype="S1")}, "actions are |S1"),
     ({"observations": 1.0}, r"observations of shape \(\)"),
     ({"rewards": np.array([0, 0, 0, 0, np.nan, 0, 0, 0])}, "episode 1, step 1: rewards hold nan")],
)  # fmt: skip
def test_a_flat_file_that_does_not_fit_is_refused(tmp_path, arrays, said):
    with pytest.raises(DataError, match=said) as error:
        read_d4rl(d4rl(tmp_path / "flat.hdf5", **arrays))
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("read", [read_d4rl, read_npz])
def test_a_file_that_is_another_or_not_there_is_refused(tmp_path, read):
    (tmp_path / "text").write_text("no numbers")
    for name in ("text", "absent"):
        with pytest.raises(DataError, match="cannot be read"):
            read(tmp_path / name)


def buffer(path, **arrays):
    flat = {
        "states": np.array([[0.0], [1.0], [5.0], [6.0], [8.0]]),
        "actions": np.array([[1.0]] * 5), "rewards": np.arange(5.0),
        "next_states": np.array([[1.0], [2.0], [6.0], [7.0], [9.0]]),
        "dones": np.array([0, 0, 0, 1, 0], bool),
    }  # fmt: skip
    given = {n: v for n, v in (flat | arrays).items() if v is not None}
    np.savez(path, **given, allow_pickle=True)
    return path


def test_a_buffer_is_cut_where_the_next_state_is_not_the_state_that_follows(tmp_path):
    found = read_npz(buffer(tmp_path / "buffer.npz"))

    assert found.episode.tolist() == [0, 0, 1, 1, 2]
    assert np.flatnonzero(found.truncated).tolist() == [1, 4]
    assert np.flatnonzero(found.terminated).tolist() == [3]
    assert found.continues.tolist() == [1, 1, 1, 0, 1]


class Harmful:
    """Says so if it is ever unpickled."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_pickled_objects_are_never_read(tmp_path):
    path = buffer(tmp_path / "buffer.npz", infos=np.array([Harmful()] * 5, dtype=object))
    with pytest.raises(DataError) as error:
        read_npz(path)

    assert str(error.value) == (
        f"{path}: array 'infos' holds pickled objects, which could run code; expected arrays of "
        "numbers. Pass skip=['infos'] to leave it unread."
    )
    assert len(read_npz(path, skip=["infos"])) == 5


def test_buffers_round_trip_filtered_or_not(tmp_path):
    for keep in (np.ones(9, bool), np.arange(9) % 2 == 0, np.zeros(9, bool)):
        written = made().kept(keep)
        write_npz(written, tmp_path / "b.npz")
        same(read_npz(tmp_path / "b.npz"), written)
    assert read_npz(tmp_path / "b.npz", tasks=["x", "y"]).tasks == ("x", "y")
    assert [p.name for p in tmp_path.iterdir()] == ["b.npz"]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [({"dones": None}, "no array 'dones'; expected states, actions"),
     ({"rewards": np.zeros((5, 2, 2))}, "rewards of shape"),
     ({"next_states": np.zeros((5, 2))}, "next_states of shape"),
     ({"actions": np.zeros((4, 1))}, "actions of shape"),
     ({"rewards": np.array([0, 0, 0, np.inf, 0])}, "episode 1, step 1: rewards hold inf")],
)  # fmt: skip
def test_a_buffer_that_does_not_fit_is_refused(tmp_path, arrays, said):
    with pytest.raises(DataError, match=said):
        read_npz(buffer(tmp_path / "buffer.npz", **arrays))


def test_one_array_or_a_damaged_buffer_is_refused(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"is one array; expected an \.npz file"):
        read_npz(tmp_path / "one.npy")
    path = buffer(tmp_path / "buffer.npz")
    damaged = bytearray(path.read_bytes())
    damaged[200:230] = bytes(30)
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="cannot be read"):
        read_npz(path)
