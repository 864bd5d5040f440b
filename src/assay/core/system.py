"""Systems: everything of one paper in one folder, found through the entry points `assay.systems`.

The built-in systems come in by the same door as those of other packages: a line in the package's
metadata that names a `System`. Nothing of a system is imported before it is asked for, and a system
that cannot be imported stands in nobody's way but its own.
"""

import importlib
import importlib.metadata
import importlib.util
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core.params import short
from assay.errors import AssayError, UsageError, did_you_mean

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
        from assay.core.study import Study

        chosen = name or self.main
        if chosen not in self.studies:
            raise UsageError(
                f"no study {chosen!r}", where=self.name, next=did_you_mean(chosen, self.studies)
            )
        made = load(self.studies[chosen], where=self.name, extra=self.extra)()
        if not isinstance(made, Study):
            raise UsageError(
                f"{self.studies[chosen]} gave a {type(made).__name__}",
                where=self.name,
                accepted="a Study",
            )
        return made

    def folder(self) -> Path | None:
        """The folder with its README, where its studies lie."""
        module = self.studies[self.main].partition(":")[0]
        spec = importlib.util.find_spec(module.rpartition(".")[0] or module)
        return Path(spec.origin).parent if spec and spec.origin else None


def load(reference: str, *, where: str = "", extra: str = "") -> Any:
    """Import ``module:name``.

    Args:
        reference: What to import.
        where: For errors, who asks.
        extra: Optional dependency group that brings the libraries it needs.

    Raises:
        UsageError: If it is not there, or a library it imports is not installed.
    """
    module, _, name = reference.partition(":")
    place, package = where or reference, module.partition(".")[0]
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        own = (error.name or "").partition(".")[0] == package
        hint = f"Install it with `pip install '{package}[{extra}]'`." if extra and not own else ""
        raise UsageError(f"no module {error.name!r}", where=place, next=hint) from error
    except Exception as error:
        said = str(error) if isinstance(error, ImportError) else one_line(error)
        raise UsageError(f"{module} cannot be imported: {said}", where=place) from error
    if not hasattr(found, name):
        raise UsageError(
            f"{module} has no {name!r}", where=place, next=did_you_mean(name, vars(found))
        )
    return getattr(found, name)


def one_line(error: BaseException) -> str:
    """Any error as a user reads it."""
    said = str(error) if isinstance(error, AssayError) else f"{type(error).__name__}: {error}"
    return " ".join(said.split()).rstrip(": ")


@cache
def _entries() -> dict[str, list[EntryPoint]]:
    """Entry points by name; two packages may claim the same one."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda e: e.name):
        found.setdefault(entry.name, []).append(entry)
    return found


@cache
def find_system(name: str) -> System:
    """The system of that name; no other is imported.

    Raises:
        UsageError: If it is not installed, or its package is broken.
    """
    known = _entries()
    if name not in known:
        raise UsageError(f"no system {name!r}", next=did_you_mean(name, known))
    entry, *more = known[name]
    package = f"package {entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
    if any(other.value != entry.value for other in more):
        others = " and ".join(e.dist.name if e.dist else e.value for e in known[name])
        raise UsageError(f"{others} both bring a system {name!r}", next="Uninstall one of them.")
    try:
        system = entry.load()
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"system {name!r} cannot be loaded ({one_line(error)})",
            where=package,
            next="Repair or uninstall that package.",
        ) from error
    if not isinstance(system, System) or system.name != name or system.main not in system.studies:
        raise UsageError(
            f"{entry.value} is {short(system)}",
            where=package,
            accepted=f"a System named {name!r} whose main study is one of its studies",
        )
    return system


def systems() -> dict[str, System]:
    """Every installed system by name; one that cannot be loaded is left out with a warning."""
    found: dict[str, System] = {}
    for name in _entries():
        try:
            found[name] = find_system(name)
        except UsageError as error:
            warnings.warn(str(error), stacklevel=2)
    return found
