"""The mathematics of the processes: walks, lifetimes, entry, division, relaxation and the step length, against closed forms.

Statistics are judged at |z| <= 4 with fixed seeds, which stand in the name of each case.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy.ndimage import label
from scipy.stats import chi2
from scipy.stats import t as student

from imam_sim.model import fields as signals
from imam_sim.model import initial, intervene, observe, state, step
from imam_sim.model.fields import QUANTUM
from imam_sim.model.newborn import Newborns, no_newborns, settle
from imam_sim.model.params import (
    PRESETS,
    Antibody,
    Cd4,
    Cd8,
    Collagen,
    Complement,
    Geometry,
    Monocyte,
    MonocyteEntry,
    Motility,
    Neutrophil,
    Parameters,
    Particle,
    RegulatoryT,
    SatelliteDivision,
    Vessel,
)
from imam_sim.model.quantity import put
from imam_sim.model.rng import Draw
from imam_sim.model.rules import (
    antibody,
    blood,
    departure,
    fibre,
    fibroblast,
    injury,
    macrophage,
    motion,
    neutrophil,
    particle,
    recruitment,
    satellite,
    t_cell,
    vessel,
)
from imam_sim.model.state import (
    NOBODY,
    SIGNAL_VOXEL,
    VOXEL,
    Cells,
    Compartment,
    Counter,
    Fibres,
    Ground,
    Kind,
    Now,
    Signal,
    Tissue,
    VesselKind,
    Vessels,
    in_use,
)

DT = 1.0 / 6.0
Z = 4.0
TWO_SIDED = math.erfc(Z / math.sqrt(2.0))  # probability beyond |z| = 4
MOUSE = put(Parameters(), {path: preset.value for path, preset in PRESETS["mouse"].items()})


def cells_at(n: int, kind: Kind, x: float = 0.0, y: float = 0.0) -> Cells:
    """So many cells of one kind at one place, heading anywhere."""
    angle = np.random.default_rng(n).uniform(0.0, 2.0 * np.pi, n)
    return Cells(
        id=np.arange(n),
        kind=np.full(n, kind, np.int8),
        x=np.full(n, x),
        y=np.full(n, y),
        ux=np.cos(angle),
        uy=np.sin(angle),
        inflammatory=np.zeros(n),
        repair=np.zeros(n),
        load=np.zeros(n),
        fibre=np.full(n, NOBODY, np.int32),
        resident=np.zeros(n, np.bool_),
    )


def count(cells: Cells, kind: Kind) -> int:
    return int(np.count_nonzero(cells.kind == kind))


def deviates(values: np.ndarray, expected: float) -> float:
    """How many standard errors the mean of a sample lies from what is expected."""
    return float((values.mean() - expected) / (values.std(ddof=1) / math.sqrt(values.size)))


def binomial_z(n_hit: int, n: int, p: float) -> float:
    return (n_hit - n * p) / math.sqrt(n * p * (1.0 - p))


# -- walks


def walk(
    p: Motility, n: int, n_steps: int, seed: int, slope: tuple[float, float] = (0.0, 0.0), dt: float = DT
) -> tuple[np.ndarray, np.ndarray]:
    """Displacements [um] of `n` tracers from the middle of 2 mm of open tissue; a signal rises along `slope` [ng/mL/um]."""
    n_voxels = 400
    middle = n_voxels * VOXEL / 2.0
    cells = cells_at(n, Kind.TRACER, middle, middle)
    ground = np.zeros((n_voxels, n_voxels), np.int8)
    centres = (np.arange(n_voxels // 2) + 0.5) * SIGNAL_VOXEL
    level = np.zeros((1, n_voxels // 2, n_voxels // 2))
    level[0] = max(0.0, -slope[0]) * 2.0 * middle + slope[0] * centres[None, :] + slope[1] * centres[:, None]
    standing, best = np.empty(ground.shape, np.int32), np.empty(ground.shape)
    for k in range(n_steps):
        to_x, to_y = cells.x.copy(), cells.y.copy()
        motion.walk(cells, level, ground, to_x, to_y, int(Kind.TRACER), 0, p, Now(seed, k, dt))
        motion.place(cells, to_x, to_y, ground, standing, best, 2.0, Now(seed, k, dt))
    return cells.x - middle, cells.y - middle


def strides_of(p: Motility, n_steps: int, dt: float = DT) -> tuple[int, float, float]:
    """Number of strides, length of one [um] and the chance to keep the heading through one."""
    per_step = math.ceil(p.speed * dt / motion.STRIDE)
    return per_step * n_steps, p.speed * dt / per_step, math.exp(-dt / per_step / p.persistence_time)


SLOW = Motility(speed=60.0, persistence_time=0.33, bias_max=0.0)
QUICK = Motility(speed=300.0, persistence_time=0.1, bias_max=0.0)
WALKS = [(SLOW, 1), (SLOW, 6), (SLOW, 72), (QUICK, 1), (QUICK, 12)]


@pytest.mark.parametrize(("p", "n_steps"), WALKS)
@pytest.mark.parametrize("seed", [1])
def test_tracers_spread_as_a_velocity_jump_process(p: Motility, n_steps: int, seed: int) -> None:
    x, y = walk(p, 4000, n_steps, seed)
    t, s, tau = n_steps * DT, p.speed, p.persistence_time
    expected = 2.0 * s * s * tau * (t - tau * (1.0 - math.exp(-t / tau)))
    strides, length, kept = strides_of(p, n_steps)
    in_strides = length**2 * (strides + 2.0 * sum((strides - k) * kept**k for k in range(1, strides)))
    assert abs(deviates(x * x + y * y, in_strides)) <= Z
    assert in_strides == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("p", [SLOW, QUICK])
def test_the_spread_tends_to_4_d_t(p: Motility) -> None:
    n_steps = 72 if p is SLOW else 12
    early, late = (walk(p, 4000, k * n_steps // 2, 2 + k) for k in (1, 2))
    d = p.speed**2 * p.persistence_time / 2.0
    gain = [x * x + y * y for x, y in (early, late)]
    error = math.sqrt(sum(g.var() / g.size for g in gain))
    assert abs(gain[1].mean() - gain[0].mean() - 4.0 * d * n_steps / 2 * DT) <= Z * error


@pytest.mark.parametrize("seed", [3])
def test_tracers_spread_alike_in_all_directions(seed: int) -> None:
    x, y = walk(SLOW, 4000, 24, seed)
    assert max(abs(deviates(v, 0.0)) for v in (x, y, x * y, x * x - y * y, (x * x - y * y) * x * y)) <= Z


@pytest.mark.parametrize("seed", [4])
def test_the_spread_does_not_depend_on_the_step(seed: int) -> None:
    once = walk(SLOW, 4000, 12, seed, dt=DT)
    halved = walk(SLOW, 4000, 24, seed + 1, dt=DT / 2.0)
    spread = [x * x + y * y for x, y in (once, halved)]
    error = math.sqrt(sum(s.var() / s.size for s in spread))
    assert abs(spread[0].mean() - spread[1].mean()) <= Z * error


@pytest.mark.parametrize(("slope", "half"), [(1e-3, 1e-6), (1e-3, 1e-4), (3e-3, 1e-6)])
@pytest.mark.parametrize("seed", [5])
def test_cells_drift_up_a_gradient_at_half_speed_times_bias(slope: float, half: float, seed: int) -> None:
    p = SLOW._replace(bias_max=0.9, attractant_half=1e4, difference_half=half)
    x, y = walk(p, 4000, 48, seed, slope=(slope, 0.0))
    bias = 0.9 / (1.0 + half / (10.0 * slope / 1e4))
    strides, length, kept = strides_of(p, 48)
    from_rest = length * bias / 2.0 * sum(1.0 - kept**k for k in range(1, strides + 1))
    assert from_rest == pytest.approx(p.speed * bias / 2.0 * (8.0 - p.persistence_time), rel=0.02)
    assert abs(deviates(x, from_rest)) <= Z
    assert abs(deviates(y, 0.0)) <= Z


@pytest.mark.parametrize("angle", [0.5, 2.0, 4.0])
def test_the_drift_follows_the_gradient_whatever_its_direction(angle: float) -> None:
    p = SLOW._replace(bias_max=0.9, attractant_half=1e4, difference_half=1e-6)
    up, right = 1e-3 * math.sin(angle), 1e-3 * math.cos(angle)
    n_voxels = 200
    cells = cells_at(4000, Kind.TRACER, 500.0, 500.0)
    centres = (np.arange(n_voxels // 2) + 0.5) * SIGNAL_VOXEL
    level = (2.0 + right * centres[None, :] + up * centres[:, None])[None]
    ground = np.zeros((n_voxels, n_voxels), np.int8)
    to_x, to_y = cells.x.copy(), cells.y.copy()
    for k in range(12):
        motion.walk(cells, level, ground, to_x, to_y, int(Kind.TRACER), 0, p, Now(6, k, DT))
        cells.x[:], cells.y[:] = to_x, to_y
    x, y = cells.x - 500.0, cells.y - 500.0
    assert abs(deviates(y * math.cos(angle) - x * math.sin(angle), 0.0)) <= Z
    assert deviates(x * math.cos(angle) + y * math.sin(angle), 0.0) > 10.0


# -- lifetimes


def neutrophils_age(cells: Cells, rate: float, now: Now) -> None:
    neutrophil.age_neutrophils(cells, Neutrophil(lifetime=1.0 / rate), now)


def monocytes_mature(cells: Cells, rate: float, now: Now) -> None:
    macrophage.mature_monocytes(cells, Monocyte(maturation_time=1.0 / rate, death_rate=0.0), 0.2, 0.1, now)


def cd4_leave(cells: Cells, rate: float, now: Now) -> None:
    t_cell.turn_over_cd4(no_newborns(0), cells, 0.0, 1.0, Cd4(lifetime=1.0 / rate), now)


def regulatory_leave(cells: Cells, rate: float, now: Now) -> None:
    departure.depart(cells, int(Kind.REGULATORY_T), rate, int(Draw.REGULATORY_DEATH), now)


def cd8_leave(cells: Cells, rate: float, now: Now) -> None:
    departure.depart(cells, int(Kind.CD8), rate, int(Draw.CD8_DEATH), now)


def b_cells_leave(cells: Cells, rate: float, now: Now) -> None:
    departure.depart(cells, int(Kind.B_CELL), rate, int(Draw.B_CELL_DEATH), now)


AGING = [
    (neutrophils_age, Kind.NEUTROPHIL),
    (monocytes_mature, Kind.MONOCYTE),
    (cd4_leave, Kind.CD4),
    (regulatory_leave, Kind.REGULATORY_T),
    (cd8_leave, Kind.CD8),
    (b_cells_leave, Kind.B_CELL),
]


def lifetimes(age: Callable[[Cells, float, Now], None], kind: Kind, rate: float, n: int, seed: int) -> np.ndarray:
    """How many of `n` cells are left after each step, until the last is gone."""
    cells = cells_at(n, kind)
    left = [n]
    while left[-1] > 0:
        age(cells, rate, Now(seed, len(left), DT))
        left.append(count(cells, kind))
    return np.array(left)


@pytest.mark.parametrize(("age", "kind"), AGING)
@pytest.mark.parametrize("events_per_step", [0.02, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("seed", [7])
def test_the_number_left_falls_exponentially(
    age: Callable[[Cells, float, Now], None], kind: Kind, events_per_step: float, seed: int
) -> None:
    n = 20000
    left = lifetimes(age, kind, events_per_step / DT, n, seed)
    for k in {1, round(0.5 / events_per_step), round(1.0 / events_per_step), round(2.0 / events_per_step)} - {0}:
        assert abs(binomial_z(int(left[k]), n, math.exp(-events_per_step * k))) <= Z


@pytest.mark.parametrize(("age", "kind"), AGING)
@pytest.mark.parametrize("events_per_step", [0.1, 0.5])
@pytest.mark.parametrize("seed", [8])
def test_lifetimes_are_exponential(age: Callable[[Cells, float, Now], None], kind: Kind, events_per_step: float, seed: int) -> None:
    n = 20000
    left = lifetimes(age, kind, events_per_step / DT, n, seed)
    last = int(math.log(n / 20.0) / events_per_step)  # steps in which at least 20 or so go
    gone = np.append(-np.diff(left[: last + 1]), left[last])
    edges = np.exp(-events_per_step * np.arange(last + 1))
    expected = n * np.append(-np.diff(edges), edges[-1])
    chi_square = float(((gone - expected) ** 2 / expected).sum())
    assert TWO_SIDED / 2.0 <= chi2.sf(chi_square, last) <= 1.0 - TWO_SIDED / 2.0


@pytest.mark.parametrize("seed", [9])
def test_competing_hazards_share_the_cells_in_proportion(seed: int) -> None:
    n, mature, die = 20000, 0.125, 0.06
    cells = cells_at(n, Kind.MONOCYTE)
    p = Monocyte(maturation_time=1.0 / mature, death_rate=die)
    for k in range(60):
        macrophage.mature_monocytes(cells, p, 0.2, 0.1, Now(seed, k, DT))
    assert abs(binomial_z(count(cells, Kind.MONOCYTE), n, math.exp(-(mature + die) * 10.0))) <= Z
    dead = count(cells, Kind.NONE)
    first_asked = (1.0 - math.exp(-die * DT)) / (1.0 - math.exp(-(mature + die) * DT))
    assert abs(binomial_z(dead, n - count(cells, Kind.MONOCYTE), first_asked)) <= Z
    assert first_asked == pytest.approx(die / (mature + die), rel=0.02)


@pytest.mark.parametrize("seed", [10])
def test_corpses_are_eaten_at_a_hazard_for_each_macrophage_in_reach(seed: int) -> None:
    n, near, p = 20000, 3, Neutrophil(lysis_rate=0.0)
    cells = cells_at(n, Kind.APOPTOTIC_NEUTROPHIL, 12.0, 12.0)
    macrophages = np.zeros((8, 8), np.int32)
    macrophages[1:4, 2] = 1  # three in the nine voxels around voxel (2, 2)
    macrophages[6, 6] = 5
    eaten = np.zeros((8, 8), np.int32)
    for k in range(3):
        neutrophil.remove_corpses(cells, eaten, macrophages, 0.5, p, Now(seed, k, DT))
    assert abs(binomial_z(count(cells, Kind.APOPTOTIC_NEUTROPHIL), n, math.exp(-0.5 * near * 3.0 * DT))) <= Z
    assert eaten.sum() == eaten[2, 2] == count(cells, Kind.NONE)


# -- entry


N_VESSELS = 4000


def capillaries(kind: VesselKind = VesselKind.CAPILLARY) -> Vessels:
    """Many capillaries in a row of which every second carries blood; or venules."""
    return Vessels(
        x=np.linspace(5.0, 95.0, N_VESSELS),
        y=np.full(N_VESSELS, 50.0),
        perfused=np.arange(N_VESSELS) % 2 == 0,
        kind=np.full(N_VESSELS, kind, np.int8),
        parent=np.full(N_VESSELS, NOBODY, np.int32),
        complement=np.zeros(N_VESSELS),
    )


def uniform_level(value: float) -> np.ndarray:
    return np.full((len(Signal), 10, 10), value)


def neutrophils_enter(newborns: Newborns, now: Now) -> None:
    recruitment.admit_neutrophils(newborns, capillaries(), uniform_level(0.5), Neutrophil(entry_rate=0.6, il1_half=0.25), now)


def monocytes_enter(newborns: Newborns, now: Now) -> None:
    p = MonocyteEntry(stimulated_rate=0.1, basal_rate=0.01, ccr2_free_share=0.2, ccr2=0.5, ccl2_half=0.25)
    recruitment.admit_monocytes(newborns, capillaries(), uniform_level(0.5), 2.0, p, now)


def cd4_enter(newborns: Newborns, now: Now) -> None:
    p = Cd4(entry_rate=0.2, memory_gain=1.0, reactivation_rate=0.1, tolerance=0.5)
    recruitment.admit_cd4(newborns, capillaries(), 0.5, 0.5, p, now)


def memory_enters(newborns: Newborns, now: Now) -> None:
    recruitment.admit_cd4(newborns, capillaries(), 0.0, 0.5, Cd4(reactivation_rate=0.4, tolerance=0.25), now)


def regulatory_enter(newborns: Newborns, now: Now) -> None:
    recruitment.admit_regulatory(newborns, capillaries(), 0.5, RegulatoryT(entry_rate=0.3), now)


def cd8_enter(newborns: Newborns, now: Now) -> None:
    recruitment.admit_cd8(newborns, capillaries(), uniform_level(0.5), 0.5, Cd8(entry_rate=0.6, ifn_half=0.5), now)


def b_cells_enter(newborns: Newborns, now: Now) -> None:
    recruitment.admit_b_cells(newborns, capillaries(VesselKind.VENULE), 0.5, Antibody(b_cell_entry_rate=0.3), now)


ENTERING = [
    (neutrophils_enter, Kind.NEUTROPHIL, 0.4),
    (monocytes_enter, Kind.MONOCYTE, 0.116),
    (cd4_enter, Kind.CD4, 0.175),
    (memory_enters, Kind.CD4, 0.15),
    (regulatory_enter, Kind.REGULATORY_T, 0.15),
    (cd8_enter, Kind.CD8, 0.15),
    (b_cells_enter, Kind.B_CELL, 0.15),
]


@pytest.mark.parametrize(("enter", "kind", "rate"), ENTERING)
@pytest.mark.parametrize("seed", [11])
def test_cells_enter_at_their_rate_through_each_perfused_vessel(
    enter: Callable[[Newborns, Now], None], kind: Kind, rate: float, seed: int
) -> None:
    n_steps, n_perfused, due = 60, N_VESSELS // 2, 1.0 - math.exp(-rate * DT)
    entered = np.zeros(n_steps)
    for k in range(n_steps):
        newborns = no_newborns(N_VESSELS)
        enter(newborns, Now(seed, k, DT))
        entered[k] = newborns.count[0]
        assert np.all(newborns.kind[: newborns.count[0]] == kind)
        assert np.all(newborns.source[: newborns.count[0]] % 2 == 0)
    assert abs(binomial_z(int(entered.sum()), n_steps * n_perfused, due)) <= Z
    dispersion = float(((entered - n_perfused * due) ** 2).sum() / (n_perfused * due * (1.0 - due)))
    assert TWO_SIDED / 2.0 <= chi2.sf(dispersion, n_steps) <= 1.0 - TWO_SIDED / 2.0


def test_at_the_default_rates_one_cell_a_step_and_capillary_loses_less_than_two_percent() -> None:
    highest = max(
        Parameters().neutrophil.entry_rate,
        (1.0 + Parameters().blood.monocyte_mobilisation) * Parameters().monocyte.entry.stimulated_rate,
        Parameters().cd4.entry_rate * (1.0 + Parameters().cd4.memory_gain) + Parameters().cd4.reactivation_rate,
        Parameters().regulatory_t.entry_rate,
        Parameters().cd8.entry_rate,
        Parameters().antibody.b_cell_entry_rate,
    )
    assert (1.0 - math.exp(-highest * DT)) / (highest * DT) == pytest.approx(1.0, abs=0.02)


def test_b_cells_enter_through_venules_only() -> None:
    newborns = no_newborns(2 * N_VESSELS)
    for kind in (VesselKind.CAPILLARY, VesselKind.SPROUT):
        recruitment.admit_b_cells(newborns, capillaries(kind), 1.0, Antibody(b_cell_entry_rate=10.0), Now(1, 0, 10.0))
    assert newborns.count[0] == 0


# -- vessels


def sprouting_vessels(vegf: float) -> tuple[Vessels, np.ndarray]:
    """Open capillaries with one closed site each, N_VESSELS together, and the levels around them."""
    n = N_VESSELS // 2
    vessels = capillaries()
    vessels.kind[n:], vessels.parent[n:] = VesselKind.SPROUT, np.arange(n)
    vessels.perfused[:] = vessels.kind == VesselKind.CAPILLARY
    return vessels, uniform_level(vegf)


@pytest.mark.parametrize("vegf", [0.5, 1.5, 6.0])
@pytest.mark.parametrize("seed", [40])
def test_sprouts_come_to_the_share_of_sprouting_over_sprouting_and_pruning(vegf: float, seed: int) -> None:
    p = Vessel(sprouting_rate=0.2, sprouting_half=1.5, pruning_rate=0.1)
    vessels, level = sprouting_vessels(vegf)
    made, lost = 0.2 * vegf**2 / (vegf**2 + 2.25), 0.1 * 1.5 / (vegf + 1.5)
    a, b = 1.0 - math.exp(-made * DT), 1.0 - math.exp(-lost * DT)
    n, n_steps = N_VESSELS // 2, round(12.0 / ((made + lost) * DT))
    for k in range(1, n_steps + 1):
        vessel.sprout(vessels, level, p, Now(seed, k, DT))
        if k in (3, n_steps // 10, n_steps):
            expected = a / (a + b) * (1.0 - (1.0 - a - b) ** k)
            assert abs(binomial_z(int(vessels.perfused[n:].sum()), n, expected)) <= Z
    assert a / (a + b) == pytest.approx(made / (made + lost), rel=0.02)
    assert vessels.perfused[:n].all()


def test_without_their_capillary_sprouts_go_and_none_grow() -> None:
    vessels, level = sprouting_vessels(1e3)
    vessels.perfused[:] = np.arange(N_VESSELS) % 3 == 0
    vessels.perfused[: N_VESSELS // 2] = False
    vessel.sprout(vessels, level, Vessel(sprouting_rate=1.0), Now(1, 0, 10.0))
    assert not vessels.perfused.any()


@pytest.mark.parametrize("complement", [0.25, 1.0])
@pytest.mark.parametrize("seed", [41])
def test_vessels_close_at_a_hazard_in_proportion_to_the_complement_on_them(complement: float, seed: int) -> None:
    vessels, n = capillaries(), N_VESSELS // 2
    vessels.complement[:] = complement
    for k in range(12):
        vessel.close_by_complement(vessels, Vessel(complement_rate=0.4), Now(seed, k, DT))
    assert abs(binomial_z(int(vessels.perfused.sum()), n, math.exp(-0.4 * complement * 12 * DT))) <= Z


# -- death of fibres, fat


@pytest.mark.parametrize("seed", [42])
def test_fibres_die_at_the_sum_of_their_hazards(seed: int) -> None:
    p = MOUSE.fibre.injury._replace(wear_rate=0.01, complement_rate=0.04)
    n_dead = n = 0
    healthy = initial.make_tissue(MOUSE, 43, 300.0, 300.0)
    healthy.fibres.complement[:] = 0.5
    for k in range(20):
        tissue = state.copy(healthy)
        died = np.zeros(tissue.fibres.x.size, np.bool_)
        fibre.injure_fibres(died, tissue.fibres, tissue.voxels, np.full(died.size, round(0.05 / QUANTUM)), p, Now(seed, k, 10.0))
        n_dead, n = n_dead + int(np.count_nonzero(died)), n + died.size
    assert n >= 500
    assert abs(binomial_z(n_dead, n, 1.0 - math.exp(-(0.01 + 0.05 + 0.02) * 10.0))) <= Z


@pytest.mark.parametrize("seed", [46])
def test_tubes_are_reached_at_a_hazard_in_proportion_to_the_share_that_has_come_back(seed: int) -> None:
    tissue = initial.make_tissue(MOUSE, 47, 300.0, 300.0)
    n = tissue.fibres.x.size
    back = np.arange(n) % 3 == 0
    tissue.voxels.ground[tissue.voxels.fibre != NOBODY] = Ground.CLEARED
    tissue.fibres.central_nuclei[:] = back
    tissue.fibres.living[:] = np.where(back, tissue.fibres.territory // 2, 0)
    tissue.fibres.volume[:] = tissue.fibres.living * 500.0
    p = MOUSE.fibre.growth._replace(elongation_rate=0.3, rate=0.0, igf1_half=5.0)
    nobody, open_here, igf1 = np.zeros(n, np.int32), np.ones(tissue.vessels.x.size, np.int32), np.full(n, 5.0)
    n_reached = n_tubes = 0
    for k in range(20):
        now = state.copy(tissue)
        fibre.grow(now.fibres, now.voxels, open_here, nobody, np.zeros(n), np.ones(n), np.zeros(n), igf1, 1.0, 500.0, p, Now(seed, k, 5.0))
        reached = (now.fibres.living > 0) & ~back
        n_reached, n_tubes = n_reached + int(np.count_nonzero(reached)), n_tubes + int(np.count_nonzero(~back))
        assert now.fibres.living[reached] / now.fibres.territory[reached] == pytest.approx(0.5, abs=0.06)
    assert abs(binomial_z(n_reached, n_tubes, 1.0 - math.exp(-0.15 * np.count_nonzero(back) / n * 5.0))) <= Z


@pytest.mark.parametrize(("n_near", "reach"), [(0, 0.0), (2, 0.5), (6, 0.75)])
@pytest.mark.parametrize("seed", [44])
def test_open_voxels_turn_to_fat_at_their_rate_where_there_is_no_tgf(n_near: int, reach: float, seed: int) -> None:
    n = 60
    voxels = open_voxels((n, n))
    voxels.ground[:] = Ground.CLEARED
    level = np.zeros((len(Signal), n // 2, n // 2))
    level[Signal.IL4] = 0.5
    crowd = np.zeros((n // 2, n // 2), np.int32)
    crowd[1::3, 1::3] = n_near  # one place within the reach of each
    p = Collagen(fat_rate=0.2, fat_il4_half=0.5, scar_fibroblast_half=2.0, scar_rate=0.5, scar_loss_rate=0.0)
    for k in range(30):
        fibroblast.scar(voxels, level, crowd, p, Now(seed, k, DT))
    expected = 1.0 - math.exp(-0.2 * reach / 2.0 * 30 * DT)
    n_fat = int(np.count_nonzero(voxels.ground == Ground.FAT))
    assert n_fat == 0 if n_near == 0 else abs(binomial_z(n_fat, n * n, expected)) <= Z
    assert not np.any(voxels.ground == Ground.SCAR)


# -- division


def open_tissue(cells: Cells) -> Tissue:
    """Connective tissue of 100 x 100 um with these cells and nothing else."""
    none = np.zeros(0)
    start = np.zeros(1, np.int64)
    kinds, ints = np.zeros(0, np.int8), np.zeros(0, np.int32)
    no_fibres = Fibres(none, none, start[:0], kinds, start[:0], none, none, none > 0.0, none, none, start, start[:0], start, ints)
    voxels = open_voxels((20, 20))
    counters = np.zeros(len(Counter), np.int64)
    counters[Counter.CELLS] = counters[Counter.NEXT_ID] = cells.id.size
    no_vessels = Vessels(none, none, none > 0.0, kinds, ints, none)
    return Tissue(cells, no_fibres, no_vessels, voxels, signals.empty_fields((10, 10)), healthy_blood(), counters)


def open_voxels(shape: tuple[int, int]) -> state.Voxels:
    """Connective tissue and nothing else."""
    nothing = np.zeros(shape)
    return state.Voxels(
        np.full(shape, NOBODY, np.int32),
        np.zeros(shape, np.int8),
        np.zeros(shape, np.int8),
        nothing,
        np.ones(shape),
        nothing.copy(),
    )


def healthy_blood(**other: float) -> np.ndarray:
    """The blood of a healthy mouse, with other values for some compartments."""
    levels = {"monocytes": 1.0, "creatine_kinase": MOUSE.blood.creatine_kinase_rest, "complement": 1.0, **other}
    return np.array([levels.get(compartment.name.lower(), 0.0) for compartment in Compartment])


def satellites_divide(tissue: Tissue, newborns: Newborns, rate: float, now: Now) -> None:
    level, nobody = np.full(tissue.fields.level.shape, 1e9), np.zeros((10, 10), np.int32)
    satellite.divide_satellites(newborns, in_use(tissue), level, nobody, SatelliteDivision(rate=rate), now)


def cd4_divide(tissue: Tissue, newborns: Newborns, rate: float, now: Now) -> None:
    p = Cd4(division_rate=rate, lifetime=1e15, density_max=1e15)
    t_cell.turn_over_cd4(newborns, in_use(tissue), 1.0, 1.0, p, now)


@pytest.mark.parametrize(("divide", "kind"), [(satellites_divide, Kind.ACTIVATED_SATELLITE), (cd4_divide, Kind.CD4)])
@pytest.mark.parametrize("seed", [12])
def test_a_population_that_divides_doubles_at_its_rate(
    divide: Callable[[Tissue, Newborns, float, Now], None], kind: Kind, seed: int
) -> None:
    n, rate, n_steps = 2000, 0.1, 42  # 42 steps are one doubling in continuous time
    tissue = open_tissue(cells_at(n, kind, 50.0, 50.0))
    for k in range(n_steps):
        newborns = no_newborns(3 * n)
        divide(tissue, newborns, rate, Now(seed, k, DT))
        tissue = settle(tissue, newborns, Now(seed, k, DT))
    q = 1.0 - math.exp(-rate * DT)
    expected = (1.0 + q) ** n_steps
    variance = q * (1.0 - q) * (1.0 + q) ** (n_steps - 1) * (expected - 1.0) / q
    got = count(in_use(tissue), kind)
    assert abs(got - n * expected) <= Z * math.sqrt(n * variance)
    assert expected == pytest.approx(math.exp(rate * n_steps * DT), rel=0.02)


# -- what has no chance in it: two half steps are one step


def test_activation_levels_and_load_relax_exactly() -> None:
    whole, halved = cells_at(50, Kind.MACROPHAGE, 50.0, 50.0), cells_at(50, Kind.MACROPHAGE, 50.0, 50.0)
    random = np.random.default_rng(13)
    start = random.random((3, 50)) * [[1.0], [1.0], [20000.0]]
    for cells in (whole, halved):
        cells.inflammatory[:], cells.repair[:], cells.load[:] = start
    level = random.exponential(2.0, (len(Signal), 10, 10))
    p = put(Parameters(), {"macrophage.repair_activation.load_half": 1e300}).macrophage  # with load in it the target itself moves
    macrophage.activate(whole, level, p, Now(1, 0, 2.0))
    macrophage.activate(halved, level, p, Now(1, 0, 1.0))
    macrophage.activate(halved, level, p, Now(1, 1, 1.0))
    for column in ("inflammatory", "repair", "load"):
        assert getattr(halved, column) == pytest.approx(getattr(whole, column), rel=1e-12)
    assert whole.load == pytest.approx(start[2] * math.exp(-2.0 / p.engulfment.digestion_time), rel=1e-12)


@pytest.fixture
def mouse_tissue() -> Tissue:
    return initial.make_tissue(MOUSE, 14, 300.0, 300.0)


def test_collagen_approaches_its_balance_exactly(mouse_tissue: Tissue) -> None:
    random = np.random.default_rng(15)
    shape = mouse_tissue.voxels.ground.shape
    laid = random.integers(0, int(0.01 / QUANTUM), shape)
    macrophages = random.integers(0, 3, shape).astype(np.int32)
    mouse_tissue.voxels.collagen[:] *= random.random(shape) * 2.0
    halved = state.copy(mouse_tissue)
    fibroblast.turn_over_collagen(mouse_tissue.voxels, laid, macrophages, MOUSE.collagen, MOUSE.geometry, Now(1, 0, 48.0))
    for k in range(2):
        fibroblast.turn_over_collagen(halved.voxels, laid, macrophages, MOUSE.collagen, MOUSE.geometry, Now(1, k, 24.0))
    assert halved.voxels.collagen == pytest.approx(mouse_tissue.voxels.collagen, rel=1e-12)


def test_healthy_collagen_stays_as_it_is(mouse_tissue: Tissue) -> None:
    before = mouse_tissue.voxels.collagen.copy()
    shape = before.shape
    nothing, nobody = np.zeros(shape, np.int64), np.zeros(shape, np.int32)
    fibroblast.turn_over_collagen(mouse_tissue.voxels, nothing, nobody, MOUSE.collagen, Geometry(), Now(1, 0, 1000.0))
    assert mouse_tissue.voxels.collagen == pytest.approx(before, rel=1e-12)


def test_debris_shrinks_exactly_under_constant_bites(mouse_tissue: Tissue) -> None:
    intervene.injure(mouse_tissue, MOUSE, "scattered", 0.5, Now(1, 0, DT))
    bites = np.random.default_rng(16).integers(0, int(50.0 / QUANTUM), mouse_tissue.voxels.ground.shape)
    halved = state.copy(mouse_tissue)
    lost, first, second = np.empty((3, *bites.shape))
    fibre.lose_debris(lost, mouse_tissue.voxels, bites, 500.0, 0.001, Now(1, 0, 2.0))
    fibre.lose_debris(first, halved.voxels, bites, 500.0, 0.001, Now(1, 0, 1.0))
    fibre.lose_debris(second, halved.voxels, bites, 500.0, 0.001, Now(1, 1, 1.0))
    assert lost.max() > 10.0
    assert halved.voxels.debris == pytest.approx(mouse_tissue.voxels.debris, rel=1e-12)
    assert first + second == pytest.approx(lost, rel=1e-9, abs=1e-9)


def test_debris_that_is_lost_is_the_debris_that_was_there(mouse_tissue: Tissue) -> None:
    intervene.injure(mouse_tissue, MOUSE, "scattered", 0.5, Now(1, 0, DT))
    before = mouse_tissue.voxels.debris.sum()
    bites = np.random.default_rng(17).integers(0, int(5000.0 / QUANTUM), mouse_tissue.voxels.ground.shape)
    lost = np.empty(bites.shape)
    fibre.lose_debris(lost, mouse_tissue.voxels, bites, 500.0, 0.1, Now(1, 0, 1.0))
    assert lost.sum() == pytest.approx((before - mouse_tissue.voxels.debris.sum()) * 500.0, rel=1e-12)


def test_alarm_fades_exactly(mouse_tissue: Tissue) -> None:
    mouse_tissue.fibres.alarm[:] = 1.0
    for k in range(12):
        fibre.calm(mouse_tissue.fibres, MOUSE.fibre, Now(1, k, 0.5))
    assert mouse_tissue.fibres.alarm == pytest.approx(math.exp(-6.0 / MOUSE.fibre.alarm_time), rel=1e-12)


def test_blood_approaches_its_balance_exactly(mouse_tissue: Tissue) -> None:
    whole, halved = (healthy_blood(monocytes=0.5, interferon=2.0) for _ in range(2))
    blood.circulate(whole, mouse_tissue.fibres, 0.7, 5.0, MOUSE.blood, Now(1, 0, 8.0))
    for k in range(2):
        blood.circulate(halved, mouse_tissue.fibres, 0.7, 5.0, MOUSE.blood, Now(1, k, 4.0))
    assert halved == pytest.approx(whole, rel=1e-12)


def test_creatine_kinase_above_rest_halves_in_36_hours_once_release_has_stopped(mouse_tissue: Tissue) -> None:
    p = MOUSE.blood._replace(creatine_kinase_half_life=36.0)
    level = healthy_blood(creatine_kinase=p.creatine_kinase_rest + 1000.0)
    for k in range(216):
        blood.circulate(level, mouse_tissue.fibres, 0.0, 5.0, p, Now(1, k, DT))
    assert level[Compartment.CREATINE_KINASE] == pytest.approx(p.creatine_kinase_rest + 500.0, rel=1e-12)


def test_healthy_blood_stays_as_it_is(mouse_tissue: Tissue) -> None:
    levels = healthy_blood()
    blood.circulate(levels, mouse_tissue.fibres, 0.0, 5.0, MOUSE.blood, Now(1, 0, 500.0))
    t_cell.remember(levels, 0.0, MOUSE.cd4, Now(1, 0, 500.0))
    none, healthy = MOUSE.antibody._replace(elsewhere=0.0), MOUSE.complement._replace(level=1.0)
    antibody.circulate_antibody(levels, 0.0, none, healthy, Now(1, 0, 500.0))
    assert levels.tolist() == pytest.approx(healthy_blood().tolist(), rel=1e-12)


@pytest.mark.parametrize("n_steps", [1, 48])
def test_memory_rises_and_fades_with_its_two_time_constants(n_steps: int) -> None:
    p, levels = Cd4(memory_half=300.0, memory_rise_time=480.0, memory_time=8760.0), healthy_blood()
    for k in range(n_steps):
        t_cell.remember(levels, 900.0, p, Now(1, k, 240.0 / n_steps))
    risen = 0.75 * (1.0 - math.exp(-240.0 / 480.0))
    assert levels[Compartment.MEMORY] == pytest.approx(risen, rel=1e-12)
    for k in range(n_steps):
        t_cell.remember(levels, 0.0, p, Now(1, k, 720.0 / n_steps))
    assert levels[Compartment.MEMORY] == pytest.approx(risen * math.exp(-720.0 / 8760.0), rel=1e-12)


def test_autoantibody_and_complement_halve_with_their_half_lives_once_nothing_makes_them() -> None:
    levels = healthy_blood(autoantibody=0.8)
    made, liver = Antibody(half_life=500.0), Complement(half_life=60.0, level=0.0)
    for k in range(10):
        antibody.circulate_antibody(levels, 0.0, made, liver, Now(1, k, 50.0))
    assert levels[Compartment.AUTOANTIBODY] == pytest.approx(0.4, rel=1e-12)
    assert levels[Compartment.COMPLEMENT] == pytest.approx(0.5 ** (500.0 / 60.0), rel=1e-12)


@pytest.mark.parametrize("n_steps", [1, 30])
def test_complement_on_debris_approaches_deposition_over_deposition_and_loss_exactly(mouse_tissue: Tissue, n_steps: int) -> None:
    fibres, p = mouse_tissue.fibres, Complement(deposition_rate=0.2, loss_rate=0.05)
    debris = np.linspace(0.0, 1.0, fibres.x.size)
    for k in range(n_steps):
        antibody.coat_fibres(fibres, debris, healthy_blood(complement=0.5), Antibody(), p, Now(1, k, 15.0 / n_steps))
    on = 0.1 * debris
    assert fibres.opsonised == pytest.approx(on / (on + 0.05) * (1.0 - np.exp(-(on + 0.05) * 15.0)), rel=1e-12, abs=1e-15)
    assert not fibres.complement.any()


def test_where_no_antibody_binds_complement_on_debris_kills_no_fibre(mouse_tissue: Tissue) -> None:
    fibres, n = mouse_tissue.fibres, mouse_tissue.fibres.x.size
    p, bare, died = MOUSE.fibre.injury._replace(wear_rate=0.0, complement_rate=10.0), Antibody(fibre_binding=0.0), np.zeros(n, np.bool_)
    antibody.coat_fibres(fibres, np.full(n, 0.9), healthy_blood(autoantibody=1.0), bare, Complement(), Now(1, 0, 1e6))
    fibre.injure_fibres(died, fibres, mouse_tissue.voxels, np.zeros(n, np.int64), p, Now(1, 1, 1e6))
    assert fibres.opsonised.min() > 0.5
    assert not died.any()


def test_what_lay_on_the_membrane_of_a_fibre_lies_on_its_debris_once_it_is_dead(mouse_tissue: Tissue) -> None:
    fibres = mouse_tissue.fibres
    fibres.complement[:2], fibres.opsonised[:2] = (0.7, 0.2), (0.1, 0.5)
    for f in (0, 1):
        fibre.necrose(f, fibres, mouse_tissue.voxels.ground, mouse_tissue.voxels.debris)
    assert fibres.opsonised[:2].tolist() == [0.7, 0.5]
    assert fibres.complement[:2].tolist() == [0.0, 0.0]


def test_a_fibre_that_regrows_does_not_inherit_the_deposit_of_its_debris(mouse_tissue: Tissue) -> None:
    fibres, voxels = mouse_tissue.fibres, mouse_tissue.voxels
    n, kept = fibres.x.size, Complement(loss_rate=0.0)
    fibres.complement[:] = 0.5
    for f in range(n):
        fibre.necrose(f, fibres, voxels.ground, voxels.debris)
    antibody.coat_fibres(fibres, np.ones(n), healthy_blood(), Antibody(), kept, Now(1, 0, 1e6))
    voxels.ground[voxels.ground == Ground.NECROTIC] = Ground.CLEARED
    nobody, open_here, igf1 = np.full(n, 2, np.int32), np.ones(mouse_tissue.vessels.x.size, np.int32), np.full(n, 1e9)
    fibre.grow(
        fibres, voxels, open_here, nobody, np.zeros(n), np.ones(n), np.zeros(n), igf1, 5000.0, 500.0, MOUSE.fibre.growth, Now(1, 1, 1.0)
    )
    antibody.coat_fibres(fibres, np.zeros(n), healthy_blood(), Antibody(), kept, Now(1, 1, 1.0))
    assert (fibres.living > 0).all()
    assert fibres.opsonised == pytest.approx(1.0)
    assert not fibres.complement.any()


def test_complement_settles_on_living_fibre_and_capillaries_only_where_antibody_binds(mouse_tissue: Tissue) -> None:
    fibres, vessels, level = mouse_tissue.fibres, mouse_tissue.vessels, mouse_tissue.fields.level
    ill = healthy_blood(autoantibody=1.0)
    for bound, expected in ((Antibody(), 0.0), (Antibody(fibre_binding=0.5, capillary_binding=0.25, share=0.5), 1.0)):
        antibody.coat_fibres(fibres, np.zeros(fibres.x.size), ill, bound, Complement(), Now(1, 0, 1e6))
        antibody.coat_vessels(vessels, level, ill, bound, Complement(), Now(1, 0, 1e6))
        on = Complement().deposition_rate * np.array([0.25, 0.125]) * expected
        on_fibre, on_capillary = on / (on + Complement().loss_rate)
        assert fibres.complement == pytest.approx(on_fibre)
        assert vessels.complement[vessels.kind != VesselKind.SPROUT] == pytest.approx(on_capillary)
        assert not vessels.complement[vessels.kind == VesselKind.SPROUT].any()


@pytest.mark.parametrize("n_steps", [1, 40])
def test_particles_dissolve_exponentially(n_steps: int) -> None:
    particles = np.random.default_rng(45).random((20, 20))
    before = particles.copy()
    for k in range(n_steps):
        particle.dissolve(particles, Particle(dissolution_rate=0.001), Now(1, k, 1000.0 / n_steps))
    assert particles == pytest.approx(before * math.exp(-1.0), rel=1e-12)


def test_a_voxel_full_of_particles_gives_off_its_rate_into_a_quarter_of_a_signal_voxel() -> None:
    particles, secreted = np.zeros((4, 4)), np.zeros((len(Signal), 2, 2), np.int64)
    particles[1, 2], particles[1, 3] = 1.0, 0.5
    particle.secrete_as_particle(secreted, particles, Particle(damp_rate=20.0, ccl2_rate=6.0))
    assert secreted[Signal.DAMP] * QUANTUM == pytest.approx(np.array([[0.0, 7.5], [0.0, 0.0]]))
    assert secreted[Signal.CCL2] * QUANTUM == pytest.approx(np.array([[0.0, 2.25], [0.0, 0.0]]))


@pytest.mark.parametrize("n_steps", [1, 25])
def test_a_fibre_without_blood_thins_exponentially_from_its_rim(mouse_tissue: Tissue, n_steps: int) -> None:
    fibres, voxels = mouse_tissue.fibres, mouse_tissue.voxels
    closed, whole = np.zeros(mouse_tissue.vessels.x.size, np.int32), fibres.volume.copy()
    without_any = fibres.first_vessel[:-1] == fibres.first_vessel[1:]  # at the edge
    p = MOUSE.fibre.growth._replace(hypoxic_rate=0.01, wasting_rate=0.002)
    for k in range(n_steps):
        fibre.thin(fibres, voxels, closed, 500.0, p, Now(1, k, 50.0 / n_steps))
    lost = np.where(without_any, 0.002, 0.012) * 50.0
    assert fibres.volume == pytest.approx(whole * np.exp(-lost), rel=1e-12)
    assert np.abs(fibres.living - fibres.volume / 500.0).max() <= 0.5 + 1e-9
    for f in range(fibres.x.size):
        ground = voxels.ground.ravel()[fibres.voxels[fibres.first_voxel[f] : fibres.first_voxel[f + 1]]]
        assert (ground[: fibres.living[f]] == Ground.FIBRE).all()
        assert (ground[fibres.living[f] :] == Ground.VACATED).all()
    assert not fibres.alarm.any()


def test_a_fibre_never_thins_to_nothing(mouse_tissue: Tissue) -> None:
    p = MOUSE.fibre.growth._replace(wasting_rate=1.0)
    fibre.thin(mouse_tissue.fibres, mouse_tissue.voxels, np.ones(mouse_tissue.vessels.x.size, np.int32), 500.0, p, Now(1, 0, 100.0))
    assert (mouse_tissue.fibres.living == 1).all()


def test_half_of_its_capillaries_are_enough_for_a_fibre(mouse_tissue: Tissue) -> None:
    before, p = mouse_tissue.fibres.volume.copy(), MOUSE.fibre.growth._replace(supply_need=0.5, wasting_rate=0.0)
    fibres, open_here = mouse_tissue.fibres, np.ones(mouse_tissue.vessels.x.size, np.int32)
    for f in range(fibres.x.size):
        first, end = int(fibres.first_vessel[f]), int(fibres.first_vessel[f + 1])
        own = open_here.copy()
        own[fibres.vessels[first : first + (end - first) // 2]] = 0
        assert fibre.thinning(fibre.perfusion(f, fibres, own), p) == 0.0
    fibre.thin(fibres, mouse_tissue.voxels, open_here, 500.0, p, Now(1, 0, 1000.0))
    assert np.array_equal(fibres.volume, before)


def test_a_thinned_fibre_grows_back_into_the_room_that_it_left(mouse_tissue: Tissue) -> None:
    fibres, voxels = mouse_tissue.fibres, mouse_tissue.voxels
    n, open_here = fibres.x.size, np.ones(mouse_tissue.vessels.x.size, np.int32)
    ground, p = voxels.ground.copy(), MOUSE.fibre.growth._replace(rate=0.02, regrowth_share=1.0, room_half=0.1)
    fibre.thin(fibres, voxels, open_here, 500.0, p._replace(wasting_rate=0.01), Now(1, 0, 50.0))
    assert np.count_nonzero(voxels.ground == Ground.VACATED) >= 100
    debris, room, vacated = np.empty((3, n))
    for k in range(400):
        fibre.survey(debris, room, vacated, fibres, voxels)
        nobody, igf1 = np.zeros(n, np.int32), np.full(n, 1e9)
        fibre.grow(fibres, voxels, open_here, nobody, debris, room, vacated, igf1, 500.0, 500.0, p, Now(1, k, 10.0))
    assert np.array_equal(voxels.ground, ground)
    assert not fibres.central_nuclei.any()


# -- mass


SILENT = (Kind.APOPTOTIC_NEUTROPHIL, Kind.MONOCYTE, Kind.B_CELL, Kind.QUIESCENT_SATELLITE, Kind.MYOCYTE, Kind.TRACER)


def test_no_signal_appears_where_nothing_secretes(mouse_tissue: Tissue) -> None:
    params = put(MOUSE, {"fibre.secretion.igf1_living": 0.0})
    in_use(mouse_tissue).kind[:] = np.resize(SILENT, int(mouse_tissue.counters[Counter.CELLS]))
    transport = signals.make_transport(params.signal, mouse_tissue.fields.level.shape[1:], DT)
    for _ in range(3):
        step.secrete(mouse_tissue, params)
        signals.advance(mouse_tissue.fields, transport, DT)
    assert not mouse_tissue.fields.level.any()


def run(params: Parameters, seed: int, side: float, dt: float, days: Sequence[float], fraction: float = 0.6) -> list[Tissue]:
    """A tissue of `side` x `side` um after a scattered injury, at some days."""
    tissue = initial.make_tissue(params, seed, side, side)
    intervene.injure(tissue, params, "scattered", fraction, Now(seed, 0, dt))
    transport = signals.make_transport(params.signal, tissue.fields.level.shape[1:], dt)
    wanted = {round(day * 24.0 / dt) for day in days}
    seen = []
    for k in range(max(wanted)):
        tissue = step.advance(tissue, params, transport, Now(seed, k, dt))
        if k + 1 in wanted:
            seen.append(state.copy(tissue))
    return seen


def test_after_a_day_of_injury_every_signal_is_accounted_for() -> None:
    tissue = run(MOUSE, 18, 200.0, DT, [1.0])[0]
    transport = signals.make_transport(MOUSE.signal, tissue.fields.level.shape[1:], DT)
    assert np.count_nonzero(tissue.fields.ledger[:, signals.Account.SECRETED]) >= 11
    assert signals.ledger_error(tissue.fields, transport).max() <= 1e-10


def test_after_a_day_of_injury_cells_and_fibres_are_where_they_may_be() -> None:
    tissue = run(MOUSE, 19, 200.0, DT, [1.0])[0]
    cells, ground, fibres = in_use(tissue), tissue.voxels.ground, tissue.fibres
    row, col = (cells.y / VOXEL).astype(int), (cells.x / VOXEL).astype(int)
    assert not np.isin(ground[row, col], (state.Ground.FIBRE, state.Ground.REGENERATING)).any()
    assert np.unique(cells.id).size == cells.id.size
    alive = np.isin(ground, (state.Ground.FIBRE, state.Ground.REGENERATING))
    assert np.bincount(tissue.voxels.fibre[alive], minlength=fibres.x.size).tolist() == fibres.living.tolist()


# -- the length of a step


COMPARED = (
    "neutrophils",
    "monocytes",
    "macrophages",
    "inflammatory_level",
    "repair_level",
    "necrosis",
    "open_space",
    "damp",
    "tnf",
    "il10",
)


def halving_changes(seeds: Sequence[int], side: float, days: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each compared outcome on each day over the seeds, and how halving the step changes it (seeds, days x outcomes)."""
    columns = [observe.NAMES.index(name) for name in COMPARED]
    outcomes = np.array(
        [
            [[observe.measure(tissue, MOUSE)[columns] for tissue in run(MOUSE, seed, side, dt, days)] for dt in (DT, DT / 2.0)]
            for seed in seeds
        ]
    )
    return outcomes.mean(axis=(0, 1)).ravel(), (outcomes[:, 1] - outcomes[:, 0]).reshape(len(seeds), -1)


