"""Flood solver speed beside landlab, itzi and ANUGA, and beside what the memory of this core gives.

    python benchmarks/climate_impact.py [--quick] [--json FILE]

One process, one thread each, rounds interleaved, CPU time. The case is the same for all: rain on a
fractal terrain of 10 m cells, every cell wet, closed sides, adaptive time step, Manning .03. A cell
update is one full time step of one cell. What is timed:

* ours: the kernel with its outflow limiter, Froude cap and exact running maximum of depth;
  "tracked" adds what `simulate` does for velocity, hazard, arrival and the check for finite depths.
* landlab OverlandFlow (de Almeida, float64 only): `run_one_step` over many stable steps at once,
  inner steps counted. `steep_slopes=True`, without which depths turn negative here.
* ours full: the finite-volume solver of the full equations, second order in space and time; a step
  has two stages.
* itzi: one `SurfaceFlowSimulation.step` with `solve_dt`. Not like for like: its update also keeps
  velocity, direction and Froude number of every cell at every step.

* ANUGA: the full equations on triangles. 2 x 2 of our cells make one square of four triangles, so
  there are as many triangles as cells on the same land; an update is one triangle in one full step.
  DE1 is second order in two stages, as ours is; DE0, its default, takes one. Steps are counted by
  wrapping the method that takes one; output is asked for once per round.

The learned model is timed against the local-inertial solver on one storm; what it costs does not
depend on its training, so it has none here.

Peers are installed from benchmarks/requirements.txt. Only the ratios travel between machines.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
from numba import njit

from assay.systems.climate_impact import data, hllc, kernel, tracking
from assay.systems.climate_impact.inundation import inundation
from assay.systems.climate_impact.simulation import Boundaries, prepare
from assay.systems.climate_impact.solver import TRACK_STEPS

CELL_M, MANNING, RAIN_M_PER_S, DEPTH_M, CFL, THETA = 10.0, 0.03, 1e-5, 0.02, 0.5, 0.9
Steps = Callable[[int], int]  # asked for so many steps, took so many


def fractal_terrain(n: int, seed: int = 0) -> np.ndarray:
    """Rough terrain ``[n, n]`` in m by spectral synthesis (amplitude k^-1.8), 5 m deviation."""
    noise = np.random.default_rng(seed).standard_normal((n, n))
    k = np.hypot(np.fft.rfftfreq(n)[None, :], np.fft.fftfreq(n)[:, None])
    k[0, 0] = 1.0
    z = np.fft.irfft2(np.fft.rfft2(noise) * k**-1.8, s=(n, n))
    return 5.0 * (z - z.min()) / z.std()


def problem_of(n: int, precision: str, theta: float, rows: int | None = None) -> Any:
    """The case of all contenders: a fractal terrain with water on it, and rain."""
    return prepare(
        fractal_terrain(n)[:rows], MANNING, cell_m=CELL_M, end_s=1e12, rain_times_s=[0.0],
        rain_mm_per_h=[RAIN_M_PER_S * 3.6e6], boundaries=Boundaries(), normal_slope=1e-3,
        depth_m=DEPTH_M, theta=theta, cfl=CFL, dt_max_s=5.0, dry_depth_m=1e-4,
        arrival_depth_m=0.1, precision=precision, inflow=(), stage=None, soil=None,
    )  # fmt: skip


def ours(n: int, precision: str, *, tracked: bool = False, rows: int | None = None) -> Steps:
    """The kernels of `assay`, driven as `simulate` drives them, on the first ``rows`` rows."""
    problem = problem_of(n, precision, THETA, rows)
    state, scheme, depth = problem.state, problem.scheme, problem.state[1]
    faces = tuple(np.full(depth.shape[1], k in (3, 4), depth.dtype) for k in range(6))
    velocity, hazard, arrival = np.zeros((3, *problem.terrain.shape), depth.dtype)
    arrival[:] = np.inf
    account = np.zeros(kernel.ACCOUNTS)
    clock = {"now": 0.0, "highest": DEPTH_M}

    def run(steps: int) -> int:
        done = 0
        while done < steps:
            some = min(TRACK_STEPS, steps - done)
            clock["now"], taken, clock["highest"] = kernel.advance(
                state, faces, problem.forcing, scheme, RAIN_M_PER_S, problem.cells,
                clock["now"], 1e12, clock["highest"], some, account,
            )  # fmt: skip
            done += taken
            if tracked:
                assert np.isfinite(depth.sum(dtype=np.float64))
                hours = clock["now"] / 3600.0
                tracking.track(state, faces, scheme, hours, 0.1, velocity, hazard, arrival)
        return done

    return run


def landlab(n: int) -> Steps:
    """Landlab's OverlandFlow; its inner steps are counted through `calc_time_step`."""
    from landlab import RasterModelGrid
    from landlab.components import OverlandFlow

    grid = RasterModelGrid((n, n), xy_spacing=CELL_M)
    grid.set_closed_boundaries_at_grid_edges(True, True, True, True)
    grid.add_field("topographic__elevation", fractal_terrain(n).ravel(), at="node")
    grid.add_field("surface_water__depth", np.full(n * n, DEPTH_M), at="node")
    flow = OverlandFlow(
        grid, mannings_n=MANNING, theta=THETA, alpha=CFL, rainfall_intensity=RAIN_M_PER_S,
        steep_slopes=True,
    )  # fmt: skip
    stable, count = flow.calc_time_step, {"inner": 0}

    def counting() -> float:
        count["inner"] += 1
        return stable()

    flow.calc_time_step = counting

    def run(steps: int) -> int:
        count["inner"] = 0
        flow.run_one_step(dt=stable() * (steps - 0.5))
        return count["inner"]

    return run


