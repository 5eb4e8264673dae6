"""Every outcome on a section made by hand, whose counts can be read off the lines that make it."""

from __future__ import annotations

import numpy as np
import pytest

from imam_sim.model import observe
from imam_sim.model.fields import empty_fields
from imam_sim.model.observe import NAMES, OUTCOMES, exact_sum, measure
from imam_sim.model.params import Parameters
from imam_sim.model.quantity import put
from imam_sim.model.state import (
    NOBODY,
    Cells,
    Fibres,
    FibreState,
    Ground,
    Kind,
    Region,
    Signal,
    Tissue,
    Vessels,
    Voxels,
)

NUMBER_OF = {  # cells in the section of 0.02 mm2
    Kind.NEUTROPHIL: 1,
    Kind.APOPTOTIC_NEUTROPHIL: 2,
    Kind.MONOCYTE: 3,
    Kind.MACROPHAGE: 4,
    Kind.CD4: 5,
    Kind.QUIESCENT_SATELLITE: 6,
    Kind.ACTIVATED_SATELLITE: 7,
    Kind.MYOCYTE: 8,
    Kind.FIBROBLAST: 9,
    Kind.MYOFIBROBLAST: 10,
    Kind.TRACER: 11,
}
INTACT, REGENERATED, DEAD, GROWING = range(4)
PARAMS = put(Parameters(), {"fibre.growth.immature_force": 0.25})


def made_cells() -> Cells:
    """The cells of NUMBER_OF at the front of 100 places, the rest of which would count as neutrophils if they were in use."""
    kinds = np.repeat(list(NUMBER_OF), list(NUMBER_OF.values()))
    n, capacity = kinds.size, 100
    kind = np.full(capacity, Kind.NEUTROPHIL, np.int8)
    kind[:n] = kinds
    inflammatory, repair = np.full(capacity, 9.0), np.full(capacity, 9.0)
    inflammatory[:n][kinds == Kind.MACROPHAGE] = 0.8, 0.5, 0.1, 0.2
    repair[:n][kinds == Kind.MACROPHAGE] = 0.1, 0.5, 0.3, 0.9
    flat = np.zeros(capacity)
    return Cells(
        np.arange(capacity),
        kind,
        flat,
        flat,
        flat,
        flat,
        inflammatory,
        repair,
        flat,
        np.full(capacity, NOBODY, np.int32),
        np.zeros(capacity, np.bool_),
    )


def made_voxels() -> Voxels:
    """20 x 40 voxels: four fibres of 100 voxels in the left half, connective tissue to their right."""
    fibre = np.full((20, 40), NOBODY, np.int32)
    fibre[:10, :10], fibre[:10, 10:20], fibre[10:, :10], fibre[10:, 10:20] = INTACT, REGENERATED, DEAD, GROWING
    ground = np.full(fibre.shape, Ground.CONNECTIVE, np.int8)
    region = np.full(fibre.shape, Region.FASCICLE, np.int8)
    debris, collagen = np.zeros(fibre.shape), np.ones(fibre.shape)
    collagen[:, :20] = 0.0
    ground[fibre == INTACT] = ground[fibre == REGENERATED] = Ground.FIBRE
    ground[10:14, :10] = Ground.NECROTIC
    debris[10:12, :10], debris[12:14, :10] = 1.0, 0.25
    ground[14:17, :10] = Ground.CLEARED
    ground[17:, :10] = Ground.SCAR
    collagen[17:, :10] = 3.0
    ground[10:18, 10:20] = Ground.REGENERATING
    ground[18:, 10:20] = Ground.CLEARED
    region[:, 30:35], region[:, 35:] = Region.PERIMYSIUM, Region.FASCIA
    collagen[:, 30:] = 7.0  # belongs to no outcome
    return Voxels(fibre, region, ground, debris, collagen)


def made_fibres(voxels: Voxels) -> Fibres:
    """Intact, regenerated and mature, dead, regenerating."""
    flat = voxels.fibre.ravel()
    order = np.concatenate([np.flatnonzero(flat == f) for f in range(4)])
    return Fibres(
        x=np.array([25.0, 75.0, 25.0, 75.0]),
        y=np.array([25.0, 25.0, 75.0, 75.0]),
        territory=np.full(4, 100),
        state=np.array([FibreState.INTACT, FibreState.INTACT, FibreState.NECROTIC, FibreState.REGENERATING], np.int8),
        living=np.array([100, 100, 0, 80]),
        volume=np.array([5e4, 5e4, 0.0, 4e4]),
        alarm=np.zeros(4),
        central_nuclei=np.array([False, True, False, True]),
        first_voxel=np.arange(5) * 100,
        voxels=order,
        first_vessel=np.zeros(5, np.int64),
        vessels=np.zeros(0, np.int32),
    )