def assert_halving_the_step_changes_nothing(seeds: Sequence[int], side: float, days: Sequence[float], stated: dict[str, float]) -> None:
    """No outcome changes beyond chance, and those in which chance is small by no more than the share of their mean that is stated."""
    mean, change = halving_changes(seeds, side, days)
    t = change.mean(axis=0) / np.maximum(change.std(axis=0, ddof=1), 1e-12) * math.sqrt(len(seeds))
    relative = np.abs(change.mean(axis=0)) / np.maximum(mean, 1e-12)
    names = [(name, day) for day in days for name in COMPARED]
    assert not [name for name, p in zip(names, 2.0 * student.sf(np.abs(t), len(seeds) - 1), strict=True) if p < TWO_SIDED]
    assert not [name for name, change in zip(names, relative, strict=True) if change > stated.get(name[0], np.inf)]


def test_half_the_step_gives_the_same_first_day_of_an_acute_injury() -> None:
    assert_halving_the_step_changes_nothing(range(101, 107), 200.0, [1.0], {"necrosis": 0.05, "damp": 0.05})


@pytest.mark.slow
def test_half_the_step_gives_the_same_three_days_of_an_acute_injury() -> None:
    stated = {"necrosis": 0.1, "damp": 0.1, "inflammatory_level": 0.15}
    assert_halving_the_step_changes_nothing(range(101, 125), 300.0, [1.0, 2.0, 3.0], stated)


