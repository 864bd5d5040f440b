"""Rays and capsules, compiled: where a ray first meets one, and what colour it has there.

Arrays are as in `hand_rendering`, first axis the hand; a camera is an intrinsic matrix with one
focal length; of a grid ``finer`` times as fine as the pixels, the rays pass through the middles of
its cells, and pixel (0, 0) has its middle at u = v = 0.
"""

import math

import numpy as np

from assay.parts.compiled import kept_on_disk
from assay.systems.product_of_experts.hand_shapes import CREASED, NAIL, SLEEVED

__all__ = ["shade_rays", "trace_rays"]


def _trace_python(start, end, radius, camera, finer, depth, which) -> None:
    """Fill in the nearest hit of every ray; arrays as in `trace`."""
    focal, mid_u, mid_v = camera[0, 0], camera[0, 2], camera[1, 2]
    grid = depth.shape[1]
    for h in range(start.shape[0]):
        for c in range(start.shape[1]):
            a, b, r = start[h, c], end[h, c], radius[h, c]
            left, right, top, bottom = np.inf, -np.inf, np.inf, -np.inf
            for x, y, z in ((a[0], a[1], a[2]), (b[0], b[1], b[2])):
                near, far = max(z - r, 1e-3), z + r
                left = min(left, (x - r) / (near if x < r else far))
                right = max(right, (x + r) / (far if x < -r else near))
                top = min(top, (y - r) / (near if y < r else far))
                bottom = max(bottom, (y + r) / (far if y < -r else near))
            first_u = max(math.floor((focal * left + mid_u + 0.5) * finer - 0.5), 0)
            last_u = min(math.ceil((focal * right + mid_u + 0.5) * finer - 0.5), grid - 1)
            first_v = max(math.floor((focal * top + mid_v + 0.5) * finer - 0.5), 0)
            last_v = min(math.ceil((focal * bottom + mid_v + 0.5) * finer - 0.5), grid - 1)
            for i in range(first_v, last_v + 1):
                dy = ((i + 0.5) / finer - 0.5 - mid_v) / focal
                for j in range(first_u, last_u + 1):
                    dx = ((j + 0.5) / finer - 0.5 - mid_u) / focal
                    z = _meet(a[0], a[1], a[2], b[0], b[1], b[2], r, dx, dy)
                    if z < depth[h, i, j]:
                        depth[h, i, j] = z
                        which[h, i, j] = c


def _meet_python(ax, ay, az, bx, by, bz, r, dx, dy):
    """Where the ray through (dx, dy, 1) first meets a capsule; infinite if it does not.

    The infinite cylinder around the axis first: where the ray misses it, it misses the capsule.
    """
    ex, ey, ez = bx - ax, by - ay, bz - az
    dd = dx * dx + dy * dy + 1.0
    ee = ex * ex + ey * ey + ez * ez
    ed = ex * dx + ey * dy + ez
    ea = -(ex * ax + ey * ay + ez * az)
    da = -(dx * ax + dy * ay + az)
    aa = ax * ax + ay * ay + az * az
    square = ee * dd - ed * ed
    along = ea
    if square > 1e-12 * ee * dd:
        linear = ee * da - ea * ed
        root = linear * linear - square * (ee * aa - ea * ea - r * r * ee)
        if root < 0.0:
            return np.inf
        z = (-linear - math.sqrt(root)) / square
        along = ea + z * ed
        if 0.0 < along < ee:
            return z
    elif ed < 0.0:
        along = ee + 1.0  # along the axis, from the far end
    cx, cy, cz = (ax, ay, az) if along <= 0.0 or ee == 0.0 else (bx, by, bz)
    dc = dx * cx + dy * cy + cz
    root = dc * dc - dd * (cx * cx + cy * cy + cz * cz - r * r)
    return (dc - math.sqrt(root)) / dd if root >= 0.0 else np.inf


def _shade_python(
    depth, which, behind, start, end, radius, back, mark,
    skin, palm, sleeve, light, ambient, camera,
):  # fmt: skip
    """Colours of pixels: the mean of their rays."""
    hands, pixels = behind.shape[0], behind.shape[1]
    finer = depth.shape[1] // pixels
    focal, mid_u, mid_v = camera[0, 0], camera[0, 2], camera[1, 2]
    color = np.zeros(behind.shape, np.float32)
    for h in range(hands):
        for i in range(pixels * finer):
            dy = ((i + 0.5) / finer - 0.5 - mid_v) / focal
            for j in range(pixels * finer):
                c = which[h, i, j]
                row, column = i // finer, j // finer
                if c < 0:
                    for k in range(3):
                        color[h, row, column, k] += behind[h, row, column, k]
                    continue
                dx = ((j + 0.5) / finer - 0.5 - mid_u) / focal
                a, b, z = start[h, c], end[h, c], depth[h, i, j]
                ex, ey, ez = b[0] - a[0], b[1] - a[1], b[2] - a[2]
                px, py, pz = z * dx - a[0], z * dy - a[1], z - a[2]
                length = math.sqrt(ex * ex + ey * ey + ez * ez)
                s = (px * ex + py * ey + pz * ez) / (length * length) if length > 0 else 0.0
                s = min(max(s, 0.0), 1.0)
                r = radius[h, c]
                nx, ny, nz = (px - s * ex) / r, (py - s * ey) / r, (pz - s * ez) / r
                facing = -(nx * dx + ny * dy + nz) / math.sqrt(dx * dx + dy * dy + 1.0)
                lit = max(nx * light[h, 0] + ny * light[h, 1] + nz * light[h, 2], 0.0)
                gain = (ambient[h] + (1.15 - ambient[h]) * lit) * (0.45 + 0.55 * facing)
                to_back = nx * back[h, c, 0] + ny * back[h, c, 1] + nz * back[h, c, 2]
                share = min(max(0.5 + 1.5 * to_back, 0.0), 1.0)
                nail = mark[c] & NAIL and to_back > 0.55 and s > 0.35
                if mark[c] & CREASED and not nail:
                    near = s * length < 0.0025 or (
                        not mark[c] & NAIL and (1.0 - s) * length < 0.0025
                    )
                    gain *= 0.68 if near else 1.0
                for k in range(3):
                    level = share * skin[h, k] + (1.0 - share) * palm[h, k]
                    if nail:
                        level = 0.45 * level + 0.55 * (245.0 - 25.0 * k)
                    if mark[c] & SLEEVED and s > 0.2:
                        level = sleeve[h, k]
                    color[h, row, column, k] += gain * level
    return color / (finer * finer)


_meet = kept_on_disk(_meet_python)
trace_rays = kept_on_disk(_trace_python)
shade_rays = kept_on_disk(_shade_python)
