"""Small tissues for tests: healthy ones and ones in which everything happens at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.fft import dctn

from imam_sim.model.initial import make_tissue
from imam_sim.model.intervene import injure
from imam_sim.model.params import PRESETS, Parameters
from imam_sim.model.quantity import put
from imam_sim.model.state import (
    NOBODY,
    VOXEL,
    Cells,
    Compartment,
    Counter,
    FibreState,
    Ground,
    Kind,
    Now,
    Tissue,
    VesselKind,
    in_use,
)

LIVELY = {  # rates so high that within one step about half of all that could happen does
    "fibre.injury.macrophage_rate": 10.0,
    "fibre.injury.wear_rate": 0.1,
    "fibre.injury.complement_rate": 0.2,
    "fibre.growth.rate": 1.0,
    "fibre.growth.maturation_time": 1.0,
    "fibre.growth.elongation_rate": 4.0,
    "fibre.growth.hypoxic_rate": 0.2,
    "fibre.growth.supply_need": 0.8,
    "neutrophil.entry_rate": 4.0,
    "neutrophil.lifetime": 1.0,
    "neutrophil.lysis_rate": 1.0,
    "neutrophil.engulf_rate": 2000.0,
    "monocyte.entry.stimulated_rate": 2.0,
    "monocyte.entry.basal_rate": 0.1,
    "monocyte.maturation_time": 1.0,
    "monocyte.death_rate": 0.5,
    "macrophage.death.rate": 0.2,
    "macrophage.death.starved_rate": 0.3,
    "macrophage.death.tnf_rate": 0.5,
    "macrophage.division_rate": 5.0,
    "macrophage.division_load_half": 5000.0,
    "macrophage.presentation_load_half": 1000.0,
    "cd4.tolerance": 0.1,
    "cd4.entry_rate": 2.0,
    "cd4.division_rate": 3.0,
    "cd4.density_max": 200000.0,
    "cd4.lifetime": 2.0,
    "cd4.suppression_half": 100000.0,
    "cd4.memory_gain": 1.0,
    "cd4.reactivation_rate": 0.3,
    "cd4.memory_half": 50000.0,
    "regulatory_t.entry_rate": 2.0,
    "regulatory_t.lifetime": 2.0,
    "cd8.entry_rate": 4.0,
    "cd8.lifetime": 2.0,
    "cd8.kill_rate": 0.5,
    "antibody.b_cell_entry_rate": 4.0,
    "antibody.b_cell_lifetime": 2.0,
    "antibody.b_cell_half": 50000.0,
    "antibody.half_life": 10.0,
    "antibody.share": 0.5,
    "antibody.elsewhere": 0.1,
    "antibody.fibre_binding": 1.5,
    "antibody.capillary_binding": 0.5,
    "complement.deposition_rate": 0.5,
    "complement.loss_rate": 0.2,
    "complement.level": 0.8,
    "particle.dissolution_rate": 0.1,
    "geometry.venules": 2000.0,
    "satellite.activation.rate": 2.0,
    "satellite.surplus_rate": 1.0,
    "signal.tnf.reception_share": 0.5,
    "signal.igf1.secretion_share": 0.5,
    "signal.il10.systemic": 0.3,
    "satellite.activation.renewal_rate": 5.0,
    "satellite.activation.hgf_half": 1.0,
    "satellite.division.rate": 3.0,
    "satellite.division.il6_half": 1.0,
    "satellite.division.crowding": 12.0,
    "satellite.differentiation.rate": 3.0,
    "satellite.differentiation.igf1_half": 2.0,
    "satellite.death_rate": 0.5,
    "myocyte.fusion_rate": 10.0,
    "myocyte.room_half": 0.01,
    "myocyte.death_rate": 0.3,
    "myocyte.volume": 1700.0,
    "fibre.growth.debris_half": 0.5,
    "fibre.growth.igf1_half": 10.0,
    "fibroblast.division_rate": 4.0,
    "fibroblast.crowding": 20.0,
    "fibroblast.hgf_half": 3.0,
    "fibroblast.return_rate": 0.3,
    "fibroblast.tnf_death_rate": 0.5,
    "fibroblast.activation_rate": 2.0,
    "fibroblast.deactivation_rate": 1.0,
    "collagen.scar_rate": 2.0,
    "collagen.scar_loss_rate": 0.5,
    "collagen.fat_rate": 2.0,
    "collagen.fat_il4_half": 2.0,
    "vessel.necrosis_loss": 0.5,
    "vessel.regrowth_rate": 2.0,
    "vessel.complement_rate": 1.0,
    "vessel.ccl2_rate": 2e-4,
    "vessel.sprouting_rate": 2.0,
    "vessel.sprouting_half": 1.5,
    "vessel.pruning_rate": 2.0,
    "motion.tracer.speed": 40.0,
}


def preset_params(preset: str) -> Parameters:
    """The parameters of a kind of tissue."""
    return put(Parameters(), {path: value.value for path, value in PRESETS[preset].items()})


def lively_params(preset: str) -> Parameters:
    """The same with the rates of LIVELY."""
    return put(preset_params(preset), LIVELY)


def healthy_tissue(preset: str, seed: int, width: float = 200.0, height: float = 200.0) -> Tissue:
    """A small section without injury, with more venules than are usual."""
    return make_tissue(put(preset_params(preset), {"geometry.venules": LIVELY["geometry.venules"]}), seed, width, height)


def busy_tissue(preset: str, seed: int, cells_per_kind: int = 25, width: float = 200.0, height: float = 200.0) -> Tissue:
    """An injured section with cells of every kind, fibres and vessels in every state, ground of every kind and signals, all at random."""
    tissue = healthy_tissue(preset, seed, width, height)
    random = np.random.default_rng(seed)
    injure(tissue, preset_params(preset), "scattered", 0.7, Now(seed, 0, 0.0))
    for f in np.flatnonzero(tissue.fibres.state == FibreState.NECROTIC):
        _age_injury(tissue, int(f), random)
    for f in np.flatnonzero((tissue.fibres.state == FibreState.INTACT) & ~tissue.fibres.central_nuclei):
        _thin(tissue, int(f), random.choice([0.0, 0.1, 0.4]))
    tissue.fibres.alarm[:] = random.random(tissue.fibres.x.size)
    tissue.fibres.complement[:] = np.maximum(random.uniform(-0.5, 1.0, tissue.fibres.x.size), 0.0)
    tissue.fibres.opsonised[:] = np.maximum(random.uniform(-0.5, 1.0, tissue.fibres.x.size), 0.0)
    tissue.vessels.perfused[:] = random.random(tissue.vessels.x.size) < 0.5
    tissue.vessels.complement[:] = np.maximum(random.uniform(-0.5, 1.0, tissue.vessels.x.size), 0.0)
    tissue.vessels.complement[tissue.vessels.kind == VesselKind.SPROUT] = 0.0
    connective = tissue.voxels.ground == Ground.CONNECTIVE
    tissue.voxels.collagen[connective] *= random.uniform(0.5, 1.5, np.count_nonzero(connective))
    tissue.voxels.particles[connective] = np.maximum(random.uniform(-4.0, 1.0, np.count_nonzero(connective)), 0.0)
    tissue.blood[Compartment.MONOCYTES], tissue.blood[Compartment.CREATINE_KINASE] = random.uniform(0.5, 3.0), random.uniform(0.0, 5000.0)
    tissue.blood[Compartment.INTERFERON] = random.uniform(0.5, 3.0)
    tissue.blood[[Compartment.MEMORY, Compartment.AUTOANTIBODY, Compartment.COMPLEMENT]] = random.uniform(0.3, 1.0, 3)
    for signal in range(len(tissue.fields.level)):
        level = random.exponential(2.0, tissue.fields.level.shape[1:])
        tissue.fields.level[signal] = level
        tissue.fields.spectrum[signal] = dctn(level, norm="ortho")
    _crowd(tissue, cells_per_kind, random)
    return tissue


def _age_injury(tissue: Tissue, f: int, random: np.random.Generator) -> None:
    """Eat, scar, fatten and refill a dead fibre to a random degree."""
    fibres, voxels = tissue.fibres, tissue.voxels
    flat = fibres.voxels[fibres.first_voxel[f] : fibres.first_voxel[f + 1]]
    fates = [Ground.NECROTIC, Ground.CLEARED, Ground.SCAR, Ground.FAT, Ground.VACATED]
    fate = random.choice(fates, flat.size, p=[0.4, 0.4, 0.1, 0.06, 0.04]).astype(np.int8)
    if random.random() < 0.6:
        n_living = int(random.integers(1, max(2, flat.size // 2)))
        mature = random.random() < 0.3
        fate[:n_living] = Ground.FIBRE if mature else Ground.REGENERATING
        fibres.state[f], fibres.central_nuclei[f] = FibreState.INTACT if mature else FibreState.REGENERATING, True
        fibres.living[f], fibres.volume[f] = n_living, n_living * 500.0 + random.uniform(-200.0, 200.0)
    voxels.ground.ravel()[flat] = fate
    voxels.debris.ravel()[flat] = np.where(fate == Ground.NECROTIC, random.uniform(0.1, 1.0, flat.size), 0.0)
    voxels.collagen.ravel()[flat] = np.where(fate == Ground.SCAR, random.uniform(0.5, 3.0, flat.size), 0.0)


def _thin(tissue: Tissue, f: int, share: float) -> None:
    """Let a healthy fibre leave its outermost voxels."""
    fibres = tissue.fibres
    flat = fibres.voxels[fibres.first_voxel[f] : fibres.first_voxel[f + 1]]
    n_living = flat.size - int(share * flat.size)
    tissue.voxels.ground.ravel()[flat[n_living:]] = Ground.VACATED
    fibres.living[f], fibres.volume[f] = n_living, n_living * 500.0


def _crowd(tissue: Tissue, cells_per_kind: int, random: np.random.Generator) -> None:
    """Add cells of every kind outside living fibre and shuffle all cells, with gaps between their ids."""
    kinds = np.repeat([kind for kind in Kind if kind != Kind.NONE], cells_per_kind)
    n_old, n_new = int(tissue.counters[Counter.CELLS]), kinds.size
    n = n_old + n_new
    cells = tissue.cells
    assert n <= cells.id.size, "more cells than a fresh tissue has places for"
    new = slice(n_old, n)
    rows, columns = np.nonzero((tissue.voxels.ground != Ground.FIBRE) & (tissue.voxels.ground != Ground.REGENERATING))
    chosen = random.integers(0, rows.size, n_new)
    cells.kind[new] = kinds
    cells.x[new] = (columns[chosen] + random.random(n_new)) * VOXEL
    cells.y[new] = (rows[chosen] + random.random(n_new)) * VOXEL
    angle = random.uniform(0.0, 6.3, n_new)
    cells.ux[new], cells.uy[new] = np.cos(angle), np.sin(angle)
    cells.fibre[new] = np.where(
        (kinds >= Kind.QUIESCENT_SATELLITE) & (kinds <= Kind.MYOCYTE), random.integers(0, tissue.fibres.x.size, n_new), NOBODY
    )
    macrophage = np.flatnonzero(cells.kind[:n] == Kind.MACROPHAGE)
    cells.inflammatory[macrophage], cells.repair[macrophage] = random.random((2, macrophage.size))
    cells.load[macrophage] = random.exponential(5000.0, macrophage.size)
    cells.resident[:n] = random.random(n) < 0.3
    tissue.counters[Counter.CELLS] = n
    ids = np.sort(random.choice(20 * n, n, replace=False))
    shuffle(tissue, random.permutation(n))
    in_use(tissue).id[:] = random.permutation(ids)
    tissue.counters[Counter.NEXT_ID] = 20 * n


def shuffle(tissue: Tissue, order: np.ndarray) -> None:
    """Put the cells that exist into another order, in place."""
    for column in in_use(tissue):
        column[:] = column[order]


def by_id(tissue: Tissue) -> Cells:
    """The cells that exist in the order of their ids, as copies."""
    cells = in_use(tissue)
    order = np.argsort(cells.id)
    columns: list[Any] = [column[order] for column in cells]
    return Cells(*columns)
