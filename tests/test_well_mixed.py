"""Many cells without space follow the differential equations of the same laws."""

from __future__ import annotations

from math import inf, sqrt

import numpy as np
import pytest

from imam_sim.model import fields, mean_field, well_mixed
from imam_sim.model.maths import relax
from imam_sim.model.mean_field import Part
from imam_sim.model.params import PRESETS, Parameters
from imam_sim.model.quantity import put
from imam_sim.model.state import Compartment, Floats, Ground, Kind, Now, Signal, in_use
from imam_sim.model.well_mixed import COUNTED, OUTCOMES, Pot, Share

FRACTION = 0.6  # of the fibres
INJURED = 12.0  # h
TIMES = np.arange(0.0, 169.0, 6.0)
CHANGED = {  # one vessel stands for four, so that there are fewer draws; no population starts from a handful or explodes
    "geometry.capillaries_around_fibre": 1.0,
    "geometry.satellites_per_fibre": 0.5,
    "geometry.macrophages": 5000.0,
    "neutrophil.entry_rate": 0.4,
    "monocyte.entry.stimulated_rate": 0.08,
    "monocyte.entry.basal_rate": 0.005,
    "cd4.tolerance": 0.3,
    "cd4.entry_rate": 0.008,
    "cd4.presentation_half": 200.0,
    "cd4.division_rate": 0.005,
    "cd4.density_max": 20000.0,
    "cd4.suppression_half": 2000.0,
    "cd4.ifn_rate": 2e-4,
    "regulatory_t.entry_rate": 0.0015,
    "cd8.entry_rate": 0.06,
    "cd8.ifn_rate": 1e-4,
    "cd8.kill_rate": 1e-4,
    "vessel.vegf_rate": 3.2e-4,
    "vessel.ccl2_rate": 8e-5,
    "vessel.sprouting_rate": 0.002,
    "macrophage.division_rate": 0.02,
    "macrophage.death.tnf_rate": 0.03,
    "macrophage.secretion.ccl2_rate": 2e-5,
    "satellite.ccl2_rate": 4e-5,
    "satellite.division.rate": 0.03,
    "satellite.differentiation.contact_half": 0.2,
}
MAIN = (
    *("neutrophil", "apoptotic_neutrophil", "monocyte", "macrophage", "inflammatory", "repair", "load"),
    *("quiescent_satellite", "activated_satellite", "myocyte", "fibroblast", "myofibroblast"),
    *("intact", "necrotic", "cleared", "regenerating", "perfused", "sprouts"),
)
T_CELLS = ("cd4", "regulatory_t", "cd8")  # few, and one loop: they stray further


@pytest.fixture(scope="module")
def params() -> Parameters:
    """A mouse that does not tolerate its own antigen, so that T cells take part."""
    return put(Parameters(), {path: preset.value for path, preset in PRESETS["mouse"].items()} | CHANGED)


@pytest.fixture(scope="module")
def limit(params: Parameters) -> Floats:
    return mean_field.solve(params, TIMES, INJURED, FRACTION)


def volume_of(n_cells: float, limit: Floats) -> float:
    """The pot [mm3] that holds so many cells at the height of the response."""
    return n_cells / float(limit[:, : len(COUNTED)].sum(axis=1).max())


def run(params: Parameters, limit: Floats, n_cells: float, seed: int) -> Floats:
    """The course of a pot of so many cells, with short steps."""
    return well_mixed.simulate(params, volume_of(n_cells, limit), seed, 0.1, TIMES, INJURED, FRACTION)


def deviations(course: Floats, limit: Floats) -> dict[str, float]:
    """Root mean square over the times of each outcome's distance from the limit, relative to the most that the limit reaches."""
    most = np.abs(limit).max(axis=0)
    square = np.sqrt(np.mean((course - limit) ** 2, axis=0))
    return dict(zip(OUTCOMES, square / np.where(most > 0.0, most, 1.0), strict=True))


def overall(course: Floats, limit: Floats) -> float:
    """Root mean square of the deviations of the main outcomes."""
    each = deviations(course, limit)
    return sqrt(float(np.mean([each[name] ** 2 for name in MAIN])))


def test_pot_and_mean_field_start_and_are_injured_alike(params: Parameters) -> None:
    pot, y = well_mixed.make_pot(params, 0.1), mean_field.at_rest(params)
    np.testing.assert_allclose(well_mixed.measure(pot), mean_field.measure(y), rtol=1e-3)
    well_mixed.injure(pot, FRACTION, Now(5, 0, 0.1))
    found, expected = well_mixed.measure(pot), mean_field.measure(mean_field.injured(y, FRACTION, params))
    n_drawn = 600.0  # the fewest that survive by lot: quiescent satellite cells
    np.testing.assert_allclose(found, expected, rtol=4.0 / sqrt(n_drawn))
    assert found[OUTCOMES.index("necrotic")] == pytest.approx(FRACTION, abs=1e-3)


