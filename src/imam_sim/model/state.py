"""One tissue at one time: nothing but arrays, one per property, so that it can be copied, stored and compared byte by byte."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

VOXEL = 5.0  # um, edge of a tissue voxel
SIGNAL_VOXEL = 10.0  # um, edge of a signal voxel: two tissue voxels
NOBODY = -1  # the fibre of a voxel or cell that has none
LEAST_CAPACITY = 4096  # places for cells in a fresh tissue
SPARE = 4  # places in a fresh tissue for each cell in it
TYPICAL_DENSITY = 150.0  # cells per mm2 of healthy tissue, for estimates of memory only
MM2 = 1e6  # um2

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]
Ints = NDArray[np.int32]
Bytes = NDArray[np.int8]
Flags = NDArray[np.bool_]


class Kind(IntEnum):
    """What a cell is."""

    NONE = 0  # a free place in the arrays
    NEUTROPHIL = 1
    APOPTOTIC_NEUTROPHIL = 2
    MONOCYTE = 3
    MACROPHAGE = 4
    CD4 = 5
    REGULATORY_T = 6
    CD8 = 7
    QUIESCENT_SATELLITE = 8
    ACTIVATED_SATELLITE = 9
    MYOCYTE = 10
    FIBROBLAST = 11
    MYOFIBROBLAST = 12
    TRACER = 13  # a marked particle: walks at random, feels nothing, takes no room
    B_CELL = 14


class Ground(IntEnum):
    """What a tissue voxel is made of now."""

    CONNECTIVE = 0
    FIBRE = 1  # living, mature
    NECROTIC = 2
    CLEARED = 3  # open space inside the old outline of a fibre
    REGENERATING = 4
    SCAR = 5
    FAT = 6
    VACATED = 7  # room that a thinning fibre has left inside its outline, without alarm


class Region(IntEnum):
    """Where a tissue voxel lies; never changes."""

    FASCICLE = 0  # fibres and the endomysium between them
    PERIMYSIUM = 1
    FASCIA = 2


class VesselKind(IntEnum):
    """What a vessel is."""

    CAPILLARY = 0
    VENULE = 1  # in perimysium and fascia; touches no fibre
    SPROUT = 2  # a site at a capillary where a new one may grow


class FibreState(IntEnum):
    """What a fibre is in this cross-section."""

    INTACT = 0
    NECROTIC = 1  # dead: debris, or open space after it
    REGENERATING = 2


class Signal(IntEnum):
    """The diffusing signals, in the order of the field arrays."""

    DAMP = 0
    CCL2 = 1
    MCSF = 2
    TNF = 3
    IFN_GAMMA = 4
    IL1B = 5
    IL6 = 6
    IL4 = 7
    IL10 = 8
    TGF_BETA = 9
    IGF1 = 10
    HGF = 11
    VEGF = 12


class Compartment(IntEnum):
    """What the blood holds, in the order of `Tissue.blood`."""

    MONOCYTES = 0  # relative to health
    CREATINE_KINASE = 1  # U/L
    INTERFERON = 2  # ng/mL, of an infection; reaches every cell like interferon-gamma
    MEMORY = 3  # memory T cells, 0-1 of what there could be
    AUTOANTIBODY = 4  # 0-1 of what there could be
    COMPLEMENT = 5  # relative to health


class Counter(IntEnum):
    """The whole numbers of a tissue, in the order of `Tissue.counters`."""

    CELLS = 0  # places in use at the front of the cell arrays
    NEXT_ID = 1
    STEP = 2
    NECROSES = 3  # fibres that died since the start
    ENTRIES = 4  # blood cells that came in since the start


class Now(NamedTuple):
    """The moment of a step: seed, number of the step, its length [h]."""

    seed: int
    step: int
    dt: float


class Cells(NamedTuple):
    """One array per property, `capacity` places each; the first `Counter.CELLS` are in use."""

    id: Longs  # unique, never reused
    kind: Bytes
    x: Floats  # um
    y: Floats  # um
    ux: Floats  # heading, a unit vector
    uy: Floats
    inflammatory: Floats  # activation level 0-1
    repair: Floats  # activation level 0-1
    load: Floats  # um3 engulfed and not yet digested
    fibre: Ints  # the fibre a satellite cell sits on, NOBODY for others
    resident: Flags  # was there before the injury


class Fibres(NamedTuple):
    """One entry per fibre."""

    x: Floats  # um, centre
    y: Floats
    territory: Longs  # voxels inside its outline
    state: Bytes
    living: Longs  # voxels of living fibre: the first of its territory in order of depth
    volume: Floats  # um3 of living fibre in the slab; `living` follows it in whole voxels
    alarm: Floats  # 1 at death, falls off: how fresh the damage is
    central_nuclei: Flags  # has been through regeneration
    complement: Floats  # membrane attack complex on its living membrane, 0-1
    opsonised: Floats  # the same on its debris
    first_voxel: Longs  # where its voxels start in `voxels`, one entry more than fibres
    voxels: Longs  # flat index of each fibre's voxels, innermost first
    first_vessel: Longs  # where its capillaries start in `vessels`, one entry more than fibres
    vessels: Ints  # capillaries that touch it


class Vessels(NamedTuple):
    """One entry per vessel: capillaries, then venules, then the sites of sprouts."""

    x: Floats  # um
    y: Floats
    perfused: Flags
    kind: Bytes
    parent: Ints  # the capillary of a sprout, NOBODY for others
    complement: Floats  # membrane attack complex on it, 0-1


class Voxels(NamedTuple):
    """The tissue grid, (ny, nx) voxels of 5 um."""

    fibre: Ints  # the fibre inside whose outline it lies, or NOBODY
    region: Bytes
    ground: Bytes
    debris: Floats  # share of the voxel that is dead fibre, 0-1
    collagen: Floats  # relative to healthy endomysium
    particles: Floats  # persistent particles, 1 where a voxel is full of them


class Fields(NamedTuple):
    """The signals, (signals, ny/2, nx/2) voxels of 10 um."""

    level: Floats  # ng/mL, free
    spectrum: Floats  # the same in the cosine basis
    secreted: Longs  # ng/mL/h of this step in steps of fields.QUANTUM, so that sums do not depend on order
    taken: Longs  # 1/h of this step, likewise
    ledger: Floats  # (signals, 4): ng/mL x voxels secreted, decayed, taken up, put in by hand since the start


class Tissue(NamedTuple):
    """All that changes."""

    cells: Cells
    fibres: Fibres
    vessels: Vessels
    voxels: Voxels
    fields: Fields
    blood: Floats  # by Compartment
    counters: Longs  # by Counter


def size(tissue: Tissue) -> tuple[float, float]:
    """Width and height of the section [um]."""
    ny, nx = tissue.voxels.ground.shape
    return nx * VOXEL, ny * VOXEL


def bytes_needed(width: float, height: float) -> int:
    """Estimate of the memory of one tissue of `width` x `height` um at the start, in bytes; nothing is allocated."""
    tissue_voxel = 4 + 1 + 1 + 8 + 8 + 8 + 8  # the columns of Voxels and the entry in Fibres.voxels
    signal_voxel = len(Signal) * 4 * 8  # level, spectrum, secreted, taken
    cell = 8 + 1 + 7 * 8 + 4 + 1  # the columns of Cells
    area = width * height
    places = max(float(LEAST_CAPACITY), SPARE * TYPICAL_DENSITY * area / MM2)
    return int(area * (tissue_voxel / VOXEL**2 + signal_voxel / SIGNAL_VOXEL**2) + places * cell)


def in_use(tissue: Tissue) -> Cells:
    """Views of the cells that exist, without the free places."""
    n = int(tissue.counters[Counter.CELLS])
    return Cells._make(column[:n] for column in tissue.cells)


def copy(tissue: Tissue) -> Tissue:
    """A tissue that shares no memory with this one."""
    return Tissue._make(part.copy() if isinstance(part, np.ndarray) else type(part)._make(a.copy() for a in part) for part in tissue)


def arrays(tissue: Tissue) -> dict[str, np.ndarray]:
    """Every array by its dotted name (`cells.x`, `blood`), the very arrays, not copies."""
    named: dict[str, np.ndarray] = {}
    part: Any
    for name, part in zip(Tissue._fields, tissue, strict=True):
        if isinstance(part, np.ndarray):
            named[name] = part
        else:
            named.update({f"{name}.{column}": array for column, array in zip(part._fields, part, strict=True)})
    return named


def from_arrays(named: dict[str, np.ndarray]) -> Tissue:
    """The inverse of `arrays`; KeyError where one is missing."""
    parts: dict[str, Any] = {"cells": Cells, "fibres": Fibres, "vessels": Vessels, "voxels": Voxels, "fields": Fields}
    return Tissue._make(
        parts[name]._make(named[f"{name}.{column}"] for column in parts[name]._fields) if name in parts else named[name]
        for name in Tissue._fields
    )
