"""Cells of the shallow water equations: what each can give, and one Euler step of it, row by row.

Notable in this file:

* *The bed enters as -g h times the slope of the level*, which is zero at rest.
* *Friction is implicit in the new velocity*, in closed form, inside each stage: a steady state of
  one stage is one of the step.
* *The limiter is always on*, as in `kernel`: no cell gives more than it holds, in either stage.
"""

import numpy as np

from assay.systems.climate_impact.intrinsics import compiled, larger, read, write
from assay.systems.climate_impact.kernel import inverse_cube_root

__all__ = ["correct", "extremes", "gather", "limit", "predict"]


@compiled
def gather(h, slopes_x, slopes_y, faces_x, north, south, out, s):
    """The share of its outflow that each cell can afford, and the force on it (m3/s2)."""
    flow_x, left_x, right_x, _ = faces_x
    flow_n, _, right_n, _ = north
    flow_s, left_s, _, _ = south
    level_x, level_y = slopes_x[1], slopes_y[1]
    share, push_x, push_y = out
    for j in range(h.size - 2):
        c = j + 1
        leaving = (max(read(flow_x, c, "g"), s.zero) - min(read(flow_x, j, "g"), s.zero)) + (
            max(read(flow_s, c, "g"), s.zero) - min(read(flow_n, c, "g"), s.zero)
        )
        depth = read(h, c, "g")
        write(share, c, min(s.one, depth * s.keep / max(leaving * s.ratio, s.tiny)), "g0")
        weight = s.two * s.gravity * depth  # the slopes are halves
        push = read(right_x, j, "g") - read(left_x, c, "g")
        write(push_x, c, push - weight * read(level_x, c, "g"), "g1")
        push = read(right_n, c, "g") - read(left_s, c, "g")
        write(push_y, c, push - weight * read(level_y, c, "g"), "g2")


@compiled
def limit(faces_x, south, share, share_south, s):
    """Scale flows, and what they carry across, to what their donors can afford."""
    flow_x, side_x, flow_s, side_s = faces_x[0], faces_x[3], south[0], south[3]
    for j in range(share.size - 1):
        flow, here = read(flow_x, j, "l0"), read(share, j, "l")
        part = here if flow > s.zero else read(share, j + 1, "l")
        write(flow_x, j, flow * part, "l0")
        write(side_x, j, read(side_x, j, "l1") * part, "l1")
        flow = read(flow_s, j, "l2")
        part = here if flow > s.zero else read(share_south, j, "l")
        write(flow_s, j, flow * part, "l2")
        write(side_s, j, read(side_s, j, "l3") * part, "l3")


@compiled
def _euler(h, u, v, a, gain, push_x, push_y, s):
    """Depth and velocities of a cell after an Euler step with implicit friction.

    With F = dt g n^2 / h^(4/3), the new speed w solves w (1 + F w) = the speed without friction.
    """
    depth = h + s.ratio * gain
    film = max(depth, s.dry)
    inverse = s.one / film
    x = (h * u + s.ratio * push_x) * inverse
    y = (h * v + s.ratio * push_y) * inverse
    root = inverse_cube_root(film, s)
    friction = s.sixteen_dt * (a * a) * ((root * root) * (root * root))
    slowed = s.two / (s.one + np.sqrt(s.one + friction * np.sqrt(x * x + y * y)))
    slowed = slowed if depth > s.dry else s.zero
    return depth, x * slowed, y * slowed


@compiled
def predict(source, a, faces_x, north, south, pushes, target, s):
    """First stage of a row: state B is an Euler step from state A."""
    h, u, v = source
    flow_x, side_x = faces_x[0], faces_x[3]
    flow_n, side_n, flow_s, side_s = north[0], north[3], south[0], south[3]
    push_x, push_y = pushes
    new_h, new_u, new_v = target
    for j in range(h.size - 2):
        c = j + 1
        gain = (read(flow_x, j, "p") - read(flow_x, c, "p")) + (
            read(flow_n, c, "p") - read(flow_s, c, "p")
        )
        along = read(push_x, c, "p") + (read(side_n, c, "p") - read(side_s, c, "p"))
        down = read(push_y, c, "p") + (read(side_x, j, "p") - read(side_x, c, "p"))
        depth, x, y = _euler(
            read(h, c, "p"), read(u, c, "p"), read(v, c, "p"), read(a, c, "p"), gain, along, down, s
        )
        write(new_h, c, depth, "p0")
        write(new_u, c, x, "p1")
        write(new_v, c, y, "p2")


@compiled
def correct(source, z, a, faces_x, north, south, pushes, target, peak, s):
    """Second stage of a row: state A becomes its mean with an Euler step from B, then rain."""
    h, u, v = source
    flow_x, side_x = faces_x[0], faces_x[3]
    flow_n, side_n, flow_s, side_s = north[0], north[3], south[0], south[3]
    push_x, push_y = pushes
    old_h, old_u, old_v = target
    for j in range(h.size - 2):
        c = j + 1
        gain = (read(flow_x, j, "q") - read(flow_x, c, "q")) + (
            read(flow_n, c, "q") - read(flow_s, c, "q")
        )
        along = read(push_x, c, "q") + (read(side_n, c, "q") - read(side_s, c, "q"))
        down = read(push_y, c, "q") + (read(side_x, j, "q") - read(side_x, c, "q"))
        depth, x, y = _euler(
            read(h, c, "q"), read(u, c, "q"), read(v, c, "q"), read(a, c, "q"), gain, along, down, s
        )
        before, after = s.old * read(old_h, c, "q0"), s.new * depth
        rain = s.rain if read(z, c, "q") < s.wall else s.zero
        mixed = (before + after) + rain
        inverse = s.one / max(mixed, s.dry)
        inverse = inverse if mixed > s.dry else s.zero
        write(old_h, c, mixed, "q0")
        write(old_u, c, (before * read(old_u, c, "q1") + after * x) * inverse, "q1")
        write(old_v, c, (before * read(old_v, c, "q2") + after * y) * inverse, "q2")
        write(peak, c, larger(read(peak, c, "q3"), mixed), "q3")


@compiled
def extremes(h, u, v, highest, fastest, s):
    """Keep the largest depth and |u| + sqrt(g h) of each column."""
    for j in range(h.size):
        depth = read(h, j, "e")
        speed = max(abs(read(u, j, "e")), abs(read(v, j, "e"))) + np.sqrt(s.gravity * depth)
        write(highest, j, larger(read(highest, j, "e0"), depth), "e0")
        write(fastest, j, larger(read(fastest, j, "e1"), speed), "e1")
