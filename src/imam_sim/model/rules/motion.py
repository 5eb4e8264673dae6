"""Motion: a persistent random walk in continuous space whose turns are biased up the gradient of an attractant.

The walk is a velocity-jump process: a cell runs at constant speed along its heading and turns at the hazard 1 / persistence_time; the new
heading has the density (1 + b cos) / 2 pi about the gradient, b the bias. So without bias the mean square displacement tends to 4 D t with
D = speed^2 persistence_time / 2, and under a constant bias the mean drift is speed b / 2. Cells do not enter living fibre, slide along
it, and do not crowd into a voxel beyond `cells_per_voxel`.
"""

from __future__ import annotations

import numpy as np

from imam_sim.model.fields import gradient, read
from imam_sim.model.jit import jit
from imam_sim.model.maths import chance, hill
from imam_sim.model.params import Motility
from imam_sim.model.rng import Draw, direction, uniform, uniform_pair
from imam_sim.model.space import column, ground_at, living
from imam_sim.model.state import VOXEL, Bytes, Cells, Floats, Ints, Kind, Now

CELL_LENGTH = 10.0  # um, over which a cell compares the two sides of itself
STRIDE = 2.5  # um, the longest move between two looks at the ground
FARTHEST = 40  # voxels, how far a cell enclosed by a growing fibre is set aside


@jit
def turning_bias(level: float, slope: float, p: Motility) -> float:
    """Bias b of a turn up a gradient, 0 to bias_max.

    b = bias_max d/(d + difference_half), d = L slope K/(K + level)^2: the difference of receptor occupancy across a cell of length
    L = 10 um, K = attractant_half; level in ng/mL, slope in ng/mL/um [zigmond1977].
    """
    difference = CELL_LENGTH * slope * p.attractant_half / ((p.attractant_half + level) * (p.attractant_half + level))
    return p.bias_max * hill(difference, p.difference_half)


@jit
def turn(ux: float, uy: float, gx: float, gy: float, bias: float, lot: float) -> tuple[float, float]:
    """Make a random heading (ux, uy) favour the direction (gx, gy), both unit vectors: turn it round with probability (1 - b cos)/2.

    A uniform heading kept with probability (1 + b cos)/2 and reversed otherwise has the density (1 + b cos) / 2 pi.
    """
    if lot < (1.0 - bias * (ux * gx + uy * gy)) / 2.0:
        return -ux, -uy
    return ux, uy


@jit
def walk(cells: Cells, level: Floats, ground: Bytes, to_x: Floats, to_y: Floats, kind: int, attractant: int, p: Motility, now: Now) -> None:
    """Propose where each cell of a kind goes in this step (writes to_x, to_y, ux, uy); attractant -1: none."""
    rows, columns = ground.shape
    width, height = columns * VOXEL, rows * VOXEL
    if p.speed == 0.0:
        return
    strides = int(max(np.ceil(p.speed * now.dt / STRIDE), np.ceil(2.0 * now.dt / p.persistence_time)))  # no stride hides two turns
    time = now.dt / strides
    length = p.speed * time
    due = chance(1.0 / p.persistence_time, time)
    for i in range(cells.kind.size):
        if cells.kind[i] != kind:
            continue
        x, y = cells.x[i], cells.y[i]
        ux, uy = cells.ux[i], cells.uy[i]
        bias, gx, gy = 0.0, 1.0, 0.0
        if attractant >= 0:
            gx, gy = gradient(level, attractant, x, y)
            slope = np.sqrt(gx * gx + gy * gy)
            if slope > 0.0:
                bias = turning_bias(read(level, attractant, x, y), slope, p)
                gx, gy = gx / slope, gy / slope
        for k in range(strides):
            lot, lot_of_bias = uniform_pair(now, cells.id[i], Draw.MOVE, k)
            if lot < due:
                ux, uy = direction(now, cells.id[i], Draw.TURN, k)
                ux, uy = turn(ux, uy, gx, gy, bias, lot_of_bias)
            x_new, y_new = x + ux * length, y + uy * length
            if x_new < 0.0 or x_new >= width:
                ux, x_new = -ux, x
            if y_new < 0.0 or y_new >= height:
                uy, y_new = -uy, y
            if not living(ground_at(ground, x_new, y_new)):
                x, y = x_new, y_new
            elif not living(ground_at(ground, x_new, y)):
                x = x_new
            elif not living(ground_at(ground, x, y_new)):
                y = y_new
            else:
                ux, uy = -ux, -uy
        to_x[i], to_y[i] = x, y
        cells.ux[i], cells.uy[i] = ux, uy