# -- injury from outside


def lattice(n: int, spacing: float, seed: int) -> Fibres:
    """n x n fibres of unequal size on a square lattice."""
    random = np.random.default_rng(seed)
    places = (np.arange(n) + 0.5) * spacing
    x, y = (grid.ravel() for grid in np.meshgrid(places, places))
    tissue = open_tissue(cells_at(1, Kind.TRACER))
    territory = random.integers(40, 90, n * n)
    return tissue.fibres._replace(x=x, y=y, territory=territory, living=territory.copy())


def n_clusters(hit: np.ndarray, n: int) -> int:
    """Groups of neighbours on the lattice that were hit, corners counting."""
    return int(label(hit.reshape(n, n), np.ones((3, 3)))[1])


@pytest.mark.parametrize("pattern", injury.PATTERNS)
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.3, 0.67, 1.0])
@pytest.mark.parametrize("seed", [20, 21])
def test_an_injury_hits_the_fraction_asked_for_within_one_fibre(pattern: str, fraction: float, seed: int) -> None:
    fibres = lattice(20, 50.0, seed)
    hit = injury.hit_by_injury(fibres, pattern, fraction, 1000.0, 1000.0, 1, Now(seed, 0, DT))
    assert abs(int(fibres.living[hit].sum()) - fraction * fibres.living.sum()) <= fibres.living.max()


