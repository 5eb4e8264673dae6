"""What is measured: every outcome with its name, unit and meaning. Counts are derived from the cells each time."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from imam_sim.model.params import Parameters
from imam_sim.model.state import Compartment, FibreState, Floats, Ground, Kind, Region, Signal, Tissue, in_use, size


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
    Outcome("inflammatory_level", "1", "mean inflammatory level of the macrophages; 0 without any"),
    Outcome("repair_level", "1", "mean repair level of the macrophages; 0 without any"),
    Outcome("fibres_intact", "1", "share of fibres that are mature and alive"),
    Outcome("fibres_necrotic", "1", "share of fibres that are dead and not yet regenerating"),
    Outcome("fibres_regenerating", "1", "share of fibres that are regenerating"),
    Outcome("central_nuclei", "1", "share of fibres that have been through regeneration"),
    Outcome("necrosis", "1", "share of all fibre territory that is debris"),
    Outcome("open_space", "1", "share of all fibre territory that is cleared and not refilled"),
    Outcome("scar", "1", "share of all fibre territory that is scar"),
    Outcome("fibre_area", "1", "living fibre area over all fibre territory: 1 in health"),
    Outcome("regenerated_area", "1", "living area of fibres with central nuclei over all fibre territory"),
    Outcome("collagen", "1", "mean collagen of endomysium and scar, 1 in healthy endomysium"),
    Outcome("capillaries_per_fibre", "1", "perfused capillaries over fibres"),
    Outcome("perfused_share", "1", "share of capillaries that carry blood"),
    *(Outcome(signal.name.lower(), "ng/mL", signal.name.lower().replace("_", "-") + ", free, mean of the section") for signal in Signal),
    Outcome("blood_monocytes", "1", "monocytes in blood relative to health"),
    Outcome("creatine_kinase", "U/L", "creatine kinase in blood"),
    Outcome("strength", "1", "force relative to health: mature area plus regenerating area at its lower force"),
)

NAMES: tuple[str, ...] = tuple(outcome.name for outcome in OUTCOMES)


def measure(tissue: Tissue, params: Parameters) -> Floats:
    """All outcomes of a tissue, in the order of OUTCOMES."""
    values = {**_cells(tissue), **_fibres(tissue, params), **_surroundings(tissue)}
    return np.array([values[name] for name in NAMES])


def _cells(tissue: Tissue) -> dict[str, float]:
    cells = in_use(tissue)
    width, height = size(tissue)
    area = width * height * 1e-6
    count = np.bincount(cells.kind, minlength=max(Kind) + 1)
    values = {name: count[kind] / area for name, kind in COUNTED.items()}
    macrophage = cells.kind == Kind.MACROPHAGE
    a, r = cells.inflammatory[macrophage], cells.repair[macrophage]
    n = max(a.size, 1)
    n_m1 = np.count_nonzero(a >= r)
    values |= {"macrophages_m1": n_m1 / area, "macrophages_m2": (a.size - n_m1) / area}
    return values | {"inflammatory_level": exact_sum(a) / n, "repair_level": exact_sum(r) / n}


def _fibres(tissue: Tissue, params: Parameters) -> dict[str, float]:
    fibres, voxels = tissue.fibres, tissue.voxels
    n, territory = max(fibres.x.size, 1), max(int(fibres.territory.sum()), 1)
    regenerating = fibres.state == FibreState.REGENERATING
    area = fibres.living / territory
    inside = voxels.fibre >= 0
    return {
        "fibres_intact": np.count_nonzero(fibres.state == FibreState.INTACT) / n,
        "fibres_necrotic": np.count_nonzero(fibres.state == FibreState.NECROTIC) / n,
        "fibres_regenerating": np.count_nonzero(regenerating) / n,
        "central_nuclei": np.count_nonzero(fibres.central_nuclei) / n,
        "necrosis": exact_sum(voxels.debris[inside]) / territory,
        "open_space": np.count_nonzero(voxels.ground[inside] == Ground.CLEARED) / territory,
        "scar": np.count_nonzero(voxels.ground[inside] == Ground.SCAR) / territory,
        "fibre_area": exact_sum(area),
        "regenerated_area": exact_sum(area[fibres.central_nuclei]),
        "strength": exact_sum(area[~regenerating]) + params.fibre.growth.immature_force * exact_sum(area[regenerating]),
    }


def _surroundings(tissue: Tissue) -> dict[str, float]:
    voxels, perfused = tissue.voxels, tissue.vessels.perfused
    loose = ((voxels.ground == Ground.CONNECTIVE) & (voxels.region == Region.FASCICLE)) | (voxels.ground == Ground.SCAR)
    n_loose, n_perfused = int(np.count_nonzero(loose)), int(np.count_nonzero(perfused))
    return {
        "collagen": exact_sum(voxels.collagen[loose]) / max(n_loose, 1),
        "capillaries_per_fibre": n_perfused / max(tissue.fibres.x.size, 1),
        "perfused_share": n_perfused / max(perfused.size, 1),
        "blood_monocytes": tissue.blood[Compartment.MONOCYTES],
        "creatine_kinase": tissue.blood[Compartment.CREATINE_KINASE],
    } | {signal.name.lower(): exact_sum(tissue.fields.level[signal]) / tissue.fields.level[signal].size for signal in Signal}


def exact_sum(values: np.ndarray) -> float:
    """The correctly rounded sum: the same for any order of the cells and on any processor."""
    return math.fsum(values.ravel().tolist())
