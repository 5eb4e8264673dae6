"""What is measured: every outcome with its name, unit and meaning. Counts are derived from the cells each time."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from imam_sim.model.params import Parameters
from imam_sim.model.state import (
    MM2,
    NOBODY,
    VOXEL,
    Compartment,
    FibreState,
    Flags,
    Floats,
    Ground,
    Kind,
    Region,
    Signal,
    Tissue,
    VesselKind,
    in_use,
    size,
)

MM = 1000.0  # um
CLUSTER_RADIUS = 20  # voxels, the distance at which clustering is measured
FASCICLE_EDGE = 3  # voxels, a fibre this near to perimysium or fascia is perifascicular
GRADE_CUTS = (1.5, 4.0, 8.0)  # times the density of health, from which macrophages are graded +, ++, +++: assumed, no density was published
FULL_MUSCLE_TEST = 150.0  # points of manual muscle testing in health
SMALL_FIBRE = 0.5  # of its territory, below which a living fibre is small: assumed


class Outcome(NamedTuple):
    """One measured quantity."""

    name: str
    unit: str
    meaning: str


COUNTED = {
    "neutrophils": Kind.NEUTROPHIL,
    "apoptotic_neutrophils": Kind.APOPTOTIC_NEUTROPHIL,
    "monocytes": Kind.MONOCYTE,
    "macrophages": Kind.MACROPHAGE,
    "cd4": Kind.CD4,
    "regulatory_t": Kind.REGULATORY_T,
    "cd8": Kind.CD8,
    "b_cells": Kind.B_CELL,
    "satellites_quiescent": Kind.QUIESCENT_SATELLITE,
    "satellites_activated": Kind.ACTIVATED_SATELLITE,
    "myocytes": Kind.MYOCYTE,
    "fibroblasts": Kind.FIBROBLAST,
    "myofibroblasts": Kind.MYOFIBROBLAST,
}

OUTCOMES: tuple[Outcome, ...] = (
    *(Outcome(name, "cells/mm2", name.replace("_", " ") + " in the section") for name in COUNTED),
    Outcome("macrophages_m1", "cells/mm2", "macrophages whose inflammatory level is at least their repair level"),
    Outcome("macrophages_m2", "cells/mm2", "macrophages whose repair level is higher"),
    Outcome("macrophages_per_fibre", "1", "macrophages in the section over fibres"),
    Outcome("macrophage_grade", "1", "grade of a biopsy by the density of macrophages: 0 is -/+, 1 is +, 2 is ++, 3 is +++; cuts assumed"),
    Outcome("macrophages_fascia", "cells/mm2", "macrophages in perimysium and fascia, per area of those"),
    Outcome("macrophage_clustering", "1", "Ripley's L at 100 um over that of cells strewn over the open ground: 1 is random"),
    Outcome("inflammatory_level", "1", "mean inflammatory level of the macrophages; 0 without any"),
    Outcome("repair_level", "1", "mean repair level of the macrophages; 0 without any"),
    Outcome("fibres_intact", "1", "share of fibres that are mature and alive"),
    Outcome("fibres_necrotic", "1", "share of fibres that are dead and not yet regenerating"),
    Outcome("fibres_regenerating", "1", "share of fibres that are regenerating"),
    Outcome("central_nuclei", "1", "share of fibres that have been through regeneration"),
    Outcome("necrosis", "1", "share of all fibre territory that is debris"),
    Outcome("open_space", "1", "share of all fibre territory that is cleared and not refilled"),
    Outcome("scar", "1", "share of all fibre territory that is scar"),
    Outcome("fat", "1", "share of all fibre territory that is fat"),
    Outcome("fibre_area", "1", "living fibre area over all fibre territory: 1 in health"),
    Outcome("fibre_area_variation", "1", "standard deviation over mean of the living area of living fibres; 0 without any"),
    Outcome("small_fibres", "1", "share of the living fibres that fill less than half of their territory; 0 without any"),
    Outcome("regenerated_area", "1", "living area of fibres with central nuclei over all fibre territory"),
    Outcome("perifascicular_area", "1", "mean relative area of fibres at the edge of a fascicle over that of the others"),
    Outcome("complement_necrotic", "1", "membrane attack complex on dead fibre, 0-1"),
    Outcome("complement_living", "1", "membrane attack complex on living fibre, 0-1"),
    Outcome("complement_capillaries", "1", "membrane attack complex on capillaries, 0-1"),
    Outcome("collagen", "1", "mean collagen of endomysium and scar, 1 in healthy endomysium"),
    Outcome("capillaries", "1", "capillaries that carry blood, sprouts included, over those of health"),
    Outcome("capillaries_per_fibre", "1", "capillaries that carry blood, sprouts included, over fibres"),
    Outcome("perfused_share", "1", "share of the old capillaries that carry blood"),
    *(Outcome(signal.name.lower(), "ng/mL", signal.name.lower().replace("_", "-") + ", free, mean of the section") for signal in Signal),
    Outcome("blood_monocytes", "1", "monocytes in blood relative to health"),
    Outcome("creatine_kinase", "U/L", "creatine kinase in blood"),
    Outcome("memory", "1", "memory T cells, 0-1 of what there could be"),
    Outcome("autoantibody", "1", "autoantibody in blood, 0-1 of what there could be"),
    Outcome("complement", "1", "complement in blood relative to health"),
    Outcome("strength", "1", "force relative to health: mature area plus regenerating area at its lower force"),
    Outcome("muscle_test", "points", "like manual muscle testing, 0-150: 150 times strength, at most 150; a linear stand-in"),
)

NAMES: tuple[str, ...] = tuple(outcome.name for outcome in OUTCOMES)


def measure(tissue: Tissue, params: Parameters) -> Floats:
    """All outcomes of a tissue, in the order of OUTCOMES."""
    values = {**_cells(tissue, params), **_fibres(tissue, params), **_surroundings(tissue)}
    return np.array([values[name] for name in NAMES])


def _cells(tissue: Tissue, params: Parameters) -> dict[str, float]:
    cells = in_use(tissue)
    width, height = size(tissue)
    area = width * height / MM2
    count = np.bincount(cells.kind, minlength=max(Kind) + 1)
    values = {name: count[kind] / area for name, kind in COUNTED.items()}
    macrophage = cells.kind == Kind.MACROPHAGE
    a, r = cells.inflammatory[macrophage], cells.repair[macrophage]
    n = max(a.size, 1)
    n_m1 = np.count_nonzero(a >= r)
    values |= {"macrophages_m1": n_m1 / area, "macrophages_m2": (a.size - n_m1) / area}
    values |= {
        "macrophages_per_fibre": count[Kind.MACROPHAGE] / max(tissue.fibres.x.size, 1),
        "macrophage_grade": grade(values["macrophages"], params.geometry.macrophages * params.geometry.depth / MM),
    }
    values |= _whereabouts(tissue, cells.x[macrophage], cells.y[macrophage])
    return values | {"inflammatory_level": exact_sum(a) / n, "repair_level": exact_sum(r) / n}


def _fibres(tissue: Tissue, params: Parameters) -> dict[str, float]:
    fibres, voxels = tissue.fibres, tissue.voxels
    n, territory = max(fibres.x.size, 1), max(int(fibres.territory.sum()), 1)
    regenerating = fibres.state == FibreState.REGENERATING
    area = fibres.living / territory
    inside = voxels.fibre >= 0
    strength = exact_sum(area[~regenerating]) + params.fibre.growth.immature_force * exact_sum(area[regenerating])
    alive = fibres.living > 0
    n_small = np.count_nonzero(fibres.living[alive] < SMALL_FIBRE * fibres.territory[alive])
    return {
        "fibres_intact": np.count_nonzero(fibres.state == FibreState.INTACT) / n,
        "fibres_necrotic": np.count_nonzero(fibres.state == FibreState.NECROTIC) / n,
        "fibres_regenerating": np.count_nonzero(regenerating) / n,
        "central_nuclei": np.count_nonzero(fibres.central_nuclei) / n,
        "necrosis": exact_sum(voxels.debris[inside]) / territory,
        "open_space": np.count_nonzero(voxels.ground[inside] == Ground.CLEARED) / territory,
        "scar": np.count_nonzero(voxels.ground[inside] == Ground.SCAR) / territory,
        "fat": np.count_nonzero(voxels.ground[inside] == Ground.FAT) / territory,
        "fibre_area": exact_sum(area),
        "regenerated_area": exact_sum(area[fibres.central_nuclei]),
        "fibre_area_variation": _variation(fibres.living[alive]),
        "small_fibres": n_small / max(int(np.count_nonzero(alive)), 1),
        "strength": strength,
        "muscle_test": min(FULL_MUSCLE_TEST * strength, FULL_MUSCLE_TEST),
        "perifascicular_area": _perifascicular_area(tissue),
        "complement_necrotic": _weighted_mean(fibres.opsonised, np.bincount(voxels.fibre[inside], voxels.debris[inside], fibres.x.size)),
        "complement_living": _weighted_mean(fibres.complement, fibres.living),
    }


def _surroundings(tissue: Tissue) -> dict[str, float]:
    voxels, vessels = tissue.voxels, tissue.vessels
    old, young = vessels.kind == VesselKind.CAPILLARY, vessels.kind == VesselKind.SPROUT
    loose = ((voxels.ground == Ground.CONNECTIVE) & (voxels.region == Region.FASCICLE)) | (voxels.ground == Ground.SCAR)
    n_loose, n_old = int(np.count_nonzero(loose)), max(int(np.count_nonzero(old)), 1)
    n_perfused, n_sprouts = int(np.count_nonzero(vessels.perfused[old])), int(np.count_nonzero(vessels.perfused[young]))
    return {
        "collagen": exact_sum(voxels.collagen[loose]) / max(n_loose, 1),
        "capillaries": (n_perfused + n_sprouts) / n_old,
        "capillaries_per_fibre": (n_perfused + n_sprouts) / max(tissue.fibres.x.size, 1),
        "perfused_share": n_perfused / n_old,
        "complement_capillaries": exact_sum(vessels.complement[old]) / n_old,
        "blood_monocytes": tissue.blood[Compartment.MONOCYTES],
        "creatine_kinase": tissue.blood[Compartment.CREATINE_KINASE],
        "memory": tissue.blood[Compartment.MEMORY],
        "autoantibody": tissue.blood[Compartment.AUTOANTIBODY],
        "complement": tissue.blood[Compartment.COMPLEMENT],
    } | {signal.name.lower(): exact_sum(tissue.fields.level[signal]) / tissue.fields.level[signal].size for signal in Signal}


def grade(density: float, healthy: float) -> int:
    """0 to 3 for a density of macrophages by how many times that of health it is, both [cells/mm2]; 0 without macrophages."""
    return sum(density >= cut * healthy for cut in GRADE_CUTS) if density > 0.0 else 0


def _whereabouts(tissue: Tissue, x: Floats, y: Floats) -> dict[str, float]:
    """Density in perimysium and fascia, and clustering, of the cells at some places [um]."""
    ground, outside = tissue.voxels.ground, tissue.voxels.region != Region.FASCICLE
    ny, nx = ground.shape
    rows, columns = np.minimum((y / VOXEL).astype(np.int64), ny - 1), np.minimum((x / VOXEL).astype(np.int64), nx - 1)
    n_outside = max(int(np.count_nonzero(outside)), 1)
    standing = np.bincount(rows * nx + columns, minlength=ny * nx).reshape(ny, nx)
    walkable = (ground != Ground.FIBRE) & (ground != Ground.REGENERATING)
    return {
        "macrophages_fascia": np.count_nonzero(outside[rows, columns]) / (n_outside * VOXEL * VOXEL / MM2),
        "macrophage_clustering": clustering(standing, walkable),
    }


def clustering(standing: np.ndarray, walkable: Flags) -> float:
    """Ripley's L of cells over L of the ground that they could stand on, both (ny, nx); 1 where there are fewer than two cells.

    L is the root of the mean number of others within the radius; window and obstacles are the same for both, so edges need no correction.
    All sums are of whole numbers, hence exact.
    """
    pairs, cells = _pairs(standing), int(standing.sum())
    chances, places = _pairs(walkable.astype(np.int64)), int(np.count_nonzero(walkable))
    if cells < 2 or places < 2 or chances == 0:
        return 1.0
    return math.sqrt((pairs / (cells * (cells - 1))) / (chances / (places * (places - 1))))


def _pairs(counts: np.ndarray) -> int:
    """Ordered pairs, without pairs of oneself, whose voxels lie within the radius."""
    ny, nx = counts.shape
    shape = (ny + CLUSTER_RADIUS, nx + CLUSTER_RADIUS)  # so that nothing wraps round
    dy, dx = (np.minimum(np.arange(n), n - np.arange(n)) for n in shape)
    disc = (dy[:, None] ** 2 + dx[None, :] ** 2 <= CLUSTER_RADIUS**2).astype(float)
    spectrum = np.fft.rfft2(counts, shape) * np.fft.rfft2(disc)
    around = np.rint(np.fft.irfft2(spectrum, shape)[:ny, :nx]).astype(np.int64)
    return int((counts * around).sum() - counts.sum())


def _perifascicular_area(tissue: Tissue) -> float:
    """Mean living share of fibres near perimysium or fascia over that of the others; 1 where there are none of either."""
    fibre, outside = tissue.voxels.fibre, tissue.voxels.region != Region.FASCICLE
    for axis in (0, 1):
        for _ in range(FASCICLE_EDGE):
            grown = outside.copy()
            low, high = [slice(None)] * 2, [slice(None)] * 2
            low[axis], high[axis] = slice(None, -1), slice(1, None)
            grown[tuple(low)] |= outside[tuple(high)]
            grown[tuple(high)] |= outside[tuple(low)]
            outside = grown
    edge = np.zeros(tissue.fibres.x.size, np.bool_)
    edge[fibre[outside & (fibre != NOBODY)]] = True
    share = tissue.fibres.living / np.maximum(tissue.fibres.territory, 1)
    n_edge, n_inner = int(np.count_nonzero(edge)), int(np.count_nonzero(~edge))
    inner = exact_sum(share[~edge])
    if n_edge == 0 or inner == 0.0:
        return 1.0
    return (exact_sum(share[edge]) / n_edge) / (inner / n_inner)


def _variation(values: np.ndarray) -> float:
    """Standard deviation of some values over their mean, both of all there are; 0 where there are none."""
    mean = exact_sum(values) / max(values.size, 1)
    return math.sqrt(exact_sum((values - mean) ** 2) / values.size) / mean if mean > 0.0 else 0.0


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> float:
    """The mean of values by weight; 0 where all weights are."""
    whole = exact_sum(weights)
    return exact_sum(values * weights) / whole if whole > 0.0 else 0.0


def exact_sum(values: np.ndarray) -> float:
    """The correctly rounded sum: the same for any order of the cells and on any processor."""
    return math.fsum(values.ravel().tolist())