@pytest.mark.parametrize("pattern", injury.PATTERNS)
def test_an_injury_hits_living_fibres_only(pattern: str) -> None:
    fibres = lattice(20, 50.0, 22)
    fibres.living[::2] = 0
    hit = injury.hit_by_injury(fibres, pattern, 0.5, 1000.0, 1000.0, 1, Now(1, 0, DT))
    assert not hit[::2].any()
    assert abs(int(fibres.living[hit].sum()) - 0.5 * fibres.living.sum()) <= fibres.living.max()


@pytest.mark.parametrize("seed", [23, 24, 25])
def test_a_localised_injury_is_one_cluster(seed: int) -> None:
    hit = injury.hit_by_injury(lattice(20, 50.0, seed), "localised", 0.3, 1000.0, 1000.0, 1, Now(seed, 0, DT))
    assert n_clusters(hit, 20) == 1


@pytest.mark.parametrize("seed", [23, 24, 25])
def test_a_diffuse_injury_has_many_foci(seed: int) -> None:
    hit = injury.hit_by_injury(lattice(40, 50.0, seed), "diffuse", 0.1, 2000.0, 2000.0, 1, Now(seed, 0, DT))
    assert 15 <= n_clusters(hit, 40) <= 40  # 40 foci, some of which meet


@pytest.mark.parametrize("seed", [23, 24, 25])
def test_a_scattered_injury_takes_no_notice_of_neighbours(seed: int) -> None:
    n, fraction = 40, 0.3
    hit = injury.hit_by_injury(lattice(n, 50.0, seed), "scattered", fraction, 2000.0, 2000.0, 1, Now(seed, 0, DT)).reshape(n, n)
    share = hit.mean()
    together = [float((hit[1:] & hit[:-1]).sum()), float((hit[:, 1:] & hit[:, :-1]).sum())]
    n_pairs = 2 * n * (n - 1)
    assert abs(sum(together) - n_pairs * share**2) <= Z * share * (1.0 - share) * math.sqrt(n_pairs)


