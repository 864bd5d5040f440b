"""The report of a run: one page that opens without a network, and the same as Markdown and JSON.

    report/index.html          the page: verdicts, figures, how it was computed
    report/report.md           the same for a repository or a message
    report/report.json         the same for a program
    report/figures/<name>.*    every figure as CSV, SVG or PNG, and what it brings of its own

Nothing is computed here: verdicts and records are those of the run.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core.charts import column, default_figures, summarise, told
from assay.core.diagram import workflow_svg
from assay.core.drawing import Shown, vega_script, write_figure
from assay.core.figures import Figure, file_name
from assay.core.params import short
from assay.core.store import write_text
from assay.core.system import load, one_line
from assay.core.wording import label, number, passed, place
from assay.errors import UsageError

if TYPE_CHECKING:
    from assay.core.run import Run
    from assay.core.study import Study

MOST_ROWS = 60
MOST_LABELS = 12
MOST_LETTERS = 300


def write_report(run: "Run", study: "Study") -> Path:
    """Write the report of a run into its folder.

    Returns:
        Path of the page.
    """
    folder = run.folder / "report"
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    shown, problems = _figures(run, study, folder / "figures")
    content = {
        "run": run.summary,
        "study": study,
        "said": in_words(run.summary),
        "figures": shown,
        "problems": problems,
        "measures": _measures(run, list(study.decisions)),
        "decisions": _decisions(study, run.trials),
        "steps": _steps(run.trials),
        "preset_note": getattr(study.presets.get(run.summary["preset"]), "note", ""),
        "started": datetime.fromtimestamp(run.summary["started"], UTC),
    }
    page = _render(
        "report.html",
        **content,
        standalone=False,
        diagram=workflow_svg(study.flow),
        vega=vega_script() if any(s.spec for s in shown) else "",
    )
    write_text(folder / "index.html", page)
    write_text(folder / "report.md", _render("report.md", **content))
    figures = [{"name": s.name, "files": s.files} for s in shown]
    data = {**run.summary, "figures": figures, "problems": problems}
    write_text(folder / "report.json", json.dumps(data, indent=1))
    return folder / "index.html"


def write_index(entries: list[Mapping[str, Any]], path: Path) -> None:
    """Write one page over several systems: verdicts of this run beside the committed ones.

    Args:
        entries: For each system ``system``, ``title``, ``study``, the summary ``tiny`` of its run,
            and ``small``, the committed summary or None.
        path: The page.
    """
    rows = [{**entry, "lines": _side_by_side(entry)} for entry in entries]
    write_text(path, _render("index.html", entries=rows))


def verdict_table(run: "Run") -> str:
    """The verdicts of a run as an HTML fragment, for notebooks."""
    return _render("verdicts.html", run=run.summary, said=in_words(run.summary), standalone=True)


def in_words(summary: Mapping[str, Any]) -> str:
    """What came of a run, in one or two sentences.

    Example:
        >>> in_words({"claims": [{"verdict": "holds"}, {"verdict": "fails"}], "checks": [
        ...     {"passed": True}], "failed": 0, "trials": 3})
        '1 of 2 claims holds, 1 fails. The one check passes.'
    """
    said: list[str] = []
    verdicts = [c["verdict"] for c in summary["claims"]]
    verbs = {"holds": ("holds", "hold"), "fails": ("fails", "fail"), "undecided": ("is undecided",
             "are undecided"), "not tested": ("was not tested", "were not tested")}  # fmt: skip
    counts = [(verdicts.count(word), verb) for word, verb in verbs.items() if word in verdicts]
    if counts:
        first, *rest = [f"{n} {verb[n > 1]}" for n, verb in counts]
        total = len(verdicts)
        noun = "claim" if total == 1 else "claims"
        n, verb = counts[0]
        first = f"{n} of {total} {noun} {verb[n > 1]}"
        said.append(", ".join([first, *rest]))
    results = [c["passed"] for c in summary["checks"]]
    if results:
        said.append(_checks_in_words(results))
    if summary["failed"]:
        said.append(f"{summary['failed']} of {summary['trials']} trials failed")
    return " ".join(f"{s}." for s in said) or "This study makes no claims."


def _checks_in_words(results: list[bool | None]) -> str:
    passed, total = sum(r is True for r in results), len(results)
    if passed == total:
        counted = {1: "The one check passes", 2: "Both checks pass"}
        return counted.get(total, f"All {total} checks pass")
    failed, unlooked = results.count(False), results.count(None)
    parts = [f"{failed} of {total} checks fail{'s' * (failed == 1)}"] if failed else []
    if unlooked:
        parts.append(f"{unlooked} of {total} could not be looked at")
    return ", ".join(parts)


def interval_svg(claim: Mapping[str, Any]) -> str:
    """The interval of a claim on a line: its margin dashed, the side that *holds* shaded."""
    width, height, pad = 240, 34, 12
    margin = claim["margin"]
    margins = [-margin, margin] if claim["direction"] == "within" else [margin]
    values = [claim["low"], claim["high"], claim["effect"], *margins]
    low, high = min(values), max(values)
    room = 0.15 * (high - low) or abs(high) or 1.0
    low, high = low - room, high + room

    def x(value: float) -> float:
        return round(pad + (value - low) / (high - low) * (width - 2 * pad), 1)

    start, end = {
        "above": (x(margin), width - pad),
        "below": (pad, x(margin)),
        "within": (x(-abs(margin)), x(abs(margin))),
    }[claim["direction"]]
    middle = height / 2
    marks = "".join(
        f'<line class="margin" x1="{x(m)}" x2="{x(m)}" y1="3" y2="{height - 3}"/>' for m in margins
    )
    return (
        f'<svg class="interval {claim["verdict"].replace(" ", "-")}" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" aria-hidden="true">'
        f'<rect class="side" x="{start}" y="3" width="{max(0.0, end - start)}" '
        f'height="{height - 6}"/>{marks}'
        f'<line class="reach" x1="{x(claim["low"])}" x2="{x(claim["high"])}" '
        f'y1="{middle}" y2="{middle}"/>'
        f'<circle cx="{x(claim["effect"])}" cy="{middle}" r="5"/></svg>'
    )


# -- figures ------------------------------------------------------------------------------------


def _figures(run: "Run", study: "Study", folder: Path) -> tuple[list[Shown], list[str]]:
    """Write every figure; one that cannot be drawn costs a line of the report, not the report."""
    shown: list[Shown] = []
    problems: list[str] = []
    made = iter(_made(run, study))
    while True:
        try:
            drawn = next(made)
            figure = drawn() if callable(drawn) else drawn
            if figure.name != file_name(figure.name) or figure.name in [s.name for s in shown]:
                raise UsageError(f"{short(figure.name)} is taken or not a name for files")
            shown.append(write_figure(figure, folder))
        except StopIteration:
            return shown, problems
        except Exception as error:
            problems.append(one_line(error)[:MOST_LETTERS])
            if len(problems) > MOST_ROWS:
                return shown, problems


def _made(run: "Run", study: "Study") -> "Iterator[Figure | Callable[[], Figure]]":
    if study.figures:
        yield from load(study.figures)(run)
    elif len(run.records):
        yield from default_figures(run, list(study.decisions))


# -- tables -------------------------------------------------------------------------------------


def _measures(run: "Run", decisions: list[str]) -> list[dict[str, str]]:
    """Mean and interval of measures by decisions and labels, as text."""
    records = run.records
    rows: list[dict[str, str]] = []
    for measure, labels in told(records).items():
        varied = [*(d for d in decisions if d in records), *labels]
        for _, row in summarise(records, measure, varied).iterrows():
            rows.append(
                {
                    "measure": measure.replace("_", " "),
                    "choices": place({d: row[column(d)] for d in varied}),
                    "mean": number(row["mean"]),
                    "interval": _interval(row["low"], row["high"]),
                    "unit": "" if row["unit"] == "1" else row["unit"],
                    "n": str(row["n"]),
                }
            )
    return rows[:MOST_ROWS]


def _interval(low: float, high: float) -> str:
    """An interval as text; units that are all equal have none, and neither has a single one."""
    if low == high:
        return "all equal"
    return f"{number(low)} to {number(high)}" if low < high else ""


def _decisions(study: "Study", trials: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What was varied and the choices that were taken."""
    taken = {name: list(dict.fromkeys(t["choices"][name] for t in trials)) for name in
             study.decisions}  # fmt: skip
    return [(name, _listed(labels)) for name, labels in taken.items()]


