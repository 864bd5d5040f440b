"""Commit what a system's small presets gave: `python -m assay.app.results climate_impact`.

Runs every study of the system at ``small`` (or one: ``climate_impact/flood_risk``), writes
``results/<study>.small.json`` into the system's folder and rewrites the *Results* section of its
paper card from those files. Nobody edits either by hand; the house tests compare them.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from assay.core.charts import summarise
from assay.core.claims import number
from assay.core.estimands import AnyEstimand, NotTestedError, select
from assay.core.run import Run
from assay.core.store import write_text
from assay.core.study import Study
from assay.core.system import System, find_system, systems
from assay.core.wording import count, passed

PRESET = "small"
KEPT = ("study", "preset", "trials", "libraries", "platform")


def committed(run: Run, study: Study) -> dict[str, Any]:
    """What is kept of a run: verdicts, and what they stand on; nothing of the host."""
    summary = {key: run.summary[key] for key in KEPT}
    summary["claims"] = run.claims
    summary["checks"] = run.checks
    summary["minutes"] = round(run.summary["seconds"] / 60, 1)
    summary["measures"] = _measures(run.records, study)
    return summary


def _measures(records: Any, study: Study) -> list[dict[str, Any]]:
    """Means of what claims are about, of just the choices and keys that each claim sets apart."""
    told = list[dict[str, Any]]()
    for estimand in (claim.estimand for claim in study.claims):
        try:
            rows = select(records, estimand.measure, estimand.where)
        except NotTestedError:
            continue
        by = [*estimand.where, *_compared(estimand)]
        for row in json.loads(summarise(rows, estimand.measure, by).to_json(orient="records")):
            if (found := {"measure": estimand.measure, **row}) not in told:
                told.append(found)
    return told


def _compared(estimand: AnyEstimand) -> list[str]:
    """The key whose values an estimand sets side by side."""
    return [getattr(estimand, name) for name in ("decision", "along") if hasattr(estimand, name)]


def results_section(folder: Path) -> str:
    """The *Results* section of a paper card, from the committed files."""
    parts: list[str] = []
    for path in sorted((folder / "results").glob(f"*.{PRESET}.json")):
        parts.append(_study_section(json.loads(path.read_text(encoding="utf-8"))))
    return "\n\n".join(parts) if parts else "None committed yet."


def _study_section(result: dict[str, Any]) -> str:
    lines = [
        f"Study `{result['study']}`, preset `{result['preset']}`: "
        f"{count(result['trials'], ['trial'])}, {result['minutes']:g} minutes on two cores.",
        "",
        "| | claim | verdict | in words |",
        "|---|---|---|---|",
    ]
    for c in result["claims"]:
        lines.append(f"| {c['id']} | {c['sentence']} | **{c['verdict']}** | {c['text']} |")
    for c in result["checks"]:
        verdict = passed(c["passed"])
        lines.append(f"| {c['id']} | {c['sentence']} | **{verdict}** | {c['text']} |")
    lines += ["", "| measure | choices | mean | 95 % interval | unit |", "|---|---|---|---|---|"]
    fixed = ("measure", "mean", "low", "high", "n", "unit")
    for row in result["measures"]:
        choices = ", ".join(f"{k} {v}" for k, v in row.items() if k not in fixed and v is not None)
        low, high = row["low"], row["high"]
        spread = f"{number(low)} to {number(high)}" if low is not None else ""
        unit = "" if row["unit"] == "1" else row["unit"]
        mean = number(row["mean"])
        lines.append(f"| {row['measure']} | {choices} | {mean} | {spread} | {unit} |")
    return "\n".join(lines)


def write_card(folder: Path) -> None:
    """Put the generated section into the paper card."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8")
    section = f"## Results\n\n{results_section(folder)}\n\n"
    write_text(card, re.sub(r"## Results\n.*?(?=^## )", lambda _: section, text,
                            flags=re.DOTALL | re.MULTILINE))  # fmt: skip


def main(names: list[str]) -> None:
    """Run the small presets of the systems named, or of all, and commit what came out."""
    for said in names or sorted(systems()):
        system_name, _, only = said.partition("/")
        system = find_system(system_name)
        folder = _folder(system)
        for name in [only] if only else system.studies:
            study = system.study(name)
            if PRESET not in study.presets:
                continue
            run = study.run(PRESET)
            (folder / "results").mkdir(exist_ok=True)
            text = json.dumps(committed(run, study), indent=1)
            write_text(folder / "results" / f"{name}.{PRESET}.json", f"{text}\n")
        write_card(folder)


def _folder(system: System) -> Path:
    folder = system.folder()
    assert folder is not None  # noqa: S101 - the built-in systems lie in folders
    return folder


if __name__ == "__main__":
    main(sys.argv[1:])
