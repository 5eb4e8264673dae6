"""Every outcome on a section made by hand, whose counts can be read off the lines that make it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from imam_sim.model import observe
from imam_sim.model.fields import empty_fields
from imam_sim.model.initial import make_bare_tissue
from imam_sim.model.observe import NAMES, OUTCOMES, clustering, exact_sum, measure
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
    VesselKind,
    Vessels,
    Voxels,
)
from imam_sim.study.findings import load_findings

NUMBER_OF = {  # cells in the section of 0.02 mm2
    Kind.NEUTROPHIL: 1,
    Kind.APOPTOTIC_NEUTROPHIL: 2,
    Kind.MONOCYTE: 3,
    Kind.MACROPHAGE: 4,
    Kind.CD4: 5,
    Kind.REGULATORY_T: 12,
    Kind.CD8: 13,
    Kind.B_CELL: 14,
    Kind.QUIESCENT_SATELLITE: 6,
    Kind.ACTIVATED_SATELLITE: 7,
    Kind.MYOCYTE: 8,
    Kind.FIBROBLAST: 9,
    Kind.MYOFIBROBLAST: 10,
    Kind.TRACER: 11,
}
MACROPHAGES = ((3, 24), (16, 36), (5, 21), (6, 21))  # row and column: perimysium, fascia, two in a fascicle
INTACT, REGENERATED, DEAD, GROWING = range(4)
PARAMS = put(Parameters(), {"fibre.growth.immature_force": 0.25, "geometry.macrophages": 1500.0, "geometry.depth": 20.0})


def made_cells() -> Cells:
    """The cells of NUMBER_OF at the front of 150 places, the rest of which would count as neutrophils if they were in use."""
    kinds = np.repeat(list(NUMBER_OF), list(NUMBER_OF.values()))
    n, capacity = kinds.size, 150
    kind = np.full(capacity, Kind.NEUTROPHIL, np.int8)
    kind[:n] = kinds
    inflammatory, repair = np.full(capacity, 9.0), np.full(capacity, 9.0)
    inflammatory[:n][kinds == Kind.MACROPHAGE] = 0.8, 0.5, 0.1, 0.2
    repair[:n][kinds == Kind.MACROPHAGE] = 0.1, 0.5, 0.3, 0.9
    x, y, flat = np.zeros(capacity), np.zeros(capacity), np.zeros(capacity)
    for column, places in ((x, 1), (y, 0)):
        column[:n][kinds == Kind.MACROPHAGE] = [(place[places] + 0.5) * 5.0 for place in MACROPHAGES]
    return Cells(
        np.arange(capacity),
        kind,
        x,
        y,
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
    ground[17:19, :10], ground[19:, :10] = Ground.SCAR, Ground.FAT
    collagen[17:19, :10] = 3.0
    ground[0, :10] = Ground.VACATED
    ground[10:18, 10:20] = Ground.REGENERATING
    ground[18:, 10:20] = Ground.CLEARED
    region[:, 22:35], region[:, 35:] = Region.PERIMYSIUM, Region.FASCIA
    collagen[:, 30:] = 7.0  # belongs to no outcome
    return Voxels(fibre, region, ground, debris, collagen, np.zeros(fibre.shape))


def made_fibres(voxels: Voxels) -> Fibres:
    """Intact, regenerated and mature, dead, regenerating."""
    flat = voxels.fibre.ravel()
    order = np.concatenate([np.flatnonzero(flat == f) for f in range(4)])
    return Fibres(
        x=np.array([25.0, 75.0, 25.0, 75.0]),
        y=np.array([25.0, 25.0, 75.0, 75.0]),
        territory=np.full(4, 100),
        state=np.array([FibreState.INTACT, FibreState.INTACT, FibreState.NECROTIC, FibreState.REGENERATING], np.int8),
        living=np.array([90, 100, 0, 80]),
        volume=np.array([5e4, 5e4, 0.0, 4e4]),
        alarm=np.zeros(4),
        central_nuclei=np.array([False, True, False, True]),
        complement=np.array([0.1, 0.2, 0.0, 0.4]),
        opsonised=np.array([0.0, 0.0, 0.8, 0.3]),
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
    counters = np.array([sum(NUMBER_OF.values()), 1000, 5, 3, 77])
    blood = np.array([1.5, 900.0, 0.0, 0.3, 0.4, 0.7])
    return Tissue(made_cells(), made_fibres(voxels), made_vessels(), voxels, fields, blood, counters)


def made_vessels() -> Vessels:
    """Eight capillaries of which six are open, two venules of which one is, four sites of which three have sprouted."""
    kind = np.repeat(np.array([VesselKind.CAPILLARY, VesselKind.VENULE, VesselKind.SPROUT], np.int8), (8, 2, 4))
    perfused, complement = np.ones(14, np.bool_), np.zeros(14)
    perfused[[3, 6, 9, 12]] = False
    complement[:4], complement[8:10] = 0.5, 0.9
    parent = np.concatenate([np.full(10, NOBODY), [0, 0, 1, 1]]).astype(np.int32)
    return Vessels(np.zeros(14), np.zeros(14), perfused, kind, parent, complement)


def share_of_pairs(places: np.ndarray) -> float:
    """The share of ordered pairs of places (n, 2) that lie within 20 voxels, every pair asked."""
    near = sum((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 <= 400 for a, b in product(places.tolist(), places.tolist())) - len(places)
    return near / (len(places) * (len(places) - 1))


def clustering_by_asking(places: np.ndarray, walkable: np.ndarray) -> float:
    return float(np.sqrt(share_of_pairs(places) / share_of_pairs(np.argwhere(walkable))))


EXPECTED = {
    "neutrophils": 50.0,
    "apoptotic_neutrophils": 100.0,
    "monocytes": 150.0,
    "macrophages": 200.0,
    "cd4": 250.0,
    "regulatory_t": 600.0,
    "cd8": 650.0,
    "b_cells": 700.0,
    "macrophages_fascia": 2 / (20 * 18 * 25e-6),
    "macrophage_clustering": clustering_by_asking(
        np.array(MACROPHAGES), ~np.isin(made_voxels().ground, (Ground.FIBRE, Ground.REGENERATING))
    ),
    "satellites_quiescent": 300.0,
    "satellites_activated": 350.0,
    "myocytes": 400.0,
    "fibroblasts": 450.0,
    "myofibroblasts": 500.0,
    "macrophages_m1": 100.0,  # the one with equal levels counts as M1
    "macrophages_m2": 100.0,
    "macrophages_per_fibre": 1.0,
    "macrophage_grade": 2.0,  # 200 a mm2, health has 30
    "inflammatory_level": 0.4,
    "repair_level": 0.45,
    "fibres_intact": 0.5,
    "fibres_necrotic": 0.25,
    "fibres_regenerating": 0.25,
    "central_nuclei": 0.5,
    "necrosis": 25 / 400,
    "open_space": (30 + 20) / 400,
    "scar": 20 / 400,
    "fat": 10 / 400,
    "fibre_area": 270 / 400,
    "fibre_area_variation": float(np.std([90.0, 100.0, 80.0])) / 90.0,
    "small_fibres": 0.0,
    "perifascicular_area": ((1.0 + 0.8) / 2) / ((0.9 + 0.0) / 2),
    "complement_necrotic": 0.8,
    "complement_living": (90 * 0.1 + 100 * 0.2 + 80 * 0.4) / 270,
    "complement_capillaries": 4 * 0.5 / 8,
    "regenerated_area": 180 / 400,
    "collagen": (40 * 1.0 + 20 * 3.0) / 60,
    "capillaries": 9 / 8,
    "capillaries_per_fibre": 9 / 4,
    "perfused_share": 0.75,
    **{signal.name.lower(): signal + 1.0 for signal in Signal},
    "blood_monocytes": 1.5,
    "creatine_kinase": 900.0,
    "memory": 0.3,
    "autoantibody": 0.4,
    "complement": 0.7,
    "strength": (190 + 0.25 * 80) / 400,
    "muscle_test": 150.0 * (190 + 0.25 * 80) / 400,
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
    assert {outcome.unit for outcome in OUTCOMES} == {"cells/mm2", "1", "ng/mL", "U/L", "points"}


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


def test_muscle_testing_has_no_more_than_its_full_points() -> None:
    tissue = made_tissue()
    tissue.fibres.living[:] = 120
    tissue.fibres.state[:] = FibreState.INTACT
    assert outcome(tissue, "muscle_test") == 150.0


@pytest.mark.parametrize(
    ("density", "grade"), [(0.0, 0), (44.9, 0), (45.0, 1), (119.9, 1), (120.0, 2), (239.9, 2), (240.0, 3), (5000.0, 3)]
)
def test_macrophages_are_graded_by_how_many_times_health_they_are(density: float, grade: int) -> None:
    assert observe.grade(density, 30.0) == grade


def test_a_section_without_macrophages_has_grade_zero_also_where_health_has_none() -> None:
    assert (observe.grade(0.0, 0.0), observe.grade(1.0, 0.0)) == (0, 3)


def test_grades_are_cut_as_in_the_finding_on_grades_of_biopsies() -> None:
    cuts = {check.cuts for finding in load_findings().findings for check in finding.checks if check.measure == "grades"}
    assert cuts == {observe.GRADE_CUTS}


def test_fibres_below_half_of_their_territory_are_small() -> None:
    tissue = made_tissue()
    tissue.fibres.living[:] = 49, 50, 0, 1
    assert outcome(tissue, "small_fibres") == 2 / 3


def test_fibres_of_one_size_do_not_vary_and_dead_ones_do_not_count() -> None:
    tissue = made_tissue()
    tissue.fibres.living[:] = 70, 70, 0, 70
    assert outcome(tissue, "fibre_area_variation") == 0.0


def test_without_living_fibres_nothing_varies_and_none_is_small() -> None:
    tissue = made_tissue()
    tissue.fibres.living[:] = 0
    assert [outcome(tissue, name) for name in ("fibre_area_variation", "small_fibres", "muscle_test")] == [0.0, 0.0, 0.0]


def strewn(random: np.random.Generator, walkable: np.ndarray, n: int) -> np.ndarray:
    """How many of `n` cells strewn over the open ground stand in each voxel."""
    places = random.choice(np.flatnonzero(walkable), n)
    return np.bincount(places, minlength=walkable.size).reshape(walkable.shape)


@pytest.mark.parametrize("shape", [(30, 24), (12, 50), (5, 7)])
def test_clustering_is_what_asking_every_pair_gives(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(3)
    walkable = random.random(shape) < 0.5
    standing = strewn(random, walkable, 15)
    places = np.repeat(np.argwhere(standing > 0), standing[standing > 0], axis=0)
    assert clustering(standing, walkable) == pytest.approx(clustering_by_asking(places, walkable), rel=1e-12)


def test_cells_strewn_at_random_are_not_clustered_whatever_the_ground() -> None:
    random = np.random.default_rng(4)
    walkable = random.random((80, 100)) < 0.4
    walkable[20:50, 30:90] = False
    values = np.array([clustering(strewn(random, walkable, 60), walkable) for _ in range(100)])
    assert values.mean() == pytest.approx(1.0, abs=4.0 * values.std() / 10.0 + 0.005)
    assert values.std() < 0.15


def test_a_compact_focus_is_clustered() -> None:
    walkable = np.ones((200, 200), np.bool_)
    standing = np.zeros(walkable.shape, np.int64)
    standing[90:100, 90:100] = 1
    assert clustering(standing, walkable) == pytest.approx(np.sqrt(40000 / (np.pi * 400)), rel=0.06)  # edges make it a little more


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_cells_are_not_clustered(n: int) -> None:
    standing = np.zeros((10, 10), np.int64)
    standing[4, 4] = n
    assert clustering(standing, np.ones((10, 10), np.bool_)) == 1.0


def test_without_perimysium_there_is_no_edge_of_a_fascicle() -> None:
    tissue = made_tissue()
    tissue.voxels.region[:] = Region.FASCICLE
    assert outcome(tissue, "perifascicular_area") == 1.0
    tissue.voxels.region[:] = Region.PERIMYSIUM
    assert outcome(tissue, "perifascicular_area") == 1.0


def test_fibres_that_thin_at_the_edge_of_the_fascicle_alone_are_seen() -> None:
    tissue = made_tissue()
    tissue.fibres.living[:] = 100, 50, 100, 50
    assert outcome(tissue, "perifascicular_area") == 0.5


def test_a_section_of_nothing_has_outcomes() -> None:
    bare = make_bare_tissue(PARAMS, 100.0, 100.0)
    values = dict(zip(NAMES, measure(bare, PARAMS).tolist(), strict=True))
    assert all(np.isfinite(value) for value in values.values())
    assert {name for name, value in values.items() if value == 1.0 and name not in ("collagen", "blood_monocytes", "complement")} == {
        "macrophage_clustering",
        "perifascicular_area",
    }


def test_a_sum_does_not_depend_on_its_order() -> None:
    values = np.random.default_rng(1).normal(size=10000) * 10.0 ** np.random.default_rng(2).integers(-10, 10, 10000)
    assert exact_sum(values) == exact_sum(values[::-1]) == exact_sum(np.sort(values).reshape(100, 100))
