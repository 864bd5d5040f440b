"""Minari datasets: a folder with ``data/main_data.hdf5`` and ``data/metadata.json``.

Each group ``episode_k`` of the file holds observations ``[T + 1, ...]``, actions, rewards,
terminations and truncations ``[T]``, and infos ``[T + 1]``, the first of them from the reset.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.errors import DataError, did_you_mean
from assay.systems.policy_composition.datasets import Transitions, combined, from_episode

__all__ = ["minari_folder", "read_minari", "write_minari"]

LAYOUT = "0.5.4"
"""The version of Minari whose layout is written."""


def minari_folder(name: str) -> Path:
    """Where Minari keeps a dataset: under ``MINARI_DATASETS_PATH``, or ~/.minari/datasets.

    Args:
        name: Such as ``D4RL/pointmaze/umaze-v2``.
    """
    base = os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets"
    return Path(base) / name


def read_minari(
    folder: Path | str, *, reward_info: str = "", tasks: Sequence[str] = ()
) -> Transitions:
    """Read a Minari dataset.

    Args:
        folder: The dataset's own folder, or its ``data``.
        reward_info: Info whose values are the rewards instead, such as ``rewards``; its first
            value, from the reset, belongs to no step.
        tasks: Names of the rewards; if not given, those that `write_minari` left, else ``reward``
            or ``reward 1``, ``reward 2`` ...

    Raises:
        DataError: If the folder is no Minari dataset, its spaces are not one array each, an episode
            is missing or does not fit, or a number is not finite (episode and step are named).
    """
    import h5py

    folder = Path(folder)
    data = folder / "data" if (folder / "data").is_dir() else folder
    metadata = _metadata(data)
    path, found = data / "main_data.hdf5", list[Transitions]()
    try:
        with h5py.File(path, "r") as file:
            for number in range(metadata["total_episodes"]):
                where = f"{path}, episode {number}"
                group = _member(file, f"episode_{number}", where)
                parts = _episode(group, reward_info, where)
                _refuse_other_space(parts["observations"], metadata, "observation_space", where)
                _refuse_other_space(parts["actions"], metadata, "action_space", where)
                names = tuple(tasks) or _names(metadata, parts["rewards"])
                found.append(
                    from_episode(
                        parts["observations"], parts["actions"], parts["rewards"],
                        terminated=_ended(parts, where), number=number, tasks=names,
                        source=str(path),
                    )
                )  # fmt: skip
    except OSError as error:
        raise DataError("cannot be read", where=str(path), accepted="an HDF5 file") from error
    if not found:
        raise DataError("no episode", where=str(path))
    return combined(found)


def _metadata(data: Path) -> dict[str, Any]:
    """The metadata; spaces, which they hold as JSON in strings, as dictionaries."""
    path = data / "metadata.json"
    try:
        made = json.loads(path.read_text())
        for name in ("observation_space", "action_space"):
            made[name] = dict(json.loads(made.get(name, "{}")))
        made["total_episodes"] = int(made["total_episodes"])
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise DataError(
            "no Minari metadata", where=str(path),
            accepted="JSON with total_episodes and spaces, in the folder of a dataset",
        ) from error  # fmt: skip
    if made.get("data_format", "hdf5") != "hdf5":
        raise DataError(
            f"data in the format {made['data_format']!r}", where=str(path), accepted="hdf5"
        )
    return made


def _member(group: Any, name: str, where: str) -> Any:
    if name not in group:
        raise DataError(f"no {name!r}", where=where, next=did_you_mean(name, list(group)))
    return group[name]


def _array(group: Any, name: str, where: str) -> np.ndarray:
    found = _member(group, name, where)
    if not hasattr(found, "dtype"):
        raise DataError(
            f"{name} are a group of {', '.join(found)}", where=where,
            accepted="one array, as of a Box or Discrete space",
        )  # fmt: skip
    if found.dtype.kind not in "biuf":
        raise DataError(f"{name} are {found.dtype}", where=where, accepted="numbers")
    return found[()]


def _episode(group: Any, reward_info: str, where: str) -> dict[str, np.ndarray]:
    names = ("observations", "actions", "rewards", "terminations", "truncations")
    made = {name: _array(group, name, where) for name in names}
    if reward_info:
        infos = _member(group, "infos", where)
        made["rewards"] = _array(infos, reward_info, f"{where}, infos")[1:]
    return made


def _refuse_other_space(
    values: np.ndarray, metadata: dict[str, Any], name: str, where: str
) -> None:
    """Compare the shape of values with that of the space in the metadata, if they hold one."""
    space = metadata[name]
    if "shape" in space and tuple(space["shape"]) != values.shape[1:]:
        raise DataError(
            f"values of shape {values.shape[1:]}", where=f"{where}, {name}",
            accepted=f"{tuple(space['shape'])}, as the metadata say",
        )  # fmt: skip


def _ended(parts: dict[str, np.ndarray], where: str) -> bool:
    """Whether an episode terminated; it may not do so before its last step."""
    flags = parts["terminations"].astype(bool) | parts["truncations"].astype(bool)
    if len(flags) != len(parts["actions"]) or flags[:-1].any():
        raise DataError(
            f"{len(flags)} flags for {len(parts['actions'])} steps, {int(flags[:-1].sum())} of "
            "them set before the end", where=where, accepted="one per step, set in the last only",
        )  # fmt: skip
    return bool(flags.size and parts["terminations"][-1])


def _names(metadata: dict[str, Any], rewards: np.ndarray) -> tuple[str, ...]:
    width = 1 if rewards.ndim == 1 else rewards.shape[1]
    said = metadata.get("reward_names")
    if isinstance(said, list) and len(said) == width:
        return tuple(map(str, said))
    return ("reward",) if width == 1 else tuple(f"reward {n}" for n in range(1, width + 1))


def write_minari(
    transitions: Transitions, folder: Path | str, *, observation_space: Any, action_space: Any,
    name: str = "",
) -> None:  # fmt: skip
    """Write whole episodes as a Minari dataset, which appears complete or not at all.

    Args:
        transitions: Each next state is the next one's state within an episode. Rewards of one task
            are written as numbers, those of several as vectors.
        folder: The dataset's folder, such as ``minari_folder("point/navigation-v0")``; new.
        observation_space: A Gymnasium Box or Discrete space.
        action_space: Another.
        name: Under which Minari knows it, such as ``point/navigation-v0``; if not given, the last
            part of the folder.

    Raises:
        DataError: If the folder is there already, a space is another, or an episode has gaps.
    """
    import h5py

    target = Path(folder)
    if target.exists():
        raise DataError("is there already", where=str(target), accepted="a new folder")
    numbers, firsts = np.unique(transitions.episode, return_index=True)
    slices = np.split(np.arange(len(transitions)), firsts[1:])
    for number, rows in zip(numbers, slices, strict=True):
        follows = transitions.next_states[rows[:-1]] == transitions.states[rows[1:]]
        if not follows.all():
            step = int(np.argmax(~follows.all(axis=tuple(range(1, follows.ndim)))))
            raise DataError(
                "the next state is not the state of the next step",
                where=f"{transitions.source}, episode {number}, step {step}",
                accepted="whole episodes", next="Write filtered transitions with write_npz.",
            )  # fmt: skip
    metadata = {
        "total_episodes": len(numbers), "total_steps": len(transitions), "data_format": "hdf5",
        "observation_space": _serialised(observation_space),
        "action_space": _serialised(action_space), "reward_names": list(transitions.tasks),
        "dataset_id": name or target.name, "minari_version": LAYOUT,
    }  # fmt: skip
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        (beside / "data").mkdir()
        with h5py.File(beside / "data" / "main_data.hdf5", "w", track_order=True) as file:
            for number, rows in enumerate(slices):
                _write_episode(file.create_group(f"episode_{number}"), transitions, number, rows)
        (beside / "data" / "metadata.json").write_text(json.dumps(metadata))
        beside.chmod(0o755)
        beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write_episode(group: Any, transitions: Transitions, number: int, rows: np.ndarray) -> None:
    ends = transitions.next_states[rows[-1:]]
    one = len(transitions.tasks) == 1
    values = {
        "observations": np.concatenate([transitions.states[rows], ends]),
        "actions": transitions.actions[rows],
        "rewards": transitions.rewards[rows, 0] if one else transitions.rewards[rows],
        "terminations": transitions.terminated[rows],
        "truncations": transitions.truncated[rows],
    }
    for name, array in values.items():
        group.create_dataset(name, data=array)
    group.attrs["id"], group.attrs["total_steps"] = number, len(rows)


def _serialised(space: Any) -> str:
    """A space as Minari writes it, JSON in a string."""
    if hasattr(space, "low"):
        made = {"type": "Box", "dtype": str(space.dtype), "shape": list(space.shape),
                "low": space.low.tolist(), "high": space.high.tolist()}  # fmt: skip
    elif hasattr(space, "n") and hasattr(space, "start"):
        made = {"type": "Discrete", "dtype": "int64", "start": int(space.start), "n": int(space.n)}
    else:
        raise DataError(f"a space {space}", accepted="a Box or Discrete space")
    return json.dumps(made)
