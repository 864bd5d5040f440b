"""Running maxima of speed and hazard, and the arrival of the water: what maps keep of a flood.

The flow kernels keep the maximum depth themselves, since it costs them nothing.
"""

import numpy as np

from assay.systems.climate_impact.intrinsics import compiled, write
from assay.systems.climate_impact.kernel import flow_depth, step_constants

__all__ = ["track"]


@compiled
def _face_velocity(h0, h1, z0, z1, q, s):
    deep = flow_depth(h0, h1, z0, z1, s)
    depth = max(deep, s.dry)
    critical = np.sqrt(s.gravity * depth)
    flow = min(max(q / depth, -critical), critical)
    return flow if deep > s.dry else s.zero


@compiled
def _velocities_y(h0, h1, z0, z1, q, out, s):
    for j in range(h0.size):
        write(out, j, _face_velocity(h0[j], h1[j], z0[j], z1[j], q[j], s), "v0")


@compiled
def track(state, rows, scheme, hours, arrival_depth_m, velocity, hazard, arrival):
    """Update the running maxima of velocity (m/s) and hazard (m2/s), and the arrival time (h).

    The velocity of a face is its flow over its depth, at most critical; that of a cell the norm of
    the means of its opposite faces. Sampled: call it every few steps. ``arrival`` (unbordered like
    the two maxima, infinite where dry so far) uses ``peak``, so it misses no wave, only the moment.
    """
    z, h, qx, qy, _, peak = state
    along, above, below = rows[0], rows[1], rows[2]
    s = step_constants(h, scheme, 0.0, 0.0)
    nx, ny = h.shape[1] - 2, h.shape[0] - 2
    time = h.dtype.type(hours)
    threshold = h.dtype.type(arrival_depth_m)
    half = h.dtype.type(0.5)
    _velocities_y(h[1], h[1], z[1], z[1], qy[0], above, s)
    for r in range(1, ny + 1):
        following = min(r + 1, ny)
        _velocities_y(h[r], h[following], z[r], z[following], qy[r], below, s)
        along[0] = _face_velocity(h[r, 1], h[r, 1], z[r, 1], z[r, 1], qx[r, 0], s)
        for j in range(1, nx):
            along[j] = _face_velocity(h[r, j], h[r, j + 1], z[r, j], z[r, j + 1], qx[r, j], s)
        along[nx] = _face_velocity(h[r, nx], h[r, nx], z[r, nx], z[r, nx], qx[r, nx], s)
        for j in range(nx):
            u = half * (along[j] + along[j + 1])
            v = half * (above[j + 1] + below[j + 1])
            depth = h[r, j + 1]
            speed = np.sqrt(u * u + v * v) if depth > s.dry else s.zero
            velocity[r - 1, j] = max(velocity[r - 1, j], speed)
            hazard[r - 1, j] = max(hazard[r - 1, j], speed * depth)
            if peak[r, j + 1] > threshold:
                arrival[r - 1, j] = min(arrival[r - 1, j], time)
        above, below = below, above
