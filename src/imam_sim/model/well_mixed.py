"""The model with space switched off: single cells and fibres in one stirred pot.

The pot is a tissue of one signal voxel as large as the pot. Cells live, enter, secrete and die in the very kernels of the spatial model;
what needs places is replaced by mean numbers:

- *Within reach* is what 3 x 3 voxels hold on average: density x volume of the reach. A thing of which n voxels are in reach on average is
  touched with probability 1 - exp(-n).
- *Fibres* are pieces of one size, each wholly intact, necrotic, cleared, regenerating, scar or fat. A necrotic one is eaten whole, at the
  hazard at which debris vanishes in space; what myocytes and growth bring fills cleared ones by lot. Laws that ask for room and debris in
  a territory get their shares of all territory, laws that ask for blood supply all open vessels over all capillaries.
- *Load* is shared: after each step all macrophages hold the same. Activation levels stay private, so newcomers differ from old cells.

Left out are motion, collagen, venules and with them B cells, complement, the thinning of fibres and particles. `mean_field` is the limit
of this for many cells and short steps.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

import numpy as np

from imam_sim.model import step
from imam_sim.model.fields import QUANTUM, Transport, make_transport, read, secrete_voxel
from imam_sim.model.initial import SPROUT_SITES, make_bare_tissue
from imam_sim.model.jit import jit
from imam_sim.model.maths import chance, relax
from imam_sim.model.newborn import no_newborns, settle
from imam_sim.model.params import Engulfment, FibreGrowth, FibreInjury, FibreSecretion, Geometry, Myocyte, Parameters
from imam_sim.model.rng import Draw, uniform
from imam_sim.model.rules import fibre, fibroblast, injury, macrophage, neutrophil, satellite
from imam_sim.model.state import (
    NOBODY,
    SIGNAL_VOXEL,
    VOXEL,
    Bytes,
    Cells,
    Counter,
    Fibres,
    FibreState,
    Fields,
    Flags,
    Floats,
    Ground,
    Kind,
    Longs,
    Now,
    Signal,
    Tissue,
    VesselKind,
    Vessels,
    Voxels,
    in_use,
)

Record = TypeVar("Record", Fibres, Vessels)

IN_REACH = 9  # voxels: 3 x 3
FIBRES_AROUND_CAPILLARY = 2.0  # as sections that `make_tissue` lays out have it
MM3 = 1e9  # um3


class Composition(NamedTuple):
    """What a mm3 of healthy muscle holds, and how far a cell reaches."""

    fibres: float  # per mm3
    fibre_volume: float  # um3
    capillaries: float  # per mm3
    satellites: float  # per mm3
    fibroblasts: float  # per mm3
    macrophages: float  # per mm3
    touch: float  # mm3 that a cell touches
    sense: float  # mm3 in which it feels a crowd


def compose(geometry: Geometry) -> Composition:
    """The composition of muscle of square fibres in a lattice of endomysium, without perimysium and fascia."""
    pitch = geometry.fibre_area**0.5 + geometry.endomysium_width
    fibres = MM3 / (pitch * pitch * geometry.depth)
    return Composition(
        fibres=fibres,
        fibre_volume=geometry.fibre_area * geometry.depth,
        capillaries=fibres * geometry.capillaries_around_fibre / FIBRES_AROUND_CAPILLARY,
        satellites=fibres * geometry.satellites_per_fibre,
        fibroblasts=geometry.fibroblasts,
        macrophages=geometry.macrophages,
        touch=IN_REACH * VOXEL * VOXEL * geometry.depth / MM3,
        sense=IN_REACH * SIGNAL_VOXEL * SIGNAL_VOXEL * geometry.depth / MM3,
    )


class Share(IntEnum):
    """What a piece of fibre can be; the order of the shares of territory."""

    INTACT = 0
    NECROTIC = 1
    CLEARED = 2
    REGENERATING = 3
    SCAR = 4
    FAT = 5


GROUNDS = {
    Share.INTACT: Ground.FIBRE,
    Share.NECROTIC: Ground.NECROTIC,
    Share.CLEARED: Ground.CLEARED,
    Share.REGENERATING: Ground.REGENERATING,
    Share.SCAR: Ground.SCAR,
    Share.FAT: Ground.FAT,
}
COUNTED = (
    Kind.NEUTROPHIL,
    Kind.APOPTOTIC_NEUTROPHIL,
    Kind.MONOCYTE,
    Kind.MACROPHAGE,
    Kind.CD4,
    Kind.REGULATORY_T,
    Kind.CD8,
    Kind.QUIESCENT_SATELLITE,
    Kind.ACTIVATED_SATELLITE,
    Kind.MYOCYTE,
    Kind.FIBROBLAST,
    Kind.MYOFIBROBLAST,
)
OUTCOMES: tuple[str, ...] = (
    *(kind.name.lower() for kind in COUNTED),  # cells/mm3
    "inflammatory",  # sum of the inflammatory levels, per mm3
    "repair",  # sum of the repair levels, per mm3
    "load",  # um3 in all macrophages, per mm3
    *(share.name.lower() for share in Share),  # of all fibre territory
    "perfused",  # share of capillaries
    "sprouts",  # open ones per capillary
    *(signal.name.lower() for signal in Signal),  # ng/mL
)


class Pot(NamedTuple):
    """A stirred volume of muscle."""

    tissue: Tissue
    pieces: Voxels  # (1, pieces): each fibre is one voxel
    params: Parameters  # with the depth at which one signal voxel is as large as the pot
    composition: Composition
    volume: float  # mm3


def make_pot(params: Parameters, volume: float) -> Pot:
    """A healthy pot of `volume` mm3, without signals."""
    composition = compose(params.geometry)
    depth = volume * MM3 / (SIGNAL_VOXEL * SIGNAL_VOXEL)
    params = params._replace(geometry=params.geometry._replace(depth=depth))
    tissue = make_bare_tissue(params, SIGNAL_VOXEL, SIGNAL_VOXEL)
    n_fibres = round(composition.fibres * volume)
    fibres = _blank(tissue.fibres, n_fibres)._replace(territory=np.ones(n_fibres, np.int64), living=np.ones(n_fibres, np.int64))
    fibres = fibres._replace(first_voxel=np.arange(n_fibres + 1), voxels=np.arange(n_fibres))
    vessels = _make_vessels(tissue.vessels, round(composition.capillaries * volume))
    pieces = Voxels._make(np.zeros((1, n_fibres), column.dtype) for column in tissue.voxels)
    pieces.ground[:] = Ground.FIBRE
    tissue = tissue._replace(fibres=fibres, vessels=vessels, cells=_make_cells(tissue, params, composition, n_fibres, volume))
    tissue.counters[Counter.CELLS] = tissue.counters[Counter.NEXT_ID] = np.count_nonzero(tissue.cells.kind)
    return Pot(tissue, pieces, params, composition, volume)


def _blank(record: Record, n: int) -> Record:
    """A record of the same kind with `n` zeros in every column."""
    columns: Any = [np.zeros(n, column.dtype) for column in record]
    return type(record)(*columns)


def _make_vessels(empty: Vessels, n: int) -> Vessels:
    """Open capillaries, then the sites of their sprouts."""
    vessels = _blank(empty, n * (1 + SPROUT_SITES))
    vessels.perfused[:n] = True
    vessels.kind[n:] = VesselKind.SPROUT
    vessels.parent[:n], vessels.parent[n:] = NOBODY, np.repeat(np.arange(n), SPROUT_SITES)
    return vessels


def _make_cells(tissue: Tissue, params: Parameters, composition: Composition, n_fibres: int, volume: float) -> Cells:
    """The resident cells of a healthy pot; satellite cells sit on fibres in turn."""
    residents = {
        Kind.MACROPHAGE: composition.macrophages,
        Kind.QUIESCENT_SATELLITE: composition.satellites,
        Kind.FIBROBLAST: composition.fibroblasts,
    }
    kind = np.repeat([int(k) for k in residents], [round(density * volume) for density in residents.values()])
    n = kind.size
    cells = Cells._make(np.zeros(2 * n, column.dtype) for column in tissue.cells)
    cells.id[:n], cells.kind[:n], cells.resident[:n] = np.arange(n), kind, True
    cells.repair[:n][kind == Kind.MACROPHAGE] = resting_repair(params)
    cells.fibre[:] = NOBODY
    asleep = np.flatnonzero(kind == Kind.QUIESCENT_SATELLITE)
    cells.fibre[asleep] = np.arange(asleep.size) * n_fibres // max(asleep.size, 1)
    return cells


def resting_repair(params: Parameters) -> float:
    """The repair level of a resident macrophage without any signal."""
    return macrophage.repair_target(0.0, 0.0, 0.0, 0.0, 0.0, params.macrophage.repair_activation)


def share_of(pot: Pot, share: Share) -> float:
    """Share of all fibre territory that is in a state."""
    return float(np.count_nonzero(pot.pieces.ground == GROUNDS[share]) / pot.pieces.ground.size)


@jit
def contact(share: float, fibre_share: float) -> float:
    """Chance that a cell touches fibre of a kind that is `share` of all fibre, which is `fibre_share` of the tissue: 1 - exp(-n).

    n = 9 x share x fibre_share is the mean number of such voxels in its reach.
    """
    return chance(IN_REACH * share * fibre_share, 1.0)


def injure(pot: Pot, fraction: float, now: Now) -> None:
    """Kill a fraction of the living fibres by lot, with what sits on them and the same fraction of capillaries at the rate of injuries."""
    fibres, share = pot.tissue.fibres, pot.params.vessel.injury_loss
    hit = injury.hit_by_injury(fibres, "scattered", fraction, 1.0, 1.0, 1, now)
    for f in np.flatnonzero(hit):
        fibre.necrose(int(f), fibres, pot.pieces.ground, pot.pieces.debris)
    satellite.die_with_fibre(in_use(pot.tissue), hit, pot.params.satellite.injury_death, 1, now)
    close_capillaries(pot.tissue.vessels, share * np.count_nonzero(hit) / hit.size, 1, now)


def advance(pot: Pot, transport: Transport, now: Now) -> Pot:
    """The pot one step later, by the same order of events as in `step.advance`; arrays are changed in place or replaced."""
    params = pot.params
    tissue, near = pot.tissue, _near(pot)
    newborns = no_newborns(6 * tissue.vessels.x.size + 2 * int(tissue.counters[Counter.CELLS]))
    around = step.feel(tissue, params)

    _die_and_clear(pot, around, now)
    _regenerate(pot, around, now)
    immunity = step.recognise(around, params)
    step.enter(around, newborns, immunity, params, now)
    step.live(around, newborns, near, immunity, params, now)
    fibroblast.scar(pot.pieces, around.fields.level, near.fibroblasts, params.collagen, now)
    tissue = settle(tissue, newborns, now)
    tissue.cells.x[:], tissue.cells.y[:] = 0.0, 0.0
    share_load(in_use(tissue))

    secrete(pot._replace(tissue=tissue))
    for signal in Signal:
        refresh(tissue.fields, int(signal), transport)
    step.circulate(tissue, params, now)
    tissue.counters[Counter.STEP] = now.step + 1
    return pot._replace(tissue=tissue)


def secrete(pot: Pot) -> None:
    """All cells, capillaries and pieces of fibre secrete and take up."""
    fields, params = pot.tissue.fields, pot.params
    step.secrete(step.feel(pot.tissue, params), params)
    secrete_as_pieces(fields.secreted, pot.pieces.ground, pot.tissue.fibres.alarm, _fibre_share(pot), params.fibre.secretion)


def _fibre_share(pot: Pot) -> float:
    """Share of the tissue that is inside the outline of a fibre."""
    return pot.composition.fibres * pot.composition.fibre_volume / MM3


def _near(pot: Pot) -> step.Near:
    """The mean numbers within reach."""
    count = np.bincount(in_use(pot.tissue).kind, minlength=max(Kind) + 1) / pot.volume
    satellites = count[Kind.ACTIVATED_SATELLITE]
    lineage = count[Kind.QUIESCENT_SATELLITE] + satellites + count[Kind.MYOCYTE]
    sensed = [count[Kind.FIBROBLAST] + count[Kind.MYOFIBROBLAST], satellites, lineage]
    return step.Near(np.zeros((2, 2), np.int32), *(_everywhere(n * pot.composition.sense) for n in sensed))


def _everywhere(number: float) -> Any:
    """A mean number within reach as a 1 x 1 grid of counts: a look around adds up this one voxel."""
    return np.full((1, 1), number)


def _die_and_clear(pot: Pot, around: Tissue, now: Now) -> None:
    """Fibres are attacked and die; debris and dead neutrophils are eaten."""
    params, composition = pot.params, pot.composition
    cells, fibres, level = in_use(around), around.fibres, around.fields.level
    n, fibre_share = fibres.x.size, _fibre_share(pot)
    living, necrotic = share_of(pot, Share.INTACT) + share_of(pot, Share.REGENERATING), share_of(pot, Share.NECROTIC)
    n_cd8 = np.count_nonzero(cells.kind == Kind.CD8)
    attack = (attack_of_all(cells, level, params.fibre.injury) + n_cd8 * params.cd8.kill_rate) * contact(living, fibre_share)
    attacks = np.full(n, round(attack / max(living * n, 1.0) / QUANTUM))
    died = np.zeros(n, np.bool_)
    fibre.injure_fibres(died, fibres, pot.pieces, attacks, params.fibre.injury, now)
    n_died = np.count_nonzero(died)
    closed = chance(params.vessel.necrosis_loss * FIBRES_AROUND_CAPILLARY * n_died / n, 1.0)
    close_capillaries(around.vessels, closed, 0, now)

    appetite = appetite_of_all(cells, level, params.macrophage.engulfment)
    n_neutrophils = np.count_nonzero(cells.kind == Kind.NEUTROPHIL)
    bites = (appetite + n_neutrophils * params.neutrophil.engulf_rate) * contact(necrotic, fibre_share)
    meal = 0.0
    if necrotic > 0.0:
        n_eaten = eat_pieces(pot.pieces.ground, died, chance(bites / (necrotic * n * composition.fibre_volume), now.dt), now)
        meal += n_eaten * composition.fibre_volume * appetite / (appetite + n_neutrophils * params.neutrophil.engulf_rate)
    corpses = np.zeros((1, 1), np.int32)
    n_macrophages = np.count_nonzero(cells.kind == Kind.MACROPHAGE)
    reached = _everywhere(n_macrophages / pot.volume * composition.touch)
    neutrophil.remove_corpses(cells, corpses, reached, params.macrophage.engulfment.corpse_rate, params.neutrophil, now)
    meal += corpses[0, 0] * params.neutrophil.volume
    if n_macrophages > 0:
        cells.load[cells.kind == Kind.MACROPHAGE] += meal / n_macrophages


def _regenerate(pot: Pot, around: Tissue, now: Now) -> None:
    """Myocytes fuse, what they bring and what grows fills cleared pieces, fibres mature, alarm fades."""
    params, fibres, level = pot.params, around.fibres, around.fields.level
    n, growth = fibres.x.size, params.fibre.growth
    room, debris, regenerating = (share_of(pot, s) for s in (Share.CLEARED, Share.NECROTIC, Share.REGENERATING))
    n_fused = fuse(in_use(around), room, debris, params.myocyte, growth, now)
    supply = sum(open_vessels(around.vessels))
    rate = fibre.growth_rate(read(level, int(Signal.IGF1), 0.0, 0.0), supply, room, 0.0, debris, growth)
    brought = n_fused * params.myocyte.volume / (n * pot.composition.fibre_volume) + rate * regenerating * now.dt
    if room > 0.0:
        fill_pieces(fibres, pot.pieces.ground, chance(brought / room, 1.0), now)
    fibre.mature(fibres, pot.pieces.ground, growth, now)
    fibre.calm(fibres, params.fibre, now)


@jit
def attack_of_all(cells: Cells, level: Floats, p: FibreInjury) -> float:
    """Sum of the attack of all macrophages [1/h]."""
    ifn, tnf, il10 = read(level, Signal.IFN_GAMMA, 0.0, 0.0), read(level, Signal.TNF, 0.0, 0.0), read(level, Signal.IL10, 0.0, 0.0)
    total = 0.0
    for i in range(cells.kind.size):
        if cells.kind[i] == Kind.MACROPHAGE:
            total += macrophage.attack_hazard(cells.inflammatory[i], ifn, tnf, il10, p)
    return total


@jit
def appetite_of_all(cells: Cells, level: Floats, p: Engulfment) -> float:
    """Sum of the appetite of all macrophages [um3/h]."""
    il10 = read(level, Signal.IL10, 0.0, 0.0)
    total = 0.0
    for i in range(cells.kind.size):
        if cells.kind[i] == Kind.MACROPHAGE:
            total += macrophage.appetite(cells.repair[i], il10, p)
    return total


@jit
def eat_pieces(ground: Bytes, died: Flags, due: float, now: Now) -> int:
    """Clear dead pieces of fibre with a probability, but not those that died just now (writes ground). Returns how many."""
    n = 0
    for f in range(died.size):
        if ground[0, f] == Ground.NECROTIC and not died[f] and uniform(now, f, Draw.POT_PIECE_EATEN) < due:
            ground[0, f] = Ground.CLEARED
            n += 1
    return n


@jit
def fuse(cells: Cells, room: float, debris: float, p: Myocyte, growth: FibreGrowth, now: Now) -> int:
    """Let myocytes die or fuse (writes kind). Returns how many fused."""
    dead, due = chance(p.death_rate, now.dt), chance(satellite.fusion(room, debris, p, growth), now.dt)
    n = 0
    for i in range(cells.kind.size):
        if cells.kind[i] != Kind.MYOCYTE:
            continue
        if uniform(now, cells.id[i], Draw.MYOCYTE_DEATH) < dead:
            cells.kind[i] = Kind.NONE
        elif uniform(now, cells.id[i], Draw.MYOCYTE_FUSION) < due:
            cells.kind[i] = Kind.NONE
            n += 1
    return n


@jit
def fill_pieces(fibres: Fibres, ground: Bytes, due: float, now: Now) -> None:
    """Turn cleared pieces into regenerating fibre with a probability (writes state, living, central_nuclei, ground)."""
    for f in range(fibres.x.size):
        if ground[0, f] == Ground.CLEARED and uniform(now, f, Draw.POT_PIECE_FILLED) < due:
            ground[0, f] = Ground.REGENERATING
            fibres.state[f] = FibreState.REGENERATING
            fibres.living[f] = 1
            fibres.central_nuclei[f] = True


@jit
def close_capillaries(vessels: Vessels, due: float, nth: int, now: Now) -> None:
    """Close capillaries with a probability (writes perfused)."""
    for i in range(vessels.x.size):
        if vessels.kind[i] == VesselKind.CAPILLARY and uniform(now, i, Draw.POT_CAPILLARY_CLOSED, nth) < due:
            vessels.perfused[i] = False


@jit
def share_load(cells: Cells) -> None:
    """Let all macrophages hold the same load (writes load)."""
    total, n = 0.0, 0
    for i in range(cells.kind.size):
        if cells.kind[i] == Kind.MACROPHAGE:
            total += cells.load[i]
            n += 1
    for i in range(cells.kind.size):
        if cells.kind[i] == Kind.MACROPHAGE:
            cells.load[i] = total / n


@jit
def secrete_as_pieces(secreted: Longs, ground: Bytes, alarm: Floats, fibre_share: float, p: FibreSecretion) -> None:
    """Give off what `fibre.secrete_as_fibre` does, by the share of the tissue that each kind of fibre is (writes secreted)."""
    n_living, n_dead, n_cleared, fresh = 0, 0, 0, 0.0
    for f in range(alarm.size):
        n_living += ground[0, f] == Ground.FIBRE or ground[0, f] == Ground.REGENERATING
        n_cleared += ground[0, f] == Ground.CLEARED
        if ground[0, f] == Ground.NECROTIC:
            n_dead += 1
            fresh += alarm[f]
    piece = fibre_share / alarm.size
    secrete_voxel(secreted, Signal.IGF1, 0, 0, piece * p.igf1_living * n_living)
    secrete_voxel(secreted, Signal.DAMP, 0, 0, piece * (p.damp_necrotic * n_dead + p.damp_fresh * fresh))
    secrete_voxel(secreted, Signal.IL1B, 0, 0, piece * p.il1_fresh * fresh)
    secrete_voxel(secreted, Signal.HGF, 0, 0, piece * (p.hgf_necrotic * n_dead + p.hgf_fresh * fresh + p.hgf_open * n_cleared))
    secrete_voxel(secreted, Signal.CCL2, 0, 0, piece * p.ccl2_open * n_cleared)


@jit
def refresh(fields: Fields, s: int, p: Transport) -> None:
    """One step of a stirred signal, exact while its sources and takers are as they are (writes level, secreted, taken).

    Law: that of `fields` without diffusion, retardation dc/dt = secretion_share S - (decay_rate + u) c.
    """
    lost = p.decay_rate[s] + fields.taken[s, 0, 0] * QUANTUM
    source = p.secretion_share[s] * fields.secreted[s, 0, 0] * QUANTUM
    fields.level[s, 0, 0] = relax(fields.level[s, 0, 0], source / lost, p.retardation[s] / lost, p.dt)
    fields.secreted[s, 0, 0], fields.taken[s, 0, 0] = 0, 0


def open_vessels(vessels: Vessels) -> tuple[float, float]:
    """Open capillaries and open sprouts, both per capillary."""
    capillary = vessels.kind == VesselKind.CAPILLARY
    n = np.count_nonzero(capillary)
    return np.count_nonzero(vessels.perfused & capillary) / n, np.count_nonzero(vessels.perfused & ~capillary) / n


def measure(pot: Pot) -> Floats:
    """All outcomes of a pot, in the order of OUTCOMES."""
    cells = in_use(pot.tissue)
    count = np.bincount(cells.kind, minlength=max(Kind) + 1)
    own = cells.kind == Kind.MACROPHAGE
    sums = [cells.inflammatory[own].sum(), cells.repair[own].sum(), cells.load[own].sum()]
    per_volume = np.array([*(count[kind] for kind in COUNTED), *sums]) / pot.volume
    shares = [*(share_of(pot, share) for share in Share), *open_vessels(pot.tissue.vessels)]
    return np.concatenate((per_volume, shares, pot.tissue.fields.level[:, 0, 0]))


def simulate(params: Parameters, volume: float, seed: int, dt: float, times: Floats, injury_time: float, fraction: float) -> Floats:
    """The course of a pot of `volume` mm3 in which a fraction of the fibres is injured at a time: (times, outcomes).

    Times are in h and rounded to whole steps of `dt` h.
    """
    pot, transport = make_pot(params, volume), make_transport(params.signal, (1, 1), dt)
    course = np.empty((len(times), len(OUTCOMES)))
    due = np.round(np.asarray(times) / dt).astype(np.int64)
    for k in range(int(due.max()) + 1):
        course[due == k] = measure(pot)
        now = Now(seed, k, dt)
        if k == round(injury_time / dt):
            injure(pot, fraction, now)
        pot = advance(pot, transport, now)
    return course