def test_an_unknown_pattern_is_refused_with_the_legal_ones() -> None:
    with pytest.raises(ValueError, match="got pattern 'everywhere', must be one of localised, scattered, diffuse"):
        injury.hit_by_injury(lattice(3, 50.0, 1), "everywhere", 0.5, 150.0, 150.0, 1, Now(1, 0, DT))


def test_injured_fibres_are_dead_full_of_debris_and_alarmed(mouse_tissue: Tissue) -> None:
    intervene.injure(mouse_tissue, MOUSE, "diffuse", 0.5, Now(26, 0, DT))
    fibres, voxels = mouse_tissue.fibres, mouse_tissue.voxels
    dead = fibres.state == state.FibreState.NECROTIC
    assert fibres.alarm.tolist() == dead.astype(float).tolist()
    assert np.array_equal(voxels.ground == state.Ground.NECROTIC, (voxels.fibre >= 0) & np.append(dead, False)[voxels.fibre])
    assert np.array_equal(voxels.debris, (voxels.ground == state.Ground.NECROTIC) * 1.0)
    assert mouse_tissue.counters[Counter.NECROSES] == np.count_nonzero(dead)


@pytest.mark.parametrize("seed", [27])
def test_an_injury_kills_the_stated_share_of_satellite_cells_and_capillaries(seed: int) -> None:
    tissue = initial.make_tissue(put(MOUSE, {"geometry.satellites_per_fibre": 1.5}), seed, 600.0, 600.0)
    cells = in_use(tissue)
    n_satellites, n_vessels = count(cells, Kind.QUIESCENT_SATELLITE), int(tissue.vessels.perfused.sum())
    intervene.injure(tissue, put(MOUSE, {"satellite.injury_death": 0.7, "vessel.injury_loss": 0.6}), "scattered", 1.0, Now(seed, 0, DT))
    assert abs(binomial_z(n_satellites - count(cells, Kind.QUIESCENT_SATELLITE), n_satellites, 0.7)) <= Z
    touched = np.unique(tissue.fibres.vessels).size
    assert abs(binomial_z(n_vessels - int(tissue.vessels.perfused.sum()), touched, 0.6)) <= Z


def test_two_injuries_at_one_moment_are_drawn_apart() -> None:
    fibres = lattice(20, 50.0, 31)
    first, second = (injury.hit_by_injury(fibres, "scattered", 0.5, 1000.0, 1000.0, nth, Now(31, 0, DT)) for nth in (1, 2))
    both = np.count_nonzero(first & second)  # 400 fibres, half of each: hypergeometric, mean 100, variance 25
    assert abs(both - 100) <= 4 * 5.01
