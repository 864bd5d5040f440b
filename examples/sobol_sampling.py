"""Many decisions at once: ranges sampled by a Sobol sequence instead of a grid.

Three ranges on a grid of ten values each are a thousand trials; 64 Sobol points cover the same cube
evenly. Which parameter matters shows in the correlations of the records.
"""

import math

from assay import Records, Sampler, Study, Workflow, component, span


@component
def swing(
    *, length_m: float = 1.0, mass_kg: float = 1.0, gravity_m_per_s2: float = 9.81
) -> Records:
    """Period of a pendulum; the mass is there to have no effect."""
    records = Records()
    period_s = 2 * math.pi * math.sqrt(length_m / gravity_m_per_s2)
    records.add("period", period_s, "s")
    records.add("energy", mass_kg * gravity_m_per_s2 * length_m, "J")
    return records


flow = Workflow("pendulum")
flow.step("swing", swing)

study = Study(
    flow,
    title="What sets the period of a pendulum?",
    decisions={
        "length": span("swing.length_m", 0.1, 10.0, log=True),
        "mass": span("swing.mass_kg", 0.1, 10.0, log=True),
        "gravity": span("swing.gravity_m_per_s2", 1.0, 25.0),
    },
    sampler=Sampler("sobol", n=64),
)

if __name__ == "__main__":
    records = study.run(workers=0).records
    period = records[records["measure"] == "period"]
    ranks = period[["value", "length", "mass", "gravity"]].rank()
    print("rank correlation with the period:")
    print(ranks.corr()["value"].drop("value").round(2).to_string())