@jit
def place(cells: Cells, to_x: Floats, to_y: Floats, ground: Bytes, standing: Ints, best: Floats, room: float, now: Now) -> None:
    """Move cells to where they want to go, as far as there is room (writes x, y, ux, uy; standing and best are working space per voxel).

    A voxel takes in as many newcomers as `room` leaves beside those who stood in it before the step; if more want in, the lot decides,
    place by place; who loses stays and turns round. Moves within a voxel are free. Tracers take no room.
    """
    rows, columns = ground.shape
    n = cells.kind.size
    pending = np.zeros(n, np.bool_)
    for row in range(rows):
        for col in range(columns):
            standing[row, col] = 0
    for i in range(n):
        if cells.kind[i] != Kind.TRACER:
            standing[column(cells.y[i], rows, VOXEL), column(cells.x[i], columns, VOXEL)] += 1
    for i in range(n):
        row, col = column(to_y[i], rows, VOXEL), column(to_x[i], columns, VOXEL)
        if cells.kind[i] == Kind.TRACER or (row == column(cells.y[i], rows, VOXEL) and col == column(cells.x[i], columns, VOXEL)):
            cells.x[i], cells.y[i] = to_x[i], to_y[i]
        else:
            pending[i] = True
    for _ in range(int(room)):
        for i in range(n):
            if pending[i]:
                best[column(to_y[i], rows, VOXEL), column(to_x[i], columns, VOXEL)] = 2.0
        for i in range(n):
            if pending[i]:
                row, col = column(to_y[i], rows, VOXEL), column(to_x[i], columns, VOXEL)
                if standing[row, col] + 1 <= room:
                    best[row, col] = min(best[row, col], uniform(now, cells.id[i], Draw.PLACE_CONTEST))
        for i in range(n):
            if pending[i]:
                row, col = column(to_y[i], rows, VOXEL), column(to_x[i], columns, VOXEL)
                if best[row, col] == uniform(now, cells.id[i], Draw.PLACE_CONTEST):
                    cells.x[i], cells.y[i] = to_x[i], to_y[i]
                    standing[row, col] += 1
                    pending[i] = False
    for i in range(n):
        if pending[i]:
            cells.ux[i], cells.uy[i] = -cells.ux[i], -cells.uy[i]


@jit
def set_aside(cells: Cells, ground: Bytes) -> None:
    """Move cells that a growing fibre has enclosed to the nearest voxel that is not living fibre (writes x, y)."""
    rows, columns = ground.shape
    for i in range(cells.kind.size):
        row, col = column(cells.y[i], rows, VOXEL), column(cells.x[i], columns, VOXEL)
        if not living(ground[row, col]):
            continue
        nearest = FARTHEST * FARTHEST
        for r in range(max(row - FARTHEST, 0), min(row + FARTHEST + 1, rows)):
            for c in range(max(col - FARTHEST, 0), min(col + FARTHEST + 1, columns)):
                distance = (r - row) * (r - row) + (c - col) * (c - col)
                if distance < nearest and not living(ground[r, c]):
                    nearest = distance
                    cells.x[i], cells.y[i] = (c + 0.5) * VOXEL, (r + 0.5) * VOXEL
