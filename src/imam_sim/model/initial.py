"""The tissue at time 0: fascia, fascicles, fibres, capillaries and the cells that live in healthy muscle.

Fascicles are a relaxed Voronoi diagram, fibres a relaxed power diagram inside each fascicle: the power distance of a point p to a seed s
of weight w is |p - s|^2 - w, and the weights are adjusted until every fibre has the area that was drawn for it. All of it is plain
arithmetic on the voxel grid, so the same seed gives the same bytes everywhere.
"""

from __future__ import annotations

from math import floor, isfinite, sqrt
from typing import NamedTuple

import numpy as np

from imam_sim.model.fields import empty_fields
from imam_sim.model.jit import jit
from imam_sim.model.maths import exp
from imam_sim.model.params import Geometry, Parameters
from imam_sim.model.rng import Draw, direction, uniform, uniform_pair
from imam_sim.model.state import (
    LEAST_CAPACITY,
    MM2,
    NOBODY,
    SIGNAL_VOXEL,
    SPARE,
    VOXEL,
    Bytes,
    Cells,
    Compartment,
    Counter,
    Fibres,
    FibreState,
    Flags,
    Floats,
    Ground,
    Ints,
    Kind,
    Longs,
    Now,
    Region,
    Tissue,
    VesselKind,
    Vessels,
    Voxels,
)

FASCICLE_MOVES = 4  # few centroid moves leave fascicles of unequal size
FIBRE_MOVES = 30  # centroid moves on the coarse raster
FIBRE_TRIMS = 4  # rounds on the fine raster in which only the weights change
FIBRE_CORRECTIONS = 2  # times that the areas aimed at are corrected by the areas reached
COARSE = 2  # the coarse raster takes every second voxel
HEXAGON_RESPONSE = 1.7320508075688772  # d area / d weight of a cell among hexagons of one size
DAMPING = 0.5  # share of the wanted weight change that is made at once
BIN = 1.5  # edge of a bin of seeds over the mean diameter of a cell
GAP_LAW = 0.93  # a gap w between hexagons of area a each takes sqrt(a + gap) - sqrt(a) = 0.93 w
NORMAL_BOUND = 0.8577638849607068  # sqrt(2 / e), the box of the ratio of uniforms
CUBE_STEP = 9.0  # the nine of the Wilson-Hilferty law
ROUNDING_RADIUS = 2  # voxels, half-width of the window that finds sharp corners
ROUNDING_SHARE = 0.4  # a fibre voxel goes if less of the window than this is its own fibre
LEAST_FIBRE = 12  # voxels, smaller fibres become connective tissue
BEST_GAIN = 3  # fibres that a capillary in a corner between fibres touches
TRIES = 1000  # draws for a free place before the next free one is taken
MM3 = 1e9  # um3
SPROUT_SITES = 2  # places at each capillary where a new one may grow


class Seeds(NamedTuple):
    """The seeds of a power diagram; a seed only reaches points of its own group."""

    x: Floats  # um
    y: Floats
    weight: Floats  # um2
    group: Ints


class Bins(NamedTuple):
    """Seeds sorted into square bins; bin b holds `seeds[first[b]:first[b + 1]]`."""

    first: Longs
    seeds: Longs
    edge: float  # um
    rows: int
    columns: int


class Layout(NamedTuple):
    """Which fibre and region every voxel belongs to."""

    fibre: Ints  # (ny, nx)
    region: Bytes  # (ny, nx)
    n_fibres: int


def make_tissue(params: Parameters, seed: int, width: float, height: float) -> Tissue:
    """A healthy muscle section of `width` x `height` um.

    ValueError where a side is not a positive multiple of 10 um, where the fascia leaves no room for a fibre, or where the resident cells
    do not fit into the connective tissue.
    """
    tissue = make_bare_tissue(params, width, height)
    ny, nx = tissue.voxels.ground.shape
    now = Now(seed, 0, 0.0)
    geometry = params.geometry
    layout = _lay_out(geometry, ny, nx, now)
    fibres = _make_fibres(layout, geometry)
    first_rim, rim = _find_rims(layout)
    capillaries = _place_capillaries(layout, first_rim, rim, geometry, now)
    first_vessel, touching = touched_vessels(layout.fibre, layout.n_fibres, capillaries, geometry.capillary_reach / VOXEL)
    fibres = fibres._replace(first_vessel=first_vessel, vessels=touching)
    cells, n_cells = _make_cells(params, layout, first_rim, rim, now)
    tissue.counters[Counter.CELLS] = tissue.counters[Counter.NEXT_ID] = n_cells
    vessels = _make_vessels(layout, capillaries, geometry, now)
    return tissue._replace(cells=cells, fibres=fibres, vessels=vessels, voxels=_make_voxels(layout, geometry))