def made_tissue() -> Tissue:
    voxels = made_voxels()
    fields = empty_fields((10, 20))
    for signal in Signal:
        fields.level[signal, :, :5] = 4.0 * (signal + 1)  # a quarter of the section
    vessels = Vessels(np.zeros(8), np.zeros(8), np.array([True, True, True, False, True, True, False, True]))
    counters = np.array([sum(NUMBER_OF.values()), 1000, 5, 3, 77])
    return Tissue(made_cells(), made_fibres(voxels), vessels, voxels, fields, np.array([1.5, 900.0]), counters)


EXPECTED = {
    "neutrophils": 50.0,
    "apoptotic_neutrophils": 100.0,
    "monocytes": 150.0,
    "macrophages": 200.0,
    "cd4": 250.0,
    "satellites_quiescent": 300.0,
    "satellites_activated": 350.0,
    "myocytes": 400.0,
    "fibroblasts": 450.0,
    "myofibroblasts": 500.0,
    "macrophages_m1": 100.0,  # the one with equal levels counts as M1
    "macrophages_m2": 100.0,
    "inflammatory_level": 0.4,
    "repair_level": 0.45,
    "fibres_intact": 0.5,
    "fibres_necrotic": 0.25,
    "fibres_regenerating": 0.25,
    "central_nuclei": 0.5,
    "necrosis": 25 / 400,
    "open_space": (30 + 20) / 400,
    "scar": 30 / 400,
    "fibre_area": 280 / 400,
    "regenerated_area": 180 / 400,
    "collagen": (200 * 1.0 + 30 * 3.0) / 230,
    "capillaries_per_fibre": 1.5,
    "perfused_share": 0.75,
    **{signal.name.lower(): signal + 1.0 for signal in Signal},
    "blood_monocytes": 1.5,
    "creatine_kinase": 900.0,
    "strength": (200 + 0.25 * 80) / 400,
}


def outcome(tissue: Tissue, name: str) -> float:
    return float(measure(tissue, PARAMS)[NAMES.index(name)])


def test_every_outcome_has_a_value_expected_here() -> None:
    assert set(EXPECTED) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_outcome_is_what_the_section_shows(name: str) -> None:
    assert outcome(made_tissue(), name) == pytest.approx(EXPECTED[name], rel=1e-12)


def test_names_are_unique() -> None:
    assert len(set(NAMES)) == len(NAMES)


def test_the_order_of_what_is_measured_is_that_of_the_names() -> None:
    assert [outcome.name for outcome in OUTCOMES] == list(NAMES)
    assert measure(made_tissue(), PARAMS) == pytest.approx([EXPECTED[name] for name in NAMES])


def test_every_outcome_has_a_known_unit() -> None:
    assert {outcome.unit for outcome in OUTCOMES} == {"cells/mm2", "1", "ng/mL", "U/L"}


def test_no_two_outcomes_mean_the_same() -> None:
    meanings = [outcome.meaning for outcome in OUTCOMES]
    assert min(len(meaning.split()) for meaning in meanings) >= 3
    assert len(set(meanings)) == len(meanings)


def test_every_kind_of_cell_but_tracers_is_counted() -> None:
    assert set(observe.COUNTED.values()) == set(Kind) - {Kind.NONE, Kind.TRACER}


def test_measuring_changes_nothing() -> None:
    tissue, untouched = made_tissue(), made_tissue()
    measure(tissue, PARAMS)
    assert tissue.fields.level.tobytes() == untouched.fields.level.tobytes()
    assert tissue.cells.kind.tobytes() == untouched.cells.kind.tobytes()


def test_a_section_without_macrophages_has_level_zero() -> None:
    tissue = made_tissue()
    tissue.cells.kind[tissue.cells.kind == Kind.MACROPHAGE] = Kind.CD4
    assert [outcome(tissue, name) for name in ("macrophages_m1", "macrophages_m2", "inflammatory_level", "repair_level")] == [0.0] * 4


def test_debris_outside_of_all_fibres_is_no_necrosis() -> None:
    tissue = made_tissue()
    tissue.voxels.debris[:, 25] = 1.0
    assert outcome(tissue, "necrosis") == pytest.approx(EXPECTED["necrosis"])


def test_the_collagen_of_perimysium_and_fascia_is_not_in_the_mean() -> None:
    tissue = made_tissue()
    tissue.voxels.collagen[:, 30:] = 50.0
    assert outcome(tissue, "collagen") == pytest.approx(EXPECTED["collagen"])


def test_a_sum_does_not_depend_on_its_order() -> None:
    values = np.random.default_rng(1).normal(size=10000) * 10.0 ** np.random.default_rng(2).integers(-10, 10, 10000)
    assert exact_sum(values) == exact_sum(values[::-1]) == exact_sum(np.sort(values).reshape(100, 100))
