"""A workflow as a picture: steps in rows, each below what feeds it. Plain SVG.

A step stands right above the first step that needs it. A line that passes other rows has a place of
its own in each, so that it never runs behind a box; places are ordered by the mean position of
their neighbours (Sugiyama, Tagawa and Toda 1981).
"""

from collections import defaultdict
from html import escape
from itertools import pairwise

from assay.core.workflow import Workflow

WIDTH, HEIGHT, LANE, GAP_X, GAP_Y, MARGIN = 164, 40, 8, 20, 30, 10
SWEEPS = 4

Place = tuple[str, int]
"""A step and a row: its box in its own row, its line in the rows below."""


def workflow_svg(flow: Workflow) -> str:
    """Draw a workflow.

    A step that runs once per member is drawn as a stack with the number of its members.
    """
    row = _rows(flow)
    last = {name: max((row[s] for s in _after(flow, name)), default=row[name]) for name in row}
    lines: list[list[Place]] = [[] for _ in range(max(row.values()) + 1)]
    for name in row:
        for at in range(row[name], max(last[name], row[name] + 1)):
            lines[at].append((name, at))
    _order(flow, lines, row)
    centre, width = _centres(lines, row)
    height = 2 * MARGIN + len(lines) * HEIGHT + (len(lines) - 1) * GAP_Y
    edges = "".join(_edges(flow, name, row, centre) for name in row)
    boxes = "".join(
        _box(flow, name, centre[name, at] - WIDTH / 2, _top(at)) for name, at in row.items()
    )
    said = f"Workflow {flow.name}: {', '.join(row)}"
    return (
        f'<svg class="diagram" viewBox="0 0 {width:g} {height}" width="{width:g}" role="img" '
        f'aria-label="{escape(said)}">{edges}{boxes}</svg>'
    )


def _rows(flow: Workflow) -> dict[str, int]:
    """Row of every step: the longest way from a first step, then as late as may be."""
    row: dict[str, int] = {}
    for step in flow.order():
        row[step.name] = max((row[r.step] + 1 for _, r in step.refs() if r.step), default=0)
    for name in reversed(list(row)):
        row[name] = max(row[name], min((row[s] for s in _after(flow, name)), default=0) - 1)
    return row


def _after(flow: Workflow, name: str) -> list[str]:
    """The steps that a step feeds."""
    return [s.name for s in flow.steps.values() if any(r.step == name for _, r in s.refs())]


def _above(flow: Workflow, place: Place, row: dict[str, int]) -> list[Place]:
    """Places in the row above that a place is joined to."""
    name, at = place
    if at > row[name]:
        return [(name, at - 1)]
    return [(r.step, at - 1) for _, r in flow.steps[name].refs() if r.step]


def _order(flow: Workflow, lines: list[list[Place]], row: dict[str, int]) -> None:
    """Put every place near the mean of those it is joined to, downwards and upwards in turn."""
    below: dict[Place, list[Place]] = defaultdict(list)
    above = {place: _above(flow, place, row) for line in lines for place in line}
    for place, joined in above.items():
        for other in joined:
            below[other].append(place)
    for sweep in range(SWEEPS):
        joined, turn = (above, lines) if sweep % 2 == 0 else (below, lines[::-1])
        for before, line in pairwise(turn):
            at = {place: k / len(before) for k, place in enumerate(before)}
            here = {place: k / len(line) for k, place in enumerate(line)}
            means = {}
            for place in line:
                found = [at[other] for other in joined[place] if other in at]
                means[place] = sum(found) / len(found) if found else here[place]
            line.sort(key=means.__getitem__)


def _centres(lines: list[list[Place]], row: dict[str, int]) -> tuple[dict[Place, float], float]:
    """Middle of every place, rows centred on each other, and the width of the drawing."""

    def size(place: Place) -> int:
        return WIDTH if row[place[0]] == place[1] else LANE

    spans = [sum(map(size, line)) + GAP_X * (len(line) - 1) for line in lines]
    width = max(spans) + 2 * MARGIN
    centre: dict[Place, float] = {}
    for line, span in zip(lines, spans, strict=True):
        x = (width - span) / 2
        for place in line:
            centre[place] = x + size(place) / 2
            x += size(place) + GAP_X
    return centre, width


def _top(row: int) -> int:
    return MARGIN + row * (HEIGHT + GAP_Y)


def _edges(flow: Workflow, name: str, row: dict[str, int], centre: dict[Place, float]) -> str:
    """Lines from a step to all that it feeds; those that go further share their way."""
    paths: list[str] = []
    below = _after(flow, name)
    for at in range(row[name], max((row[s] for s in below), default=row[name])):
        x0, y0, y1 = centre[name, at], _top(at) + HEIGHT, _top(at + 1)
        ends = [centre[s, at + 1] for s in below if row[s] == at + 1]
        if (name, at + 1) in centre:
            x = centre[name, at + 1]
            ends.append(x)
            paths.append(f'<path d="M{x:g} {y1} V{y1 + HEIGHT}"/>')
        middle = (y0 + y1) / 2
        paths += [f'<path d="M{x0:g} {y0} C{x0:g} {middle:g} {x:g} {middle:g} {x:g} {y1}"/>'
                  for x in ends]  # fmt: skip
    return "".join(paths)


def _box(flow: Workflow, name: str, x: float, y: float) -> str:
    step = flow.steps[name]
    count = _members(flow, name)
    behind = f'<rect x="{x + 4}" y="{y + 4}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
    label = f"{name} × {count}" if count else name
    middle = x + WIDTH / 2
    said = escape(_printable(f"{name}: {step.component.summary}"))
    return (
        f"<g><title>{said}</title>{behind if count else ''}"
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
        f'<text x="{middle}" y="{y + 17}">{escape(_short(label))}</text>'
        f'<text class="small" x="{middle}" y="{y + 31}">'
        f"{escape(_short(step.component.name))}</text></g>"
    )


def _members(flow: Workflow, name: str) -> int:
    axes = flow.axes()[name]
    count = 1
    for axis in axes:
        count *= flow.steps[axis].size
    return count if axes else 0


def _printable(text: str) -> str:
    """The text without characters that no XML may hold."""
    return "".join(c for c in text if c.isprintable())


def _short(text: str) -> str:
    return text if len(text) <= 22 else f"{text[:21]}…"