def _listed(labels: list[Any]) -> str:
    """Labels in a cell; of many numbers their number and range."""
    if len(labels) <= MOST_LABELS or not all(type(v) in (int, float) for v in labels):
        return ", ".join(map(label, labels))
    return f"{len(labels)} values from {number(min(labels))} to {number(max(labels))}"


def _steps(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For every step how often it was computed or found, and how long it took."""
    seen: dict[str, dict[str, Any]] = {}
    counted: set[tuple[str, str]] = set()
    for trial in trials:
        for step, members in trial["steps"].items():
            row = seen.setdefault(step, {"step": step, "ran": 0, "cached": 0, "failed": 0,
                                         "seconds": 0.0})  # fmt: skip
            for member in members:
                mark = (step, member["key"] or json.dumps(member["member"], default=str))
                if mark in counted:
                    continue
                counted.add(mark)
                kind = {"done": "ran", "shared": "ran", "cached": "cached"}.get(member["status"])
                row[kind or "failed"] += 1
                row["seconds"] += member["seconds"]
    return list(seen.values())


def _side_by_side(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    small = entry["small"] or {"claims": [], "checks": []}
    claims = {c["id"]: c for c in small["claims"]}
    checks = {c["id"]: c for c in small["checks"]}
    lines = [
        {"here": c, "verdict": c["verdict"], "small": claims.get(c["id"], {}).get("verdict", "")}
        for c in entry["tiny"]["claims"]
    ]
    for c in entry["tiny"]["checks"]:
        there = passed(checks[c["id"]]["passed"]) if c["id"] in checks else ""
        lines.append({"here": c, "verdict": passed(c["passed"]), "small": there})
    return lines


def _markdown_line(text: str) -> str:
    """A text on one line of Markdown, in which it cannot become HTML or a cell."""
    return " ".join(str(text).split()).replace("<", "&lt;").replace("|", "\\|")


def _render(template: str, **content: Any) -> str:
    return _environment().get_template(template).render(**content)


@lru_cache(maxsize=1)
def _environment() -> Any:
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("assay.core"),
        autoescape=jinja2.select_autoescape(("html",)),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "number": number,
        "passed": passed,
        "interval": lambda claim: Markup(interval_svg(claim)),  # noqa: S704 - numbers only
        "raw": Markup,  # only what this module made
        "line": _markdown_line,
        "script_json": lambda text: Markup(text.replace("<", "\\u003c")),  # noqa: S704 - escaped
    }
    return environment
