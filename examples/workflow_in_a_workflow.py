"""A workflow as a step of another: build a part once, use it twice, vary it inside.

The steps of the inner workflow keep their names under that of the outer step (`cold/relax`), so
that a decision or `--set` reaches them.
"""

from assay import Records, Study, Workflow, component, sweep


@component
def relax(start_c: float, *, outside_c: float = 20.0, rate_per_h: float = 0.5) -> float:
    """Temperature of a cup after an hour, by Newton's law of cooling."""
    import math

    return outside_c + (start_c - outside_c) * math.exp(-rate_per_h)


@component
def brew(*, temperature_c: float = 90.0) -> float:
    """A fresh cup."""
    return temperature_c


@component
def compare(first_c: float, second_c: float) -> Records:
    """How far two cups are apart."""
    records = Records()
    records.add("difference", first_c - second_c, "degC")
    return records


def two_hours() -> Workflow:
    """An hour, and another one: an open input, two steps, one output."""
    inner = Workflow("two_hours")
    start = inner.input("start_c")
    first = inner.step("first", relax, start_c=start)
    inner.output("end_c", inner.step("second", relax, start_c=first))
    return inner


flow = Workflow("cups")
cup = flow.step("brew", brew)
warm = flow.step("warm", two_hours(), start_c=cup)
cold = flow.step("cold", two_hours(), start_c=cup)
flow.step("compare", compare, first_c=warm, second_c=cold)

if __name__ == "__main__":
    outside = sweep("cold/second.outside_c", [20.0, 0.0, -20.0])
    run = Study(flow, decisions={"outside": outside}).run(workers=0)
    print(run.records[["outside", "value", "unit"]].to_string(index=False))
