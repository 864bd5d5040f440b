"""What came of a run: the table for people, the summary for programs."""

from collections import Counter
from typing import Any

from assay.app.screen import screen, table, word
from assay.core.decisions import Preset
from assay.core.run import Run
from assay.core.wording import amount, passed

SHOWN = ("run", "study", "preset", "trials", "failed", "claims", "checks", "report", "seconds")


def summary(run: Run) -> dict[str, Any]:
    """What ``--json`` prints of a run."""
    shown = {key: run.summary.get(key) for key in SHOWN}
    shown["report"] = str(run.report) if run.report.is_file() else ""  # the store may have moved
    return {**shown, "errors": [e["error"] for e in run.summary["errors"]]}


def print_run(run: Run, preset: Preset | None = None) -> None:
    """The verdict table and the path of the report, for people."""
    console, s = screen(), run.summary
    rows: list[tuple[Any, ...]] = []
    for c in run.claims:
        n = str(c["n"] or "")
        rows.append((c["id"], c["sentence"], word(c["verdict"]), _effect(c), n))
    for c in run.checks:
        detail = "" if c["passed"] else c["text"].partition(": ")[2]
        rows.append(
            (c["id"], c["sentence"], word(passed(c["passed"])), detail or "an exact statement", "")
        )
    if rows:
        head = ("", "claim", "verdict", "effect [95 % interval]", "n")
        console.print(table(head, rows, right=["n"]))
        console.print()
    for error, times in Counter(e["error"] for e in s["errors"]).items():
        console.print(f"failed{f' ({times} times)' if times > 1 else ''}: {error}", style="red")
    failed = f", {s['failed']} failed" if s["failed"] else ""
    noun = "trial" if s["trials"] == 1 else "trials"
    console.print(f"{s['trials']} {noun}{failed} in {s['seconds']:.1f} s")
    if preset and preset.note:
        console.print(preset.note, style="dim")
    if run.report.is_file():
        console.print(f"report: {run.report}", soft_wrap=True)


def _effect(claim: dict[str, Any]) -> str:
    """Effect and interval, or why there is none."""
    if claim["effect"] is None:
        return claim["reason"]
    unit = claim["effect_unit"]
    low, high = (amount(claim[end], unit, bare=True) for end in ("low", "high"))
    return f"{amount(claim['effect'], unit)} [{low}, {high}]"