def state_of(pot: Pot) -> Floats:
    """The state of the mean field that a pot is in, with one cohort."""
    cells, volume, found = in_use(pot.tissue), pot.volume, dict(zip(OUTCOMES, well_mixed.measure(pot), strict=True))
    y = np.zeros(mean_field.COHORTS + 3)
    names = ("neutrophil", "apoptotic_neutrophil", "monocyte", "cd4", "regulatory_t", "cd8")
    y[: Part.RESIDENT_FIBROBLASTS] = [found[name] for name in (*names, "quiescent_satellite", "activated_satellite", "myocyte")]
    for kind, resident, born in (
        (Kind.FIBROBLAST, Part.RESIDENT_FIBROBLASTS, Part.BORN_FIBROBLASTS),
        (Kind.MYOFIBROBLAST, Part.RESIDENT_MYOFIBROBLASTS, Part.BORN_MYOFIBROBLASTS),
    ):
        y[resident] = np.count_nonzero((cells.kind == kind) & cells.resident) / volume
        y[born] = np.count_nonzero((cells.kind == kind) & ~cells.resident) / volume
    y[Part.LOAD] = found["load"]
    y[Part.INTACT : Part.INTACT + len(Share)] = [found[share.name.lower()] for share in Share]
    y[Part.FRESH] = pot.tissue.fibres.alarm[pot.pieces.ground[0] == Ground.NECROTIC].sum() / pot.tissue.fibres.alarm.size
    y[Part.PERFUSED], y[Part.SPROUTS] = found["perfused"], found["sprouts"]
    y[Part.BLOOD], y[Part.MEMORY] = pot.tissue.blood[Compartment.MONOCYTES], pot.tissue.blood[Compartment.MEMORY]
    y[mean_field.SIGNALS] = pot.tissue.fields.level[:, 0, 0]
    y[mean_field.COHORTS :] = found["macrophage"], found["inflammatory"], found["repair"]
    return y


def test_in_one_state_pot_and_mean_field_secrete_and_take_up_the_same(params: Parameters) -> None:
    volume = 250.0 / well_mixed.compose(params.geometry).capillaries  # whole numbers of capillaries and fibres
    transport, pot = fields.make_transport(params.signal, (1, 1), 0.5), well_mixed.make_pot(params, volume)
    for k in range(120):
        if k == 10:
            well_mixed.injure(pot, FRACTION, Now(7, k, 0.5))
        pot = well_mixed.advance(pot, transport, Now(7, k, 0.5))
    slope = mean_field.slope(state_of(pot), params, transport, pot.composition)[mean_field.SIGNALS]
    well_mixed.secrete(pot)
    secreted, taken, level = (array[:, 0, 0] for array in (pot.tissue.fields.secreted, pot.tissue.fields.taken, pot.tissue.fields.level))
    lost = transport.decay_rate + taken * fields.QUANTUM
    source = transport.secretion_share * secreted * fields.QUANTUM
    assert (source > 0.0).all()
    np.testing.assert_allclose(slope * transport.retardation / source, (source - lost * level) / source, atol=1e-4)


def test_the_shares_of_fibre_add_up(params: Parameters, limit: Floats) -> None:
    first = OUTCOMES.index(Share.INTACT.name.lower())
    course = well_mixed.simulate(params, 0.01, 3, 0.5, TIMES[:8], INJURED, FRACTION)
    for shares in (course[:, first : first + len(Share)], limit[:, first : first + len(Share)]):
        np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-6)


def test_a_pot_repeats_itself(params: Parameters) -> None:
    one, same, other = (well_mixed.simulate(params, 0.005, seed, 0.5, TIMES[:5], INJURED, FRACTION) for seed in (1, 1, 2))
    assert one.tobytes() == same.tobytes()
    assert one.tobytes() != other.tobytes()


def test_a_stirred_signal_follows_its_equation(params: Parameters) -> None:
    transport, pot = fields.make_transport(params.signal, (1, 1), 0.7), well_mixed.make_pot(params, 0.01)
    signals, s = pot.tissue.fields, int(Signal.HGF)
    signals.level[s], signals.secreted[s], signals.taken[s] = 3.0, round(2.0 / fields.QUANTUM), round(0.5 / fields.QUANTUM)
    well_mixed.refresh(signals, s, transport)
    lost = params.signal.hgf.decay_rate + 0.5
    expected = relax(3.0, 2.0 / lost, (1.0 + params.signal.hgf.bound_ratio) / lost, 0.7)
    assert signals.level[s, 0, 0] == pytest.approx(expected, rel=1e-9)
    assert signals.secreted[s, 0, 0] == signals.taken[s, 0, 0] == 0


def test_cohorts_are_narrow_enough(params: Parameters, limit: Floats) -> None:
    finer = deviations(mean_field.solve(params, TIMES, INJURED, FRACTION, 3.0), limit)
    assert max(finer.values()) < 1e-3


def test_products_of_level_and_fate_need_cohorts(params: Parameters, limit: Floats) -> None:
    closed = deviations(mean_field.solve(params, TIMES, INJURED, FRACTION, inf), limit)
    assert 0.002 < closed["repair"] < 0.02
    assert closed["necrotic"] < 0.001


def test_a_pot_of_ten_thousand_cells_is_near_the_limit(params: Parameters, limit: Floats) -> None:
    early = TIMES <= 120.0
    course = well_mixed.simulate(params, volume_of(1e4, limit), 1, 0.2, TIMES[early], INJURED, FRACTION)
    assert overall(course, limit[early]) < 0.06


@pytest.mark.slow
def test_deviations_fall_with_the_root_of_the_number_of_cells_to_below_two_percent(params: Parameters, limit: Floats) -> None:
    seeds = {1e3: range(1, 5), 1e4: range(1, 3), 1e5: range(1, 2)}
    courses = {n: [run(params, limit, n, seed) for seed in seeds[n]] for n in seeds}
    spread = [sqrt(float(np.mean([overall(course, limit) ** 2 for course in courses[n]]))) for n in seeds]
    slope = np.polyfit(np.log(list(seeds)), np.log(spread), 1)[0]
    largest = deviations(courses[1e5][0], limit)
    most = dict(zip(OUTCOMES, limit.max(axis=0) * volume_of(1e5, limit), strict=True))
    assert {name: largest[name] for name in MAIN if largest[name] >= 0.02} == {}
    assert {name: largest[name] for name in T_CELLS if largest[name] >= 4.0 / sqrt(most[name])} == {}
    assert slope == pytest.approx(-0.5, abs=0.1)
