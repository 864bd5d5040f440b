"""Systems: everything of one paper in one folder, found through the entry points `assay.systems`.

The built-in systems come in by the same door as those of other packages: a line in the package's
metadata that names a `System`. Nothing of a system is imported before it is asked for.
"""

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from assay.core.study import Study

GROUP = "assay.systems"


@dataclass(frozen=True)
class System:
    """The table of contents of one system.

    Attributes:
        name: Its name, that of its folder.
        title: One line.
        citation: The paper.
        studies: ``module:function`` of each study by name; the function returns a ``Study``.
        main: The study that runs when none is named.
        extra: The optional dependency group it needs, for the hint when a library is missing.
        commands: ``module:app`` of a Typer application by verb, mounted when it is asked for.
    """

    name: str
    title: str
    citation: str
    studies: Mapping[str, str]
    main: str
    extra: str = ""
    commands: Mapping[str, str] = field(default_factory=dict)

    def study(self, name: str | None = None) -> "Study":
        """Build one study.

        Raises:
            UsageError: If there is no such study, or a library it needs is not installed.
        """
        chosen = name or self.main
        if chosen not in self.studies:
            raise UsageError(
                f"no study {chosen!r}", where=self.name, next=did_you_mean(chosen, self.studies)
            )
        return load(self.studies[chosen], where=self.name, extra=self.extra)()

    def folder(self) -> Path | None:
        """The folder with its README, where its studies lie."""
        module = self.studies[self.main].partition(":")[0]
        spec = importlib.util.find_spec(module.rpartition(".")[0] or module)
        return Path(spec.origin).parent if spec and spec.origin else None


def load(reference: str, *, where: str = "", extra: str = "") -> Any:
    """Import ``module:name``.

    Raises:
        UsageError: If it is not there, or a library it imports is not installed.
    """
    module, _, name = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        hint = f"Install it with `pip install 'assay[{extra}]'`." if extra else ""
        raise UsageError(
            f"no module {error.name!r}", where=where or reference, next=hint
        ) from error
    except AttributeError as error:
        raise UsageError(f"{module} has no {name!r}", where=where or reference) from error


@lru_cache(maxsize=1)
def systems() -> dict[str, System]:
    """Every installed system by name; one that cannot be imported is left out with a warning."""
    found: dict[str, System] = {}
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda e: e.name):
        system = entry.load()
        if not isinstance(system, System) or system.name != entry.name:
            raise UsageError(
                f"entry point {entry.name!r} leads to {system!r}",
                where=entry.value,
                accepted=f"a System named {entry.name!r}",
            )
        found[entry.name] = system
    return found


def find_system(name: str) -> System:
    """The system of that name.

    Raises:
        UsageError: If it is not installed.
    """
    known = systems()
    if name not in known:
        raise UsageError(f"no system {name!r}", next=did_you_mean(name, known))
    return known[name]
