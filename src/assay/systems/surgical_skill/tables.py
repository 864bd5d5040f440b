"""The tables of a data set: metrics of each case, and who worked."""

import csv
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from assay.errors import DataError
from assay.systems.surgical_skill.events import ECONOMY, METRICS

__all__ = ["SURGEONS", "read_metrics", "read_surgeons", "write_metrics", "write_surgeons"]

SURGEONS = "surgeons.csv"
ECONOMIES = ("economyofmotion", "eom", "economy", "economy_of_motion_score", "motion_economy",
             "total_economy_of_motion")  # fmt: skip
ALIASES = {
    **dict.fromkeys(("case", "case_id", "caseid", "video"), "case"),
    **{name: name for name in (*METRICS, "split", "surgeon")},
    **dict.fromkeys(ECONOMIES, ECONOMY),
}
"""What a column of the table may be called; the name of economy of motion is not known for sure."""
MISSING = ("", "na", "n/a", "nan", "none", "null", "-")


def write_metrics(root: Path, split: str, metrics: Mapping[int, Mapping[str, float]]) -> None:
    """Write the table of metrics; what is NaN is left empty.

    Args:
        root: Folder of the data set.
        split: Name of the split.
        metrics: By case, then by the names of `METRICS`.
    """
    folder = root / split / "annotations"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [",".join(("case_id", *METRICS))]
    for case, row in sorted(metrics.items()):
        cells = ["" if math.isnan(row[name]) else f"{row[name]:.10g}" for name in METRICS]
        lines.append(",".join([str(case), *cells]))
    (folder / "skill_metric_gt.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_surgeons(root: Path, rows: list[tuple[str, int, int, float, str]]) -> None:
    """Write who worked: split, case, surgeon, skill and task."""
    lines = [
        ",".join(map(str, row)) for row in [("split", "case", "surgeon", "skill", "task"), *rows]
    ]
    (root / SURGEONS).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_metrics(folder: Path) -> tuple[dict[int, dict[str, float]], list[str]]:
    """The tables of metrics, wherever they are below the annotations."""
    paths = sorted((folder / "annotations").rglob("skill*.csv"))
    metrics: dict[int, dict[str, float]] = {}
    for path in paths:
        for line, row in _rows(path):
            where = f"{path}:{line}"
            case = _case(row.get("case", ""), where)
            if case in metrics:
                raise DataError(f"case {case} is there twice", where=where)
            metrics[case] = {name: _metric(row.get(name, ""), name, where) for name in METRICS}
    return metrics, [] if paths else ["no table of metrics (annotations/**/skill*.csv)"]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and cells of each row, by the names we use; columns of other names are left out."""
    try:
        table = csv.reader(path.read_text(encoding="utf-8-sig").splitlines(), strict=True)
        names = [re.sub(r"\W+", "_", name.strip().lower()) for name in next(table, [])]
        known = [ALIASES.get(name, "") for name in names]
        if "case" not in known:
            raise DataError(
                "no column with the case",
                where=f"{path}:1",
                accepted="case_id and " + ", ".join(METRICS),
            )
        for cells in table:
            if any(cell.strip() for cell in cells):
                where = f"{path}:{table.line_num}"
                if len(cells) != len(names):
                    raise DataError(f"{len(cells)} cells", where=where, accepted=str(len(names)))
                yield table.line_num, dict(zip(known, cells, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as a table ({error})", where=str(path)) from error


def _case(text: str, where: str) -> int:
    found = re.fullmatch(
        r"(?:caseid_)?(\d+)(?:\.0)?(?:_fps?\d+)?(?:\.mp4)?", text.strip(), re.IGNORECASE
    )
    if not found:
        raise DataError(f"{text!r} is no case", where=where, accepted="a number or caseid_000001")
    return int(found[1])


def _metric(text: str, name: str, where: str) -> float:
    if text.strip().lower() in MISSING:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise DataError(f"{name} is {text!r}", where=where, accepted="a number from 0, or NA")
    return value


def read_surgeons(root: Path, split: str) -> dict[int, int]:
    """Surgeon of each case of a split; none where there is no such table."""
    path = root / SURGEONS
    if not path.is_file():
        return {}
    return {
        _case(row["case"], f"{path}:{line}"): _case(row.get("surgeon", ""), f"{path}:{line}")
        for line, row in _rows(path)
        if row.get("split") == split
    }
