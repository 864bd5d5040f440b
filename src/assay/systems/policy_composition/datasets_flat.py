"""Flat files of transitions: HDF5 in the layout of D4RL, and ``.npz`` buffers.

Notable in this file: nothing is unpickled. An array of objects is refused, or left unread if its
name is given in ``skip``.

A flat file of observations lacks what came after the last step of an episode. Where the episode
terminated nothing is needed; where it was cut off, at a timeout or at the end of the file, that
step cannot be bootstrapped and is dropped, unless the file has ``next_observations``.
"""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.errors import DataError
from assay.systems.policy_composition.datasets import Transitions, columns_of

__all__ = ["read_d4rl", "read_npz", "write_npz"]


def read_d4rl(
    path: Path | str, *, reward: str = "rewards", tasks: Sequence[str] = ("reward",)
) -> Transitions:
    """Read an HDF5 file of observations, actions, rewards, terminals and timeouts, ``[n, ...]``.

    Episodes end at terminals and timeouts; a step that is both has terminated.

    Args:
        path: The file.
        reward: Array that holds the rewards, ``[n]`` or ``[n, tasks]``, such as ``infos/cost``.
        tasks: Names of the rewards.

    Raises:
        DataError: If the file cannot be read, lacks an array, arrays do not fit or hold objects, or
            a number is not finite (episode and step are named).
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            read = {n: _hdf5_array(file, n, path) for n in ("observations", "actions", reward)}
            read |= {n: _hdf5_array(file, n, path) for n in ("terminals", "timeouts") if n in file}
            after = "next_observations"
            given = _hdf5_array(file, after, path) if after in file else None
    except OSError as error:
        raise DataError("cannot be read", where=str(path), accepted="an HDF5 file") from error
    states = read["observations"]
    _refuse_other_lengths(read | ({} if given is None else {after: given}), states, path)
    count = len(states)
    terminated = np.asarray(read.get("terminals", np.zeros(count)), bool)
    truncated = np.asarray(read.get("timeouts", np.zeros(count)), bool) & ~terminated
    if count:
        truncated[-1] |= not terminated[-1]
    episode = _episodes(terminated | truncated)
    next_states = given if given is not None else np.concatenate([states[1:], states[-1:]])
    if given is None:
        next_states = np.where(_wide(terminated, states), states, next_states)
    whole = Transitions(
        states, read["actions"], columns_of(read[reward]), next_states, terminated, truncated,
        episode, tuple(tasks), str(path),
    )  # fmt: skip
    return whole if given is not None else whole.kept(~truncated)


def _hdf5_array(file: Any, name: str, path: Path | str) -> np.ndarray:
    found = file.get(name)
    if found is None or not hasattr(found, "dtype"):
        raise DataError(f"no array {name!r}", where=str(path), accepted=", ".join(file))
    if found.dtype.kind not in "biuf":
        raise DataError(f"{name} are {found.dtype}", where=str(path), accepted="numbers")
    return found[()]


def _refuse_other_lengths(
    arrays: dict[str, np.ndarray], states: np.ndarray, path: Path | str
) -> None:
    for name, array in arrays.items():
        if not array.shape or array.shape[:1] != states.shape[:1]:
            raise DataError(
                f"{name} of shape {array.shape}", where=str(path),
                accepted=f"one row per step, and as many as there are states, {states.shape}",
            )  # fmt: skip


def _episodes(over: np.ndarray) -> np.ndarray:
    """Number of the episode of each step, from whether it is the last of one."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(over)])[: len(over)]


def _wide(flags: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Flags ``[n]`` with as many axes as another array."""
    return flags.reshape(-1, *[1] * (like.ndim - 1))


_NAMES = ("states", "actions", "rewards", "next_states")


def read_npz(
    path: Path | str, *, tasks: Sequence[str] = (), skip: Sequence[str] = ()
) -> Transitions:
    """Read a buffer: states, actions, rewards, next_states, and terminated (or dones).

    What else there may be: ``truncated``, ``episode``, and ``tasks``, the names of the rewards.
    Without ``truncated``, a step is taken to be cut off where its next state is not the state of
    the step after it, and at the end of the file.

    Args:
        path: The file.
        tasks: Names of the rewards, if not those of the file.
        skip: Arrays to leave unread, such as ``infos`` that hold pickled objects.

    Raises:
        DataError: If the file cannot be read, lacks an array or holds pickled objects, arrays do
            not fit, or a number is not finite (episode and step are named).
    """
    read = _npz_arrays(path, skip)
    ended = "terminated" if "terminated" in read else "dones"
    for name in (*_NAMES, ended):
        if name not in read:
            raise DataError(f"no array {name!r}", where=str(path), accepted=", ".join(read))
    states, next_states = read["states"], read["next_states"]
    rows = {n: a for n, a in read.items() if n in (*_NAMES, ended, "truncated", "episode")}
    _refuse_other_lengths(rows, states, path)
    terminated = np.asarray(read[ended], bool)
    if "truncated" in read:
        truncated = np.asarray(read["truncated"], bool)
    elif np.shape(states) != np.shape(next_states):
        raise DataError(
            f"next_states of shape {next_states.shape}", where=str(path),
            accepted=f"{states.shape}, as states",
        )  # fmt: skip
    else:
        same = (next_states[:-1] == states[1:]).all(axis=tuple(range(1, states.ndim)))
        truncated = np.append(~same, True)[: len(states)] & ~terminated
    rewards = columns_of(read["rewards"])
    said = tuple(tasks) or tuple(map(str, read.get("tasks", ())))
    width = rewards.shape[1] if rewards.ndim == 2 else 1
    default = ("reward",) if width == 1 else tuple(f"reward {n}" for n in range(1, width + 1))
    return Transitions(
        states, read["actions"], rewards, next_states, terminated, truncated,
        read.get("episode", _episodes(terminated | truncated)), said or default, str(path),
    )  # fmt: skip


def _npz_arrays(path: Path | str, skip: Sequence[str]) -> dict[str, np.ndarray]:
    made = dict[str, np.ndarray]()
    try:
        opened = np.load(path, allow_pickle=False)
        if isinstance(opened, np.ndarray):
            raise DataError("is one array", where=str(path), accepted="an .npz file")
        with opened as file:
            for name in file.files:
                if name in skip:
                    continue
                try:
                    made[name] = file[name]
                except ValueError as error:
                    if "allow_pickle" not in str(error):
                        raise
                    raise DataError(
                        f"array {name!r} holds pickled objects, which could run code",
                        where=str(path), accepted="arrays of numbers",
                        next=f"Pass skip=[{name!r}] to leave it unread.",
                    ) from error  # fmt: skip
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError("cannot be read", where=str(path), accepted="an .npz file") from error
    return made


def write_npz(transitions: Transitions, path: Path | str) -> None:
    """Write transitions, whole episodes or not, so that `read_npz` gives them back.

    Args:
        transitions: What to write.
        path: The file, replaced if it is there.
    """
    target = Path(path)
    beside = target.with_name(f".{target.name}.part")
    names = (*_NAMES, "terminated", "truncated", "episode")
    with open(beside, "wb") as file:
        np.savez_compressed(
            file, allow_pickle=False, tasks=np.array(transitions.tasks),
            **{name: getattr(transitions, name) for name in names},
        )  # fmt: skip
    beside.replace(target)