def make_bare_tissue(params: Parameters, width: float, height: float) -> Tissue:
    """A section of loose connective tissue of `width` x `height` um without fibres, capillaries and cells: for laws on their own.

    ValueError where a side is not a positive multiple of 10 um.
    """
    shape = _side("height", height), _side("width", width)
    floats, longs, start = np.zeros(0), np.zeros(0, np.int64), np.zeros(1, np.int64)
    state, flags = np.zeros(0, np.int8), np.zeros(0, np.bool_)
    blood = np.zeros(len(Compartment))
    blood[Compartment.MONOCYTES] = 1.0
    blood[Compartment.CREATINE_KINASE] = params.blood.creatine_kinase_rest
    blood[Compartment.COMPLEMENT] = params.complement.level
    return Tissue(
        cells=_empty_cells(LEAST_CAPACITY),
        fibres=Fibres(
            floats, floats, longs, state, longs, floats, floats, flags, floats, floats, start, longs, start, np.zeros(0, np.int32)
        ),
        vessels=Vessels(floats, floats, flags, state, np.zeros(0, np.int32), floats),
        voxels=Voxels(
            fibre=np.full(shape, NOBODY, np.int32),
            region=np.zeros(shape, np.int8),
            ground=np.zeros(shape, np.int8),
            debris=np.zeros(shape),
            collagen=np.ones(shape),
            particles=np.zeros(shape),
        ),
        fields=empty_fields((shape[0] // 2, shape[1] // 2)),
        blood=blood,
        counters=np.zeros(len(Counter), np.int64),
    )


def _side(name: str, length: float) -> int:
    """The number of voxels along a side; ValueError if it is no positive multiple of a signal voxel."""
    if not isfinite(length) or length <= 0.0 or length % SIGNAL_VOXEL != 0.0:
        raise ValueError(f"{name}: got {length:g} um, must be a positive multiple of {SIGNAL_VOXEL:g} um")
    return round(length / VOXEL)


def _lay_out(geometry: Geometry, ny: int, nx: int, now: Now) -> Layout:
    """Regions and fibres. The first round measures what the gaps and rounded corners cost, the second has the right number of fibres."""
    n_fascia = floor(geometry.fascia_width / VOXEL + 0.5)
    if n_fascia >= ny:
        raise ValueError(f"height: got {ny * VOXEL:g} um, must be more than the fascia of {n_fascia * VOXEL:g} um")
    fascicle = _divide_into_fascicles(geometry, ny, nx, n_fascia, now)
    region = np.where(fascicle == NOBODY, np.int8(Region.PERIMYSIUM), np.int8(Region.FASCICLE)).astype(np.int8)
    region[:n_fascia] = Region.FASCIA
    room: Floats = np.bincount(fascicle[fascicle != NOBODY]).astype(np.float64) * (VOXEL * VOXEL)
    gap = GAP_LAW * geometry.endomysium_width
    fibre, n_fibres = _divide_into_fibres(geometry, fascicle, room, gap, 0, now)
    if n_fibres > 0:
        living = np.count_nonzero(fibre != NOBODY) * VOXEL * VOXEL
        gap = sqrt(float(room.sum()) / n_fibres) - sqrt(living / n_fibres)
        fibre, n_fibres = _divide_into_fibres(geometry, fascicle, room, gap, FIBRE_CORRECTIONS, now)
    if n_fibres == 0:
        raise ValueError(f"width, height: got {nx * VOXEL:g} x {ny * VOXEL:g} um, must be large enough for one fibre below the fascia")
    return Layout(fibre, region, n_fibres)


def _divide_into_fascicles(geometry: Geometry, ny: int, nx: int, n_fascia: int, now: Now) -> Ints:
    """(ny, nx) number of the fascicle of each voxel, NOBODY in fascia and perimysium."""
    below = np.full((ny, nx), NOBODY, np.int32)
    below[n_fascia:] = 0
    area = (ny - n_fascia) * nx * VOXEL * VOXEL
    n_fascicles = max(1, floor(area / geometry.fascicle_area + 0.5))
    seeds = scatter_fascicles(n_fascicles, n_fascia * VOXEL, ny * VOXEL, nx * VOXEL, now)
    edge = BIN * sqrt(area / n_fascicles)
    settle(seeds, below, np.zeros(n_fascicles), edge, COARSE, FASCICLE_MOVES, True, 0.0)
    label = np.full((ny, nx), NOBODY, np.int32)
    cut = divide(label, below, seeds, edge, geometry.perimysium_width / 2.0)
    cut |= straddle(label)
    label[cut] = NOBODY
    # A fascicle that perimysium has used up is no fascicle: numbers without gaps.
    _, renumbered = np.unique(label[label != NOBODY], return_inverse=True)
    label[label != NOBODY] = renumbered
    return label


def _divide_into_fibres(geometry: Geometry, fascicle: Ints, room: Floats, gap: float, corrections: int, now: Now) -> tuple[Ints, int]:
    """(ny, nx) number of the fibre of each voxel and how many fibres there are, if each costs `gap` um of diameter around itself.

    The areas aimed at are corrected by the areas reached so many times.
    """
    pitch = sqrt(geometry.fibre_area) + gap
    n_in_fascicle = np.maximum(1, np.floor(room / (pitch * pitch) + 0.5).astype(np.int64))
    n_fibres = int(n_in_fascicle.sum())
    group = np.repeat(np.arange(room.size, dtype=np.int32), n_in_fascicle)
    members = np.argsort(fascicle, axis=None, kind="stable")[np.count_nonzero(fascicle == NOBODY) :]
    first_member = np.concatenate(([0], np.cumsum(np.bincount(fascicle[fascicle != NOBODY])))).astype(np.int64)
    seeds = scatter_fibres(group, members, first_member, fascicle.shape[1], now)
    wanted = draw_areas(n_fibres, geometry.fibre_area, geometry.fibre_area_variation, now)
    target = (np.sqrt(wanted) + gap) ** 2
    target *= (room / np.bincount(group, weights=target))[group]
    edge = BIN * pitch
    settle(seeds, fascicle, target, edge, COARSE, FIBRE_MOVES, True, DAMPING / HEXAGON_RESPONSE)
    for _ in range(corrections):
        settle(seeds, fascicle, target, edge, 1, FIBRE_TRIMS, False, DAMPING / HEXAGON_RESPONSE)
        label = _carve(geometry, fascicle, seeds, edge)
        # What a gap costs depends on the shape: give each fibre what it lacks of its share of the living area of the fascicle.
        living = np.bincount(label[label != NOBODY], minlength=n_fibres) * (VOXEL * VOXEL)
        share = np.bincount(group, weights=living) / np.bincount(group, weights=wanted)
        target += wanted * share[group] - living
    settle(seeds, fascicle, target, edge, 1, FIBRE_TRIMS, False, DAMPING / HEXAGON_RESPONSE)
    label = _carve(geometry, fascicle, seeds, edge)
    return label, keep_whole(label, n_fibres)


def _carve(geometry: Geometry, fascicle: Ints, seeds: Seeds, edge: float) -> Ints:
    """(ny, nx) the seed of the fibre of each voxel, NOBODY in the gaps between fibres and at sharp corners."""
    label = np.full(fascicle.shape, NOBODY, np.int32)
    cut = divide(label, fascicle, seeds, edge, geometry.endomysium_width / 2.0)
    cut |= straddle(label)
    label[cut] = NOBODY
    return round_corners(label)


@jit
def scatter_fascicles(n: int, top: float, bottom: float, width: float, now: Now) -> Seeds:
    """Seeds of equal weight anywhere below the fascia."""
    seeds = Seeds(np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n, np.int32))
    for i in range(n):
        a, b = uniform_pair(now, i, Draw.INITIAL_FASCICLE)
        seeds.x[i] = a * width
        seeds.y[i] = top + b * (bottom - top)
    return seeds


@jit
def scatter_fibres(group: Ints, members: Longs, first_member: Longs, nx: int, now: Now) -> Seeds:
    """Seeds of equal weight, each in a voxel of its fascicle chosen by lot; `members` are the flat voxels of fascicle after fascicle."""
    n = group.size
    seeds = Seeds(np.zeros(n), np.zeros(n), np.zeros(n), group)
    for i in range(n):
        start, stop = first_member[group[i]], first_member[group[i] + 1]
        v = members[start + int(uniform(now, i, Draw.INITIAL_SEED) * (stop - start))]
        a, b = uniform_pair(now, i, Draw.INITIAL_SEED, 1)
        seeds.x[i] = (v % nx + a) * VOXEL
        seeds.y[i] = (v // nx + b) * VOXEL
    return seeds


@jit
def draw_areas(n: int, mean: float, variation: float, now: Now) -> Floats:
    """Gamma-distributed areas [um2] of coefficient of variation `variation`, by the cube of a normal deviate [wilson1931].

    area / mean = (1 - c + z sqrt(c))^3 with c = variation^2 / 9; the rare draws at or below zero are made again.
    """
    areas = np.empty(n)
    c = variation * variation / CUBE_STEP
    for i in range(n):
        root = 0.0
        attempt = 0
        while root <= 0.0:
            u, v = uniform_pair(now, i, Draw.INITIAL_AREA, attempt)
            attempt += 1
            if u > 0.0:
                z = NORMAL_BOUND * (2.0 * v - 1.0) / u
                if u * u <= exp(-0.5 * z * z):
                    root = 1.0 - c + z * np.sqrt(c)
        areas[i] = mean * root * root * root
    return areas


@jit
def sort_into_bins(seeds: Seeds, edge: float, width: float, height: float) -> Bins:
    """Counting sort of the seeds by square bin of `edge` um."""
    columns, rows = int(width / edge) + 1, int(height / edge) + 1
    first = np.zeros(rows * columns + 1, np.int64)
    for i in range(seeds.x.size):
        first[int(seeds.y[i] / edge) * columns + int(seeds.x[i] / edge) + 1] += 1
    first = np.cumsum(first)
    filled = first[:-1].copy()
    order = np.empty(seeds.x.size, np.int64)
    for i in range(seeds.x.size):
        b = int(seeds.y[i] / edge) * columns + int(seeds.x[i] / edge)
        order[filled[b]] = i
        filled[b] += 1
    return Bins(first, order, edge, rows, columns)


@jit
def nearest_seed(x: float, y: float, group: int, seeds: Seeds, bins: Bins) -> int:
    """The seed of the group with the least power distance, looked for in nine bins and, if none is there, among all."""
    best, least = -1, np.inf
    row, column = int(y / bins.edge), int(x / bins.edge)
    for r in range(max(row - 1, 0), min(row + 2, bins.rows)):
        for c in range(max(column - 1, 0), min(column + 2, bins.columns)):
            b = r * bins.columns + c
            for k in range(bins.first[b], bins.first[b + 1]):
                i = bins.seeds[k]
                if seeds.group[i] == group:
                    dx, dy = x - seeds.x[i], y - seeds.y[i]
                    power = dx * dx + dy * dy - seeds.weight[i]
                    if power < least or (power == least and i < best):
                        best, least = i, power
    if best < 0:
        for i in range(seeds.x.size):
            if seeds.group[i] == group:
                dx, dy = x - seeds.x[i], y - seeds.y[i]
                power = dx * dx + dy * dy - seeds.weight[i]
                if power < least:
                    best, least = i, power
    return best


@jit
def distance_to_border(x: float, y: float, own: int, seeds: Seeds, bins: Bins) -> float:
    """Distance [um] to the nearest border of the cell of seed `own`: min over j of (power_j - power_own) / (2 |s_j - s_own|)."""
    least = np.inf
    dx, dy = x - seeds.x[own], y - seeds.y[own]
    power_own = dx * dx + dy * dy - seeds.weight[own]
    row, column = int(y / bins.edge), int(x / bins.edge)
    for r in range(max(row - 1, 0), min(row + 2, bins.rows)):
        for c in range(max(column - 1, 0), min(column + 2, bins.columns)):
            b = r * bins.columns + c
            for k in range(bins.first[b], bins.first[b + 1]):
                j = bins.seeds[k]
                if j != own and seeds.group[j] == seeds.group[own]:
                    dx, dy = x - seeds.x[j], y - seeds.y[j]
                    power = dx * dx + dy * dy - seeds.weight[j]
                    dx, dy = seeds.x[j] - seeds.x[own], seeds.y[j] - seeds.y[own]
                    apart = np.sqrt(dx * dx + dy * dy)
                    if apart > 0.0:
                        least = min(least, (power - power_own) / (2.0 * apart))
    return least


@jit
def settle(seeds: Seeds, group: Ints, target: Floats, edge: float, stride: int, rounds: int, move: bool, rate: float) -> None:
    """Writes seeds.x, seeds.y (to the centroids of their cells, if `move`) and seeds.weight (by `rate` times the missing area).

    group: (ny, nx), which group of seeds competes for a voxel; every `stride`-th voxel is looked at. target: um2 of each cell.
    """
    ny, nx = group.shape
    n = seeds.x.size
    share = VOXEL * VOXEL * stride * stride
    for _ in range(rounds):
        bins = sort_into_bins(seeds, edge, nx * VOXEL, ny * VOXEL)
        count = np.zeros(n)
        sum_x = np.zeros(n)
        sum_y = np.zeros(n)
        for row in range(0, ny, stride):
            y = (row + 0.5) * VOXEL
            for column in range(0, nx, stride):
                if group[row, column] != NOBODY:
                    x = (column + 0.5) * VOXEL
                    i = nearest_seed(x, y, group[row, column], seeds, bins)
                    count[i] += 1.0
                    sum_x[i] += x
                    sum_y[i] += y
        for i in range(n):
            if move and count[i] > 0.0:
                seeds.x[i] = sum_x[i] / count[i]
                seeds.y[i] = sum_y[i] / count[i]
            seeds.weight[i] += rate * (target[i] - count[i] * share)


@jit
def divide(label: Ints, group: Ints, seeds: Seeds, edge: float, half_gap: float) -> Flags:
    """Writes label: the seed whose cell each voxel lies in. Returns (ny, nx), whether its end is nearer to a border than `half_gap` um."""
    ny, nx = label.shape
    bins = sort_into_bins(seeds, edge, nx * VOXEL, ny * VOXEL)
    near = np.zeros((ny, nx), np.bool_)
    for row in range(ny):
        for column in range(nx):
            if group[row, column] != NOBODY:
                x, y = (column + 0.5) * VOXEL, (row + 0.5) * VOXEL
                i = nearest_seed(x, y, group[row, column], seeds, bins)
                label[row, column] = i
                # Where four voxels meet, as in `straddle`, so that the two together are no wider than either.
                x, y = min(x + VOXEL / 2.0, nx * VOXEL), min(y + VOXEL / 2.0, ny * VOXEL)
                i = nearest_seed(x, y, group[row, column], seeds, bins)
                near[row, column] = distance_to_border(x, y, i, seeds, bins) < half_gap
    return near


@jit
def straddle(label: Ints) -> Flags:
    """Whether the 2 x 2 voxels that start at a voxel hold different labels: a way between any two labels, connected over voxel edges."""
    ny, nx = label.shape
    mixed = np.zeros((ny, nx), np.bool_)
    for row in range(ny):
        for column in range(nx):
            below, right = min(row + 1, ny - 1), min(column + 1, nx - 1)
            own = label[row, column]
            mixed[row, column] = label[below, column] != own or label[row, right] != own or label[below, right] != own
    return mixed


@jit
def round_corners(label: Ints) -> Ints:
    """The labels without the voxels in whose window too few voxels are of the same fibre; beyond the edge of the domain nothing counts."""
    ny, nx = label.shape
    rounded = label.copy()
    for row in range(ny):
        for column in range(nx):
            own = label[row, column]
            if own != NOBODY:
                same = 0
                seen = 0
                for r in range(max(row - ROUNDING_RADIUS, 0), min(row + ROUNDING_RADIUS + 1, ny)):
                    for c in range(max(column - ROUNDING_RADIUS, 0), min(column + ROUNDING_RADIUS + 1, nx)):
                        seen += 1
                        same += label[r, c] == own
                if same < ROUNDING_SHARE * seen:
                    rounded[row, column] = NOBODY
    return rounded


@jit
def keep_whole(label: Ints, n: int) -> int:
    """Writes label: of each fibre only its largest piece, connected over voxel edges, if large enough; numbers without gaps.

    Returns the number of fibres left.
    """
    ny, nx = label.shape
    piece = np.full(ny * nx, -1, np.int64)
    flat = label.ravel()
    stack = np.empty(ny * nx, np.int64)
    largest = np.full(n, -1, np.int64)
    largest_size = np.zeros(n, np.int64)
    for start in range(ny * nx):
        if flat[start] != NOBODY and piece[start] < 0:
            own = flat[start]
            piece[start] = start
            stack[0] = start
            waiting, size = 1, 0
            while waiting > 0:
                waiting -= 1
                v = stack[waiting]
                size += 1
                row, column = v // nx, v % nx
                for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                    if 0 <= r < ny and 0 <= c < nx:
                        u = r * nx + c
                        if flat[u] == own and piece[u] < 0:
                            piece[u] = start
                            stack[waiting] = u
                            waiting += 1
            if size > largest_size[own]:
                largest[own] = start
                largest_size[own] = size
    number = np.full(n, NOBODY, np.int32)
    kept = 0
    for f in range(n):
        if largest_size[f] >= LEAST_FIBRE:
            number[f] = kept
            kept += 1
    for v in range(ny * nx):
        own = flat[v]
        if own != NOBODY:
            label[v // nx, v % nx] = number[own] if piece[v] == largest[own] else NOBODY
    return kept


def _make_fibres(layout: Layout, geometry: Geometry) -> Fibres:
    """The fibres without their vessels, all intact and full."""
    n = layout.n_fibres
    nx = layout.fibre.shape[1]
    flat = np.flatnonzero(layout.fibre.ravel() != NOBODY)
    fibre = layout.fibre.ravel()[flat]
    rows, columns = np.divmod(flat, nx)
    territory = np.bincount(fibre, minlength=n).astype(np.int64)
    row = np.bincount(fibre, weights=rows, minlength=n) / territory
    column = np.bincount(fibre, weights=columns, minlength=n) / territory
    from_centre = (rows - row[fibre]) ** 2 + (columns - column[fibre]) ** 2
    inwards = np.lexsort((flat, from_centre, -squared_depths(layout.fibre).ravel()[flat], fibre))
    return Fibres(
        x=(column + 0.5) * VOXEL,
        y=(row + 0.5) * VOXEL,
        territory=territory,
        state=np.full(n, FibreState.INTACT, np.int8),
        living=territory.copy(),
        volume=territory.astype(np.float64) * (VOXEL * VOXEL * geometry.depth),
        alarm=np.zeros(n),
        central_nuclei=np.zeros(n, np.bool_),
        complement=np.zeros(n),
        opsonised=np.zeros(n),
        first_voxel=np.concatenate(([0], np.cumsum(territory))).astype(np.int64),
        voxels=flat[inwards].astype(np.int64),
        first_vessel=np.zeros(n + 1, np.int64),
        vessels=np.zeros(0, np.int32),
    )


@jit
def squared_depths(fibre: Ints) -> Longs:
    """(ny, nx) squared distance [voxels] to the nearest voxel that is not of the same fibre; the edge of the domain is no border."""
    ny, nx = fibre.shape
    depth = np.zeros((ny, nx), np.int64)
    beyond = ny * ny + nx * nx
    for row in range(ny):
        for column in range(nx):
            own = fibre[row, column]
            if own == NOBODY:
                continue
            least = beyond
            ring = 1
            while ring * ring < least and ring < max(ny, nx):
                for r in range(max(row - ring, 0), min(row + ring + 1, ny)):
                    step = 1 if abs(r - row) == ring else 2 * ring
                    for c in range(column - ring, column + ring + 1, step):
                        if 0 <= c < nx and fibre[r, c] != own:
                            least = min(least, (r - row) * (r - row) + (c - column) * (c - column))
                ring += 1
            depth[row, column] = least
    return depth


def _find_rims(layout: Layout) -> tuple[Longs, Longs]:
    """The endomysium voxels that share an edge with each fibre, as (first, flat index); of a fibre without any, other connective tissue."""
    fibre, region = layout.fibre, layout.region
    ny, nx = fibre.shape
    index = np.arange(ny * nx).reshape(ny, nx)
    owners, places = [], []
    for axis in (0, 1):
        low = [slice(None), slice(None)]
        high = [slice(None), slice(None)]
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        for inside, outside in ((tuple(low), tuple(high)), (tuple(high), tuple(low))):
            touching = (fibre[inside] != NOBODY) & (fibre[outside] == NOBODY)
            owners.append(fibre[inside][touching])
            places.append(index[outside][touching])
    owner, place = np.concatenate(owners), np.concatenate(places)
    endomysial = region.ravel()[place] == Region.FASCICLE
    endomysium_fibre = np.zeros(layout.n_fibres, np.bool_)
    endomysium_fibre[owner[endomysial]] = True
    chosen = endomysial | ~endomysium_fibre[owner]
    pairs = np.unique(owner[chosen].astype(np.int64) * (ny * nx) + place[chosen])
    owner, place = np.divmod(pairs, ny * nx)
    first = np.concatenate(([0], np.cumsum(np.bincount(owner, minlength=layout.n_fibres)))).astype(np.int64)
    return first, place.astype(np.int64)


def _place_capillaries(layout: Layout, first_rim: Longs, rim: Longs, geometry: Geometry, now: Now) -> Longs:
    """The flat voxels of the capillaries, in the order of their index."""
    wanted, lots = capillary_lots(layout.n_fibres, geometry.capillaries_around_fibre, now)
    order = np.argsort(lots, kind="stable")
    taken = place_capillaries(layout.fibre, first_rim, rim, wanted, order, geometry.capillary_reach / VOXEL, now)
    return np.flatnonzero(taken.ravel()).astype(np.int64)


@jit
def capillary_lots(n: int, mean: float, now: Now) -> tuple[Longs, Floats]:
    """How many capillaries each fibre wants, `mean` rounded up or down by lot, and its lot in the order of choosing."""
    wanted = np.empty(n, np.int64)
    lots = np.empty(n)
    for f in range(n):
        a, lots[f] = uniform_pair(now, f, Draw.INITIAL_CAPILLARY)
        wanted[f] = int(mean + a)
    return wanted, lots


@jit
def find_touched(touched: Ints, fibre: Ints, v: int, reach: float) -> int:
    """Writes touched: the fibres with a voxel whose centre is within `reach` voxels of that of voxel v. Returns their number."""
    ny, nx = fibre.shape
    row, column = v // nx, v % nx
    window = int(reach)
    n = 0
    for r in range(max(row - window, 0), min(row + window + 1, ny)):
        for c in range(max(column - window, 0), min(column + window + 1, nx)):
            f = fibre[r, c]
            if f != NOBODY and (r - row) * (r - row) + (c - column) * (c - column) <= reach * reach:
                known = False
                for k in range(n):
                    known = known or touched[k] == f
                if not known:
                    touched[n] = f
                    n += 1
    return n


@jit
def crowded(taken: Flags, v: int) -> bool:
    """Whether a capillary lies in voxel v or in one of the eight around it."""
    ny, nx = taken.shape
    row, column = v // nx, v % nx
    for r in range(max(row - 1, 0), min(row + 2, ny)):
        for c in range(max(column - 1, 0), min(column + 2, nx)):
            if taken[r, c]:
                return True
    return False


@jit
def place_capillaries(fibre: Ints, first_rim: Longs, rim: Longs, wanted: Longs, order: Longs, reach: float, now: Now) -> Flags:
    """(ny, nx), where capillaries are.

    The gain of a place is the number of fibres in need that it touches less that of fibres that have enough. First all places of the best
    gain are given away, fibre after fibre, then those of the next; among equals at the rim of a fibre the highest lot decides.
    """
    ny, nx = fibre.shape
    taken = np.zeros((ny, nx), np.bool_)
    window = 2 * int(reach) + 1
    touched = np.empty(window * window, np.int32)
    contacts = np.zeros(wanted.size, np.int64)
    for least_gain in range(BEST_GAIN, -touched.size - 1, -1):
        for f in order:
            while contacts[f] < wanted[f]:
                best, best_gain, best_lot = -1, least_gain, -1.0
                for k in range(first_rim[f], first_rim[f + 1]):
                    v = rim[k]
                    if crowded(taken, v):
                        continue
                    gain = 0
                    for t in range(find_touched(touched, fibre, v, reach)):
                        gain += 1 if contacts[touched[t]] < wanted[touched[t]] else -1
                    lot = uniform(now, v, Draw.INITIAL_CAPILLARY, 1)
                    if gain > best_gain or (gain == best_gain and lot > best_lot):
                        best, best_gain, best_lot = v, gain, lot
                if best < 0:
                    break
                taken[best // nx, best % nx] = True
                for t in range(find_touched(touched, fibre, best, reach)):
                    contacts[touched[t]] += 1
    return taken


@jit
def touched_vessels(fibre: Ints, n_fibres: int, capillaries: Longs, reach: float) -> tuple[Longs, Ints]:
    """For each fibre the capillaries that touch it, as (first, number of the capillary)."""
    window = 2 * int(reach) + 1
    touched = np.empty(window * window, np.int32)
    first = np.zeros(n_fibres + 1, np.int64)
    for i in range(capillaries.size):
        for t in range(find_touched(touched, fibre, capillaries[i], reach)):
            first[touched[t] + 1] += 1
    first = np.cumsum(first)
    filled = first[:-1].copy()
    vessels = np.empty(first[-1], np.int32)
    for i in range(capillaries.size):
        for t in range(find_touched(touched, fibre, capillaries[i], reach)):
            vessels[filled[touched[t]]] = i
            filled[touched[t]] += 1
    return first, vessels


def _make_cells(params: Parameters, layout: Layout, first_rim: Longs, rim: Longs, now: Now) -> tuple[Cells, int]:
    """Resident macrophages, then quiescent satellite cells, then fibroblasts, and how many they are.

    ValueError if the connective tissue has no room for them.
    """
    geometry = params.geometry
    ny, nx = layout.fibre.shape
    volume = ny * nx * VOXEL * VOXEL * geometry.depth / MM3
    n_macrophages = floor(geometry.macrophages * volume + 0.5)
    n_satellites = floor(geometry.satellites_per_fibre * layout.n_fibres + 0.5)
    n_fibroblasts = floor(geometry.fibroblasts * volume + 0.5)
    n = n_macrophages + n_satellites + n_fibroblasts
    room = floor(params.motion.cells_per_voxel)
    connective = np.flatnonzero(layout.fibre.ravel() == NOBODY).astype(np.int64)
    kind = np.repeat(
        np.array([Kind.MACROPHAGE, Kind.QUIESCENT_SATELLITE, Kind.FIBROBLAST], np.int8), (n_macrophages, n_satellites, n_fibroblasts)
    )
    fibre = np.full(n, NOBODY, np.int32)
    place = np.full(n, NOBODY, np.int64)
    held = np.zeros(ny * nx, np.int64)
    settled = place_satellites(place, fibre, held, kind, first_rim, rim, room, now)
    settled = settled and place_residents(place, held, kind, connective, room, now)
    if not settled:
        raise ValueError(f"geometry: got {n} cells at the start, must be few enough for {connective.size} voxels of connective tissue")
    cells = _empty_cells(max(LEAST_CAPACITY, SPARE * n))
    cells.id[:n] = np.arange(n)
    cells.kind[:n] = kind
    cells.fibre[:n] = fibre
    cells.resident[:n] = True
    ampk = params.macrophage.repair_activation.ampk_drive
    cells.repair[:n][kind == Kind.MACROPHAGE] = ampk / (ampk + 1.0)  # where the repair level rests without any signal
    orient(cells.x, cells.y, cells.ux, cells.uy, place, nx, now)
    return cells, n


def _empty_cells(capacity: int) -> Cells:
    """Free places only."""
    return Cells(
        id=np.zeros(capacity, np.int64),
        kind=np.full(capacity, Kind.NONE, np.int8),
        x=np.zeros(capacity),
        y=np.zeros(capacity),
        ux=np.zeros(capacity),
        uy=np.zeros(capacity),
        inflammatory=np.zeros(capacity),
        repair=np.zeros(capacity),
        load=np.zeros(capacity),
        fibre=np.full(capacity, NOBODY, np.int32),
        resident=np.zeros(capacity, np.bool_),
    )


@jit
def place_satellites(place: Longs, fibre: Ints, held: Longs, kind: Bytes, first_rim: Longs, rim: Longs, room: int, now: Now) -> bool:
    """Writes place, fibre and held: each satellite cell at the rim of a fibre chosen by lot. Returns whether all found room."""
    n_fibres = first_rim.size - 1
    for i in range(kind.size):
        if kind[i] == Kind.QUIESCENT_SATELLITE:
            for attempt in range(1, TRIES + 1):
                a, b = uniform_pair(now, i, Draw.INITIAL_CELL, attempt)
                f = int(a * n_fibres)
                width = first_rim[f + 1] - first_rim[f]
                if width > 0:
                    v = rim[first_rim[f] + int(b * width)]
                    if held[v] < room:
                        place[i] = v
                        fibre[i] = f
                        held[v] += 1
                        break
            if place[i] == NOBODY:
                return False
    return True


@jit
def place_residents(place: Longs, held: Longs, kind: Bytes, connective: Longs, room: int, now: Now) -> bool:
    """Writes place and held: every other cell in a connective voxel chosen by lot. Returns whether all found room."""
    n = connective.size
    for i in range(kind.size):
        if kind[i] != Kind.QUIESCENT_SATELLITE:
            k = 0
            for attempt in range(1, TRIES + 1):
                k = int(uniform(now, i, Draw.INITIAL_CELL, attempt) * n)
                if n > 0 and held[connective[k]] < room:
                    break
            for step in range(n):
                v = connective[(k + step) % n]
                if held[v] < room:
                    place[i] = v
                    held[v] += 1
                    break
            if place[i] == NOBODY:
                return False
    return True


@jit
def orient(x: Floats, y: Floats, ux: Floats, uy: Floats, place: Longs, nx: int, now: Now) -> None:
    """Writes x, y, ux, uy: anywhere inside its voxel, heading anywhere."""
    for i in range(place.size):
        a, b = uniform_pair(now, i, Draw.INITIAL_CELL)
        x[i] = (place[i] % nx + a) * VOXEL
        y[i] = (place[i] // nx + b) * VOXEL
        ux[i], uy[i] = direction(now, i, Draw.INITIAL_HEADING)


def _make_vessels(layout: Layout, capillaries: Longs, geometry: Geometry, now: Now) -> Vessels:
    """Open capillaries, then venules in perimysium and fascia by lot, then the sites of sprouts, SPROUT_SITES at each capillary."""
    nx = layout.fibre.shape[1]
    outside = np.flatnonzero(layout.region.ravel() != Region.FASCICLE)
    n_venules = floor(geometry.venules * outside.size * VOXEL * VOXEL / MM2 + 0.5)
    venules = np.array([outside[int(uniform(now, k, Draw.INITIAL_VENULE) * outside.size)] for k in range(n_venules)], np.int64)
    parents = np.repeat(np.arange(capillaries.size), SPROUT_SITES)
    counts = (capillaries.size, n_venules, parents.size)
    rows, columns = np.divmod(np.concatenate([capillaries, venules, capillaries[parents]]), nx)
    kind = np.repeat(np.array([VesselKind.CAPILLARY, VesselKind.VENULE, VesselKind.SPROUT], np.int8), counts)
    parent = np.concatenate([np.full(capillaries.size + n_venules, NOBODY), parents]).astype(np.int32)
    x, y = (columns + 0.5) * VOXEL, (rows + 0.5) * VOXEL
    return Vessels(x=x, y=y, perfused=kind != VesselKind.SPROUT, kind=kind, parent=parent, complement=np.zeros(kind.size))


def _make_voxels(layout: Layout, geometry: Geometry) -> Voxels:
    """Living fibres in healthy connective tissue."""
    inside = layout.fibre != NOBODY
    by_region = np.ones(len(Region))
    by_region[Region.PERIMYSIUM] = geometry.perimysium_collagen
    by_region[Region.FASCIA] = geometry.fascia_collagen
    return Voxels(
        fibre=layout.fibre,
        region=layout.region,
        ground=np.where(inside, np.int8(Ground.FIBRE), np.int8(Ground.CONNECTIVE)),
        debris=np.zeros(layout.fibre.shape),
        collagen=np.where(inside, 0.0, by_region[layout.region]),
        particles=np.zeros(layout.fibre.shape),
    )