def itzi(n: int, precision: str) -> Steps:
    """The step of itzi 25.8: its kernels, NaN check, negative check and time step."""
    from itzi.rasterdomain import RasterDomain
    from itzi.surfaceflow import SurfaceFlowSimulation

    domain = RasterDomain(np.dtype(precision), np.zeros((n, n), bool), (CELL_M, CELL_M))
    fields = {"dem": fractal_terrain(n), "friction": MANNING, "water_depth": DEPTH_M}
    for name, value in {**fields, "ext": RAIN_M_PER_S}.items():
        domain.get_padded(name)[:] = np.pad(np.broadcast_to(value, (n, n)), 1, mode="edge")
    parameters = {
        "dtmax": 5.0, "cfl": CFL, "g": kernel.GRAVITY, "theta": THETA, "hmin": 1e-4,
        "slmax": 0.5, "vrouting": 0.1,
    }  # fmt: skip
    flow = SurfaceFlowSimulation(domain, parameters)
    flow.update_flow_dir()

    def run(steps: int) -> int:
        for _ in range(steps):
            flow.solve_dt()
            flow.step()
        return steps

    return run


def full(n: int, precision: str) -> Steps:
    """The finite-volume solver, driven as `simulate_shallow_water` drives it, without tracking."""
    problem = problem_of(n, precision, 1.0)
    z, h, u, v, a, peak = problem.state
    other = tuple(np.zeros_like(h) for _ in range(3))
    work = np.zeros((hllc.ROWS, h.shape[1]), h.dtype)
    account = np.zeros(kernel.ACCOUNTS)
    clock = {"now": 0.0}

    def run(steps: int) -> int:
        clock["now"], taken = hllc.advance_finite_volume(
            (z, a, peak), (h, u, v), other, work, problem.forcing, problem.scheme, RAIN_M_PER_S,
            problem.cells, clock["now"], 1e12, steps, account,
        )  # fmt: skip
        return taken

    return run


def anuga(n: int, algorithm: str = "DE1") -> Steps:
    """ANUGA on as many triangles as the grid has cells, one thread; see above for the count."""
    import anuga as package

    squares = n // 2
    side_m = n * CELL_M
    mesh = package.rectangular_cross(squares, squares, len1=side_m, len2=side_m)
    domain = package.Domain(*mesh, verbose=False)
    domain.set_flow_algorithm(algorithm)
    domain.set_store(False)
    domain.set_omp_num_threads(1)
    terrain = fractal_terrain(n)
    x, y = domain.get_centroid_coordinates(absolute=True).T
    column = np.minimum((x / CELL_M).astype(int), n - 1)
    row = np.minimum((y / CELL_M).astype(int), n - 1)
    bed = terrain[row, column]
    domain.set_quantity("elevation", bed, location="centroids")
    domain.set_quantity("stage", bed + DEPTH_M, location="centroids")
    domain.set_quantity("friction", MANNING)
    wall = package.Reflective_boundary(domain)
    domain.set_boundary(dict.fromkeys(("left", "right", "top", "bottom"), wall))
    package.Rate_operator(domain, rate=RAIN_M_PER_S)
    name = {"DE0": "evolve_one_euler_step", "DE1": "evolve_one_rk2_step"}[algorithm]
    step, count = getattr(domain, name), {"inner": 0}

    def counting(*arguments: Any) -> Any:
        count["inner"] += 1
        return step(*arguments)

    setattr(domain, name, counting)
    clock = {"dt": 0.1}

    def run(steps: int) -> int:
        count["inner"] = 0
        seconds = clock["dt"] * steps
        for _ in domain.evolve(yieldstep=seconds, duration=seconds, skip_initial_step=True):
            pass
        clock["dt"] = seconds / count["inner"]
        return count["inner"]

    return run


