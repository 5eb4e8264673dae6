"""One step of one tissue: the order of events, on one page."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from imam_sim.model import fields as signals
from imam_sim.model.newborn import Newborns, no_newborns, settle
from imam_sim.model.params import Parameters
from imam_sim.model.rng import Draw
from imam_sim.model.rules import (
    antibody,
    blood,
    departure,
    fibre,
    fibroblast,
    macrophage,
    motion,
    neutrophil,
    particle,
    recruitment,
    satellite,
    t_cell,
    vessel,
)
from imam_sim.model.space import tally
from imam_sim.model.state import (
    SIGNAL_VOXEL,
    VOXEL,
    Compartment,
    Counter,
    Flags,
    Floats,
    Ints,
    Kind,
    Now,
    Signal,
    Tissue,
    in_use,
    size,
)

WALKERS = (  # kind, attractant, its motility
    (Kind.NEUTROPHIL, Signal.DAMP, "neutrophil"),
    (Kind.MONOCYTE, Signal.CCL2, "monocyte"),
    (Kind.MACROPHAGE, Signal.DAMP, "macrophage"),
    (Kind.CD4, Signal.CCL2, "t_cell"),
    (Kind.REGULATORY_T, Signal.CCL2, "t_cell"),
    (Kind.CD8, Signal.CCL2, "t_cell"),
    (Kind.B_CELL, Signal.CCL2, "b_cell"),
    (Kind.ACTIVATED_SATELLITE, Signal.HGF, "satellite"),
    (Kind.MYOCYTE, Signal.HGF, "myocyte"),
    (Kind.FIBROBLAST, Signal.TGF_BETA, "fibroblast"),
    (Kind.MYOFIBROBLAST, Signal.TGF_BETA, "fibroblast"),
    (Kind.TRACER, -1, "tracer"),
)


def advance(tissue: Tissue, params: Parameters, transport: signals.Transport, now: Now) -> Tissue:
    """The tissue one step later; the arrays are changed in place, and replaced where cells outgrow them."""
    near, around = count(tissue), feel(tissue, params)
    newborns = no_newborns(6 * tissue.vessels.x.size + 2 * int(tissue.counters[Counter.CELLS]))

    die_and_clear(around, near, params, now)
    inside = survey(around)
    regenerate(around, inside, params, now)
    coat(around, inside, params, now)
    immunity = recognise(around, params)
    enter(around, newborns, immunity, params, now)
    live(around, newborns, near, immunity, params, now)
    tissue = settle(tissue, newborns, now)
    around = feel(tissue, params)
    move(around, params, now)

    secrete(around, params)
    signals.advance(tissue.fields, transport, now.dt)
    circulate(tissue, params, now)
    tissue.counters[Counter.STEP] = now.step + 1
    return tissue


def feel(tissue: Tissue, params: Parameters) -> Tissue:
    """The same tissue with the signals as cells feel them; shares all other arrays, and the signals too where nothing is changed."""
    level = signals.felt(tissue.fields.level, params.signal, float(tissue.blood[Compartment.INTERFERON]))
    return tissue._replace(fields=tissue.fields._replace(level=level))


class Near(NamedTuple):
    """How many cells of a kind stand in each voxel at the start of the step."""

    macrophages: Ints  # per tissue voxel
    fibroblasts: Ints  # per signal voxel, as the next two
    satellites: Ints  # activated
    lineage: Ints  # quiescent and activated satellite cells and myocytes


def count(tissue: Tissue) -> Near:
    """Count the cells that others react to."""
    cells, fine, coarse = in_use(tissue), tissue.voxels.ground.shape, tissue.fields.level.shape[1:]
    near = Near(np.empty(fine, np.int32), *(np.empty(coarse, np.int32) for _ in range(3)))
    other = np.empty(coarse, np.int32)
    tally(near.macrophages, cells.kind, cells.x, cells.y, int(Kind.MACROPHAGE), VOXEL)
    tally(near.satellites, cells.kind, cells.x, cells.y, int(Kind.ACTIVATED_SATELLITE), SIGNAL_VOXEL)
    tally(other, cells.kind, cells.x, cells.y, int(Kind.MYOCYTE), SIGNAL_VOXEL)
    np.add(near.satellites, other, out=near.lineage)
    tally(other, cells.kind, cells.x, cells.y, int(Kind.QUIESCENT_SATELLITE), SIGNAL_VOXEL)
    np.add(near.lineage, other, out=near.lineage)
    tally(near.fibroblasts, cells.kind, cells.x, cells.y, int(Kind.FIBROBLAST), SIGNAL_VOXEL)
    tally(other, cells.kind, cells.x, cells.y, int(Kind.MYOFIBROBLAST), SIGNAL_VOXEL)
    np.add(near.fibroblasts, other, out=near.fibroblasts)
    return near


def die_and_clear(tissue: Tissue, near: Near, params: Parameters, now: Now) -> None:
    """Fibres are attacked and die; debris and dead neutrophils are eaten."""
    cells, fibres, voxels, level = in_use(tissue), tissue.fibres, tissue.voxels, tissue.fields.level
    attacks = np.zeros(fibres.x.size, np.int64)
    macrophage.attack(attacks, cells, level, voxels.ground, voxels.fibre, params.fibre.injury)
    t_cell.attack_as_cd8(attacks, cells, voxels.ground, voxels.fibre, params.cd8)
    died = np.zeros(fibres.x.size, np.bool_)
    fibre.injure_fibres(died, fibres, voxels, attacks, params.fibre.injury, now)
    after_death(tissue, died, params.vessel.necrosis_loss, 0, now)

    shape = voxels.ground.shape
    bites, lost, eaten = np.zeros(shape, np.int64), np.empty(shape), np.zeros(shape, np.int32)
    ground_before = voxels.ground.copy()
    macrophage.bite_as_macrophage(bites, cells, level, ground_before, params.macrophage.engulfment)
    neutrophil.bite_as_neutrophil(bites, cells, ground_before, params.neutrophil)
    fibre.lose_debris(lost, voxels, bites, voxel_volume(params), params.fibre.cleared_debris, now)
    neutrophil.remove_corpses(cells, eaten, near.macrophages, params.macrophage.engulfment.corpse_rate, params.neutrophil, now)
    macrophage.swallow(
        cells, bites, lost, eaten, near.macrophages, level, ground_before, params.neutrophil.volume, params.macrophage.engulfment
    )


def after_death(tissue: Tissue, died: Flags, vessel_loss: float, nth: int, now: Now) -> None:
    """What the death of fibres does to their capillaries and to the count of deaths."""
    vessel.close_vessels(tissue.vessels, tissue.fibres, died, vessel_loss, nth, now)
    tissue.counters[Counter.NECROSES] += np.count_nonzero(died)


class Inside(NamedTuple):
    """What lies inside the outline of each fibre, as shares of its territory."""

    debris: Floats
    room: Floats
    vacated: Floats  # of the room


def survey(tissue: Tissue) -> Inside:
    """Look into every fibre."""
    inside = Inside(*np.empty((3, tissue.fibres.x.size)))
    fibre.survey(inside.debris, inside.room, inside.vacated, tissue.fibres, tissue.voxels)
    return inside


def regenerate(tissue: Tissue, inside: Inside, params: Parameters, now: Now) -> None:
    """Myocytes fuse, fibres grow into open space, thin and mature, alarm fades."""
    cells, fibres, voxels, level = in_use(tissue), tissue.fibres, tissue.voxels, tissue.fields.level
    igf1, fused = np.empty(fibres.x.size), np.empty(fibres.x.size, np.int32)
    open_here = np.empty(tissue.vessels.x.size, np.int32)
    signals.read_all(igf1, level, int(Signal.IGF1), fibres.x, fibres.y)
    vessel.supply(open_here, tissue.vessels)
    satellite.fuse(cells, fused, voxels, inside.debris, inside.room, params.myocyte, params.fibre.growth, now)
    growth, volume = params.fibre.growth, voxel_volume(params)
    fibre.grow(fibres, voxels, open_here, fused, *inside, igf1, params.myocyte.volume, volume, growth, now)
    fibre.thin(fibres, voxels, open_here, volume, growth, now)
    fibre.mature(fibres, voxels.ground, growth, now)
    fibre.calm(fibres, params.fibre, now)


def coat(tissue: Tissue, inside: Inside, params: Parameters, now: Now) -> None:
    """Complement settles on debris and where antibody binds, and closes vessels; particles dissolve."""
    antibody.coat_fibres(tissue.fibres, inside.debris, tissue.blood, params.antibody, params.complement, now)
    antibody.coat_vessels(tissue.vessels, tissue.fields.level, tissue.blood, params.antibody, params.complement, now)
    vessel.close_by_complement(tissue.vessels, params.vessel, now)
    particle.dissolve(tissue.voxels.particles, params.particle, now)


class Immunity(NamedTuple):
    """What the draining lymph node makes of the tissue."""

    cd4: float  # cells per mm3
    antigen: float  # presented, 0-1
    recognised: float  # 0-1


def recognise(tissue: Tissue, params: Parameters) -> Immunity:
    """The draining lymph node sees what macrophages of the whole section present."""
    cells, volume = in_use(tissue), slab_volume(tissue, params)
    antigen = t_cell.presented(macrophage.presentation(cells, params.macrophage.presentation_load_half) / volume, params.cd4)
    regulators = np.count_nonzero(cells.kind == Kind.REGULATORY_T) / volume
    cd4 = np.count_nonzero(cells.kind == Kind.CD4) / volume
    return Immunity(cd4, antigen, t_cell.recognition(antigen, regulators, params.cd4))


def enter(tissue: Tissue, newborns: Newborns, immunity: Immunity, params: Parameters, now: Now) -> None:
    """Blood cells enter through open vessels, vessels reopen, sprout and are pruned."""
    vessels, level, blood_now = tissue.vessels, tissue.fields.level, tissue.blood
    recognised = immunity.recognised
    recruitment.admit_neutrophils(newborns, vessels, level, params.neutrophil, now)
    recruitment.admit_monocytes(newborns, vessels, level, blood_now[Compartment.MONOCYTES], params.monocyte.entry, now)
    recruitment.admit_cd4(newborns, vessels, recognised, blood_now[Compartment.MEMORY], params.cd4, now)
    recruitment.admit_regulatory(newborns, vessels, immunity.antigen, params.regulatory_t, now)
    recruitment.admit_cd8(newborns, vessels, level, recognised, params.cd8, now)
    recruitment.admit_b_cells(newborns, vessels, recognised, params.antibody, now)
    tissue.counters[Counter.ENTRIES] += newborns.count[0]
    vessel.reopen(vessels, level, params.vessel, now)
    vessel.sprout(vessels, level, params.vessel, now)


def live(tissue: Tissue, newborns: Newborns, near: Near, immunity: Immunity, params: Parameters, now: Now) -> None:
    """Every cell ages, reads its surroundings, divides or dies; collagen turns over."""
    cells, voxels, level = in_use(tissue), tissue.voxels, tissue.fields.level
    inflammatory, repair = params.macrophage.inflammatory_activation, params.macrophage.repair_activation
    neutrophil.age_neutrophils(cells, params.neutrophil, now)
    macrophage.activate(cells, level, params.macrophage, now)
    macrophage.divide_macrophages(newborns, cells, params.macrophage, now)
    macrophage.kill_macrophages(cells, level, params.macrophage.death, now)
    macrophage.mature_monocytes(cells, params.monocyte, inflammatory.at_maturation, repair.at_maturation, now)
    t_cell.turn_over_cd4(newborns, cells, immunity.recognised, immunity.cd4, params.cd4, now)
    departure.depart(cells, int(Kind.REGULATORY_T), 1.0 / params.regulatory_t.lifetime, int(Draw.REGULATORY_DEATH), now)
    departure.depart(cells, int(Kind.CD8), 1.0 / params.cd8.lifetime, int(Draw.CD8_DEATH), now)
    departure.depart(cells, int(Kind.B_CELL), 1.0 / params.antibody.b_cell_lifetime, int(Draw.B_CELL_DEATH), now)
    satellite.wake(cells, level, voxels.fibre, params.satellite.activation, now)
    satellite.thin_out(cells, params.geometry.satellites_per_fibre * tissue.fibres.x.size, params.satellite, now)
    satellite.differentiate(cells, level, near.lineage, params.satellite, now)
    satellite.divide_satellites(newborns, cells, level, near.lineage, params.satellite.division, now)
    fibroblast.turn_over_fibroblasts(newborns, cells, level, near.fibroblasts, near.satellites, params.fibroblast, now)
    laid = np.zeros(voxels.ground.shape, np.int64)
    fibroblast.lay_collagen(laid, cells, voxels.ground, voxel_volume(params), params.collagen)
    fibroblast.turn_over_collagen(voxels, laid, near.macrophages, params.collagen, params.geometry, now)
    fibroblast.scar(voxels, level, near.fibroblasts, params.collagen, now)


def move(tissue: Tissue, params: Parameters, now: Now) -> None:
    """Cells walk, then contend for places."""
    cells, ground, level = in_use(tissue), tissue.voxels.ground, tissue.fields.level
    motion.set_aside(cells, ground)
    to_x, to_y = cells.x.copy(), cells.y.copy()
    for kind, attractant, motility in WALKERS:
        motion.walk(cells, level, ground, to_x, to_y, int(kind), int(attractant), getattr(params.motion, motility), now)
    standing, best = np.empty(ground.shape, np.int32), np.empty(ground.shape)
    motion.place(cells, to_x, to_y, ground, standing, best, params.motion.cells_per_voxel, now)


def secrete(tissue: Tissue, params: Parameters) -> None:
    """Everything that secretes or takes up signals does so, each by its rate over the step."""
    cells, level, secreted, taken = in_use(tissue), tissue.fields.level, tissue.fields.secreted, tissue.fields.taken
    dilution = signals.dilution(params.geometry.depth)
    uptake = signals.uptake_rates(params.signal, params.geometry.depth)
    fibre.secrete_as_fibre(secreted, tissue.fibres, tissue.voxels, params.fibre.secretion)
    neutrophil.secrete_as_neutrophil(secreted, cells, dilution, params.neutrophil)
    macrophage.secrete_as_macrophage(secreted, taken, cells, dilution, uptake, params.macrophage)
    t_cell.secrete_as_t_cell(secreted, cells, dilution, params.cd4, params.regulatory_t, params.cd8)
    satellite.secrete_as_satellite(secreted, taken, cells, dilution, uptake, params.satellite)
    fibroblast.secrete_as_fibroblast(secreted, taken, cells, level, dilution, uptake, params.fibroblast)
    vessel.secrete_as_hypoxic(secreted, taken, tissue.vessels, dilution, uptake, params.vessel)
    particle.secrete_as_particle(secreted, tissue.voxels.particles, params.particle)


def circulate(tissue: Tissue, params: Parameters, now: Now) -> None:
    """The blood follows the muscle."""
    ccl2 = signals.mean_level(tissue.fields.level, int(Signal.CCL2))
    blood.circulate(tissue.blood, tissue.fibres, ccl2, params.fibre.alarm_time, params.blood, now)
    kind, volume = in_use(tissue).kind, slab_volume(tissue, params)
    t_cell.remember(tissue.blood, np.count_nonzero(kind == Kind.CD4) / volume, params.cd4, now)
    antibody.circulate_antibody(tissue.blood, np.count_nonzero(kind == Kind.B_CELL) / volume, params.antibody, params.complement, now)


def voxel_volume(params: Parameters) -> float:
    """Volume of a tissue voxel of the slab [um3]."""
    return VOXEL * VOXEL * params.geometry.depth


def slab_volume(tissue: Tissue, params: Parameters) -> float:
    """Volume of the slab [mm3]."""
    width, height = size(tissue)
    return width * height * params.geometry.depth * 1e-9
