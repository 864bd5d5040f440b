"""A workflow as a picture: steps in columns, each to the right of what feeds it. Plain SVG."""

from html import escape

from assay.core.workflow import Workflow

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 148, 40, 44, 16, 10


def workflow_svg(flow: Workflow) -> str:
    """Draw a workflow.

    A step that runs once per member is drawn as a stack with the number of its members.
    """
    placed = _places(flow)
    columns = max(x for x, _ in placed.values()) + 1
    rows = max(y for _, y in placed.values()) + 1
    width = 2 * MARGIN + columns * WIDTH + (columns - 1) * GAP_X
    height = 2 * MARGIN + rows * HEIGHT + (rows - 1) * GAP_Y
    edges = "".join(
        _edge(placed[ref.step], placed[step.name])
        for step in flow.steps.values()
        for ref in dict.fromkeys(r for _, r in step.refs())
        if ref.step
    )
    boxes = "".join(_box(flow, name, *_corner(place)) for name, place in placed.items())
    said = f"Workflow {flow.name}: {', '.join(placed)}"
    return (
        f'<svg class="diagram" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{escape(said)}">{edges}{boxes}</svg>'
    )


def _places(flow: Workflow) -> dict[str, tuple[int, int]]:
    """Column and row of every step: the column is the longest way from a first step."""
    column: dict[str, int] = {}
    for step in flow.order():
        column[step.name] = max((column[r.step] + 1 for _, r in step.refs() if r.step), default=0)
    for name in reversed(list(column)):  # a step stands right before the first that needs it
        after = [column[s.name] for s in flow.steps.values() for _, r in s.refs() if r.step == name]
        column[name] = max(column[name], min(after, default=column[name] + 1) - 1)
    used: dict[int, int] = {}
    placed: dict[str, tuple[int, int]] = {}
    for name, x in column.items():
        placed[name] = (x, used.get(x, 0))
        used[x] = used.get(x, 0) + 1
    return placed


def _corner(place: tuple[int, int]) -> tuple[float, float]:
    return MARGIN + place[0] * (WIDTH + GAP_X), MARGIN + place[1] * (HEIGHT + GAP_Y)


def _edge(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x0, y0), (x1, y1) = _corner(start), _corner(end)
    x0, y0, y1 = x0 + WIDTH, y0 + HEIGHT / 2, y1 + HEIGHT / 2
    bend = (x1 - x0) / 2
    return f'<path d="M{x0} {y0} C{x0 + bend} {y0} {x1 - bend} {y1} {x1} {y1}"/>'


def _box(flow: Workflow, name: str, x: float, y: float) -> str:
    step = flow.steps[name]
    count = _members(flow, name)
    behind = f'<rect x="{x + 4}" y="{y + 4}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
    label = f"{name} × {count}" if count else name
    middle = x + WIDTH / 2
    return (
        f"<g><title>{escape(step.component.summary)}</title>{behind if count else ''}"
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


def _short(text: str) -> str:
    return text if len(text) <= 22 else f"{text[:21]}…"