@njit(cache=True)
def _scaled_add(a: np.ndarray, b: np.ndarray, factor: float) -> None:
    for i in range(a.size):
        a[i] += a.dtype.type(factor) * b[i]


def memory_gb_per_s(working_set_bytes: int, precision: str) -> float:
    """Best rate of ``a += s b`` (two reads, a write) on a working set this large."""
    n = working_set_bytes // (2 * np.dtype(precision).itemsize)
    a, b = np.ones(n, precision), np.ones(n, precision)
    _scaled_add(a, b, 1e-6)
    repeats = max(1, 50_000_000 // n)
    best = np.inf
    for _ in range(7):
        begin = time.process_time()
        for _ in range(repeats):
            _scaled_add(a, b, 1e-6)
        best = min(best, (time.process_time() - begin) / repeats)
    return 3 * a.nbytes / best / 1e9


def resident_rate(precision: str) -> float:
    """Million cell updates per second on 20 rows of 500 cells, which stay in the cache."""
    run = ours(500, precision, rows=20)
    run(100)
    best = 0.0
    for _ in range(7):
        begin = time.process_time()
        taken = run(1000)
        best = max(best, taken * 20 * 500 / (time.process_time() - begin) / 1e6)
    return best


def surrogate_speed_up(n: int) -> float:
    """Processor time of the solver over that of the learned model: a storm followed for 12 h."""
    import torch

    from assay.systems.climate_impact.surrogate import UNet, predict_depth_m

    torch.set_num_threads(1)
    terrain = data.drain(data.jacksboro(rows=n, columns=n))
    roughness = data.uniform_roughness(terrain)
    storm = data.design_storm(return_period_years=100.0)
    net = UNet(16, 3).eval()
    best = {"solver": np.inf, "learned": np.inf}
    for _ in range(3):
        begin = time.process_time()
        inundation(terrain, roughness, storm, end_h=12.0, boundary="normal_depth", dt_max_s=20.0)
        middle = time.process_time()
        predict_depth_m(net, terrain, roughness, storm)
        best["solver"] = min(best["solver"], middle - begin)
        best["learned"] = min(best["learned"], time.process_time() - middle)
    return best["solver"] / best["learned"]


def ensemble_seconds(workers: int) -> float:
    """Seconds for 32 floods of 128 x 128 cells on so many workers: first start to last end.

    A flood takes about 1.4 s of processor time. The start of the workers (some seconds) is left
    out: it does not grow with the ensemble. Counted is that every worker loads the solver, that
    one may wait for the last flood of another, and that the driver shares their cores.
    """
    from assay import Study, Workflow
    from assay.core.events import read_events

    flow = Workflow("ensemble")
    terrain = flow.step("terrain", data.jacksboro, rows=128, columns=128)
    grid = flow.step("grid", data.drain, terrain=terrain)
    rain = flow.step("rain", data.design_storm, return_period_years=100.0)
    members = {"manning": np.linspace(0.02, 0.08, 32).round(5).tolist()}
    rough = flow.each("rough", data.uniform_roughness, over=members, terrain=grid)
    flow.each(
        "flood", inundation, terrain=grid, roughness=rough, rain=rain, end_h=12.0,
        boundary="normal_depth", dt_max_s=20.0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run = Study(flow).run(store=folder, workers=workers, progress=False, report=False)
        events = read_events(run.folder / "events.jsonl")
    floods = [e for e in events if str(e.get("step", "")).startswith("flood")]
    times = {
        kind: [e["time"] for e in floods if e["kind"] == kind]
        for kind in ("step_started", "step_finished")
    }
    return max(times["step_finished"]) - min(times["step_started"])


def contenders(n: int) -> dict[str, Callable[[], Steps]]:
    """Every code that can be timed on an ``n`` by ``n`` grid, not yet built."""
    return {
        "ours float64": lambda: ours(n, "float64"),
        "ours float64, tracked": lambda: ours(n, "float64", tracked=True),
        "ours float32": lambda: ours(n, "float32"),
        "ours float32, tracked": lambda: ours(n, "float32", tracked=True),
        "ours full float64": lambda: full(n, "float64"),
        "ours full float32": lambda: full(n, "float32"),
        "landlab float64": lambda: landlab(n),
        "itzi float64": lambda: itzi(n, "float64"),
        "itzi float32": lambda: itzi(n, "float32"),
        "anuga DE1 float64": lambda: anuga(n, "DE1"),
        "anuga DE0 float64": lambda: anuga(n, "DE0"),
    }


def measure(n: int, rounds: int, cell_updates: int) -> dict[str, list[float]]:
    """Million cell updates per second of each contender in each interleaved round."""
    ready: dict[str, Steps] = {}
    rates: dict[str, list[float]] = {}
    for name, build in contenders(n).items():
        package = name.split()[0]
        rates[name] = []
        if package == "ours" or find_spec(package):
            ready[name] = build()
            ready[name](3)
    for _ in range(rounds):
        for name, run in ready.items():
            steps = max(3, cell_updates // (n * n) // (1 if name.startswith("ours") else 5))
            begin = time.process_time()
            taken = run(steps)
            rates[name].append(taken * n * n / (time.process_time() - begin) / 1e6)
    return rates


def summary(n: int, rates: dict[str, list[float]]) -> list[dict[str, Any]]:
    """One row per contender: best and median rate, ratio to the peers, share of the memory roof."""
    rows = []
    for name, values in rates.items():
        row: dict[str, Any] = {"grid": n, "code": name, "installed": bool(values)}
        rows.append(row)
        if not values:
            continue
        row |= {"best": max(values), "median": statistics.median(values)}
        if not name.startswith("ours"):
            continue
        precision = "float32" if "float32" in name else "float64"
        size = np.dtype(precision).itemsize
        if "full" not in name:
            row["memory_gb_per_s"] = memory_gb_per_s(6 * size * n * n, precision)
            # Read z, h, qx, qy, a, peak; write h, qx, qy, peak.
            row["roof_share"] = row["median"] * 10 * size / 1e3 / row["memory_gb_per_s"]
        own = ("anuga DE1 float64", "anuga DE0 float64")
        peers = own if "full" in name else ("landlab float64", f"itzi {precision}")
        for peer in peers:
            if rates.get(peer):
                row[f"x {peer}"] = row["median"] / statistics.median(rates[peer])
    return rows


def main() -> int:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="500 x 500 only, 3 short rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    options = parser.parse_args()
    sizes, rounds, work = ((500,), 3, 5_000_000) if options.quick else ((500, 1000), 7, 40_000_000)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, Python {platform.python_version()}, one thread;")
    print(f"million cell updates per second, {rounds} interleaved rounds; ratios of medians\n")
    columns = ("x landlab", "x itzi", "x anuga DE1", "x anuga DE0", "of roof")
    heads = f"{'best':>7}{'median':>8}" + "".join(f"{c:>{len(c) + 2}}" for c in columns)
    print(f"{'grid':>5}  {'code':24}{heads}")
    rows = []
    for n in sizes:
        for row in summary(n, measure(n, rounds, work)):
            rows.append(row)
            if not row["installed"]:
                print(f"{n:>5}  {row['code']:24}not installed")
                continue
            found = {"of roof": row.get("roof_share")}
            for key, value in row.items():
                found |= {c: value for c in columns if key.startswith(c)}
            text = "".join(
                " " * (len(c) + 2) if found.get(c) is None
                else f"{found[c]:>{len(c) + 2}.{2 if c == 'of roof' else 1}f}"
                for c in columns
            )  # fmt: skip
            print(f"{n:>5}  {row['code']:24}{row['best']:>7.1f}{row['median']:>8.1f}{text}")
    print(
        "\nof roof: bytes the kernel must move over what a += s b moves on as large a working set"
    )
    for precision in ("float64", "float32"):
        rate = resident_rate(precision)
        rows.append({"code": f"ours {precision}, in the cache", "best": rate})
        print(f"ours {precision} on 20 rows of 500 cells, which stay in the cache: {rate:.0f}")
    print("What a large grid reaches of that is what memory leaves; the rest is arithmetic.")
    for n in (64, 256):
        ratio = surrogate_speed_up(n)
        rows.append({"code": "learned", "grid": n, "x solver": ratio})
        print(f"learned model on {n} x {n} cells: {ratio:.0f} x as fast as the solver, one storm")
    taken = [[ensemble_seconds(workers) for workers in (1, 2)] for _ in range(min(rounds, 3))]
    one, two = (min(column) for column in zip(*taken, strict=True))
    rows.append({"code": "ensemble of 32, 2 workers", "x 1 worker": one / two})
    print(f"an ensemble of 32 floods on 2 workers: {one / two:.2f} x as fast as on 1, best of each")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
