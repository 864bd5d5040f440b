"""Where a training run can go on after a kill.

A checkpoint is a folder of safetensors, one file for each process that has a part of its own. It is
written under another name and renamed when all of it is there, so that the last whole one always
stays; and it says which model and recipe it belongs to.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import Tensor

from assay.core.disk import make_durable, remove, writing
from assay.errors import DataError

PREFIX, UNFINISHED = "checkpoint-", "unfinished-checkpoint"


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: Where they are; it is made if need be.
        identity: What must be the same for a run to go on: names and JSON values.
        part: Number of this process's file; processes that hold the same have the same.
        writes: Whether this process writes its part.
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, Any], part: int = 0, writes: bool = True
    ) -> None:
        self.folder, self.part, self.writes = folder, part, writes
        self.identity = json.loads(json.dumps(identity))
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def save(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Write a checkpoint and remove the one before.

        Raises:
            StoreError: If the disk refuses; the one before stays.
        """
        unfinished = self.folder / UNFINISHED
        last = _steps(self.folder)
        if self.writes:
            try:
                _write(unfinished / self._name, tensors, self.identity)
            except BaseException:
                remove(unfinished)
                raise
        _wait_for_all()
        if self.writes and self.part == 0:
            with writing(self.folder):
                os.rename(unfinished, self.folder / f"{PREFIX}{step}")
                make_durable(self.folder)
            for before in last:
                remove(self.folder / f"{PREFIX}{before}")
        _wait_for_all()

    def load(self) -> dict[str, Tensor] | None:
        """Tensors of the last checkpoint, or ``None`` if there is none.

        Raises:
            DataError: If it belongs to another model or recipe, or cannot be read.
        """
        from safetensors import SafetensorError, safe_open

        remove(self.folder / UNFINISHED)
        _wait_for_all()
        steps = _steps(self.folder)
        if not steps:
            return None
        path = self.folder / f"{PREFIX}{steps[-1]}" / self._name
        try:
            with safe_open(path, framework="pt") as file:
                self._check(path, json.loads((file.metadata() or {}).get("identity", "{}")))
                return {name: file.get_tensor(name) for name in file.keys()}
        except (OSError, SafetensorError, ValueError) as error:
            raise DataError(
                f"the checkpoint cannot be read ({error})",
                where=str(path),
                next="Remove its folder to go on from the start.",
            ) from error

    @property
    def _name(self) -> str:
        return f"part-{self.part}.safetensors"

    def _check(self, path: Path, found: Mapping[str, Any]) -> None:
        for name, wanted in self.identity.items():
            if found.get(name) != wanted:
                raise DataError(
                    f"the checkpoint is of another run: its {name} is {found.get(name)}",
                    where=str(path.parent),
                    accepted=str(wanted),
                    next="Train in another folder, or remove this one.",
                )


def _steps(folder: Path) -> list[int]:
    """Steps of the whole checkpoints in a folder, in order."""
    names = (p.name.removeprefix(PREFIX) for p in folder.glob(f"{PREFIX}*"))
    return sorted(int(name) for name in names if name.isdecimal())


def _write(path: Path, tensors: Mapping[str, Tensor], identity: Mapping[str, Any]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with writing(path.parent.parent):
        path.parent.mkdir(exist_ok=True)
        try:
            given = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
            save_file(given, path, metadata={"identity": json.dumps(identity)})
        except SafetensorError as error:  # what it makes of an error of the disk
            raise OSError(str(error)) from error
        make_durable(path)


def _wait_for_all() -> None:
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
