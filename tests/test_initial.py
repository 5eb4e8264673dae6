"""The made tissue against the numbers that it is said to have, counted here in another way."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, label
from scipy.spatial import cKDTree

from imam_sim.model import initial, state, step
from imam_sim.model.fields import make_transport
from imam_sim.model.params import PRESETS, Geometry, Parameters
from imam_sim.model.quantity import put
from imam_sim.model.rng import Draw, uniform_pair
from imam_sim.model.state import NOBODY, VOXEL, Compartment, Counter, FibreState, Ground, Kind, Now, Region, Tissue, VesselKind, Vessels

SEED = 20
SIDE = 1000.0  # um
PARAMS = {name: put(Parameters(), {path: preset.value for path, preset in values.items()}) for name, values in PRESETS.items()}


@pytest.fixture(scope="module")
def tissues() -> dict[str, Tissue]:
    return {name: initial.make_tissue(params, SEED, SIDE, SIDE) for name, params in PARAMS.items()}


@pytest.fixture(params=sorted(PARAMS))
def preset(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tissue(tissues: dict[str, Tissue], preset: str) -> Tissue:
    return tissues[preset]


@pytest.fixture
def geometry(preset: str) -> Geometry:
    return PARAMS[preset].geometry


def vessels_of(tissue: Tissue, kind: VesselKind) -> Vessels:
    """The vessels of one kind."""
    return Vessels._make(column[tissue.vessels.kind == kind] for column in tissue.vessels)


def areas_of(tissue: Tissue) -> np.ndarray:
    return np.bincount(tissue.voxels.fibre[tissue.voxels.fibre != NOBODY]) * VOXEL**2


def place_of(tissue: Tissue) -> tuple[np.ndarray, np.ndarray]:
    cells = state.in_use(tissue)
    return (cells.y / VOXEL).astype(int), (cells.x / VOXEL).astype(int)


def bytes_of(tissue: Tissue) -> bytes:
    return b"".join(array.tobytes() for array in state.arrays(tissue).values())


def test_a_human_square_millimetre_holds_270_to_310_fibres(tissues: dict[str, Tissue]) -> None:
    assert 270 <= tissues["human"].fibres.x.size <= 310


def test_human_fibres_are_50_to_60_um_wide(tissues: dict[str, Tissue]) -> None:
    assert 50 <= np.sqrt(4 * areas_of(tissues["human"]) / np.pi).mean() <= 60


def test_fibres_have_the_stated_mean_area(tissue: Tissue, geometry: Geometry) -> None:
    assert areas_of(tissue).mean() == pytest.approx(geometry.fibre_area, rel=0.05)


def test_fibre_areas_vary_as_stated(tissue: Tissue, geometry: Geometry) -> None:
    areas = areas_of(tissue)
    assert areas.std() / areas.mean() == pytest.approx(geometry.fibre_area_variation, abs=0.05)


def test_other_stated_areas_are_met_too() -> None:
    params = put(Parameters(), {"geometry.fibre_area": 4000.0, "geometry.endomysium_width": 15.0, "geometry.fibre_area_variation": 0.1})
    assert areas_of(initial.make_tissue(params, SEED, SIDE, SIDE)).mean() == pytest.approx(4000.0, rel=0.05)


def test_wide_gaps_do_not_widen_the_spread_of_areas() -> None:
    areas = areas_of(initial.make_tissue(put(Parameters(), {"geometry.endomysium_width": 50.0}), SEED, SIDE, SIDE))
    assert areas.std() / areas.mean() == pytest.approx(Parameters().geometry.fibre_area_variation, abs=0.05)


def test_drawn_areas_follow_the_gamma_distribution() -> None:
    n, variation = 20000, 0.5
    areas = initial.draw_areas(n, 1.0, variation, Now(SEED, 0, 0.0))
    shape = variation**-2
    kurtosis = 3 + 6 / shape
    skewness = ((areas - areas.mean()) ** 3).mean() / areas.std() ** 3
    assert abs(areas.mean() - 1.0) <= 4 * variation / np.sqrt(n)
    assert abs(areas.var() - variation**2) <= 4 * variation**2 * np.sqrt((kurtosis - 1) / n)
    assert skewness == pytest.approx(2 / np.sqrt(shape), abs=0.1)


def test_every_fibre_is_one_piece(tissue: Tissue) -> None:
    pieces = [label(tissue.voxels.fibre == f)[1] for f in range(tissue.fibres.x.size)]
    assert pieces == [1] * tissue.fibres.x.size


def test_no_fibre_is_smaller_than_the_least(tissue: Tissue) -> None:
    assert tissue.fibres.territory.min() >= initial.LEAST_FIBRE


def test_no_two_fibres_touch_over_voxel_edges(tissue: Tissue) -> None:
    fibre = tissue.voxels.fibre
    for one, other in ((fibre[1:], fibre[:-1]), (fibre[:, 1:], fibre[:, :-1])):
        assert not ((one != other) & (one != NOBODY) & (other != NOBODY)).any()


@pytest.mark.parametrize("seed", range(3))
def test_connective_tissue_is_one_piece(preset: str, seed: int) -> None:
    tissue = initial.make_tissue(PARAMS[preset], seed, 600.0, 500.0)
    assert label(tissue.voxels.fibre == NOBODY)[1] == 1


def test_fascia_lies_at_the_top_with_the_stated_width(tissue: Tissue, geometry: Geometry) -> None:
    rows = np.arange(tissue.voxels.region.shape[0])[:, None] * VOXEL < geometry.fascia_width
    assert ((tissue.voxels.region == Region.FASCIA) == rows).all()


def test_fascicles_have_about_the_stated_area(tissue: Tissue, geometry: Geometry) -> None:
    wanted = (SIDE - geometry.fascia_width) * SIDE / geometry.fascicle_area
    assert label(tissue.voxels.region == Region.FASCICLE)[1] == pytest.approx(wanted, abs=0.5)


def test_perimysium_has_the_stated_width() -> None:
    # Two fascicles side by side: the perimysium is one straight band from wall to wall.
    params = put(Parameters(), {"geometry.fascia_width": 0.0, "geometry.perimysium_width": 50.0})
    region = initial.make_tissue(params, SEED, 1600.0, 250.0).voxels.region
    assert label(region == Region.FASCICLE)[1] == 2
    across = (region == Region.PERIMYSIUM).sum(axis=1) * VOXEL
    columns = np.array([np.flatnonzero(row == Region.PERIMYSIUM).mean() for row in region])
    slope = np.polyfit(np.arange(columns.size), columns, 1)[0]
    assert across.mean() / np.sqrt(1 + slope**2) == pytest.approx(50.0, abs=VOXEL)


@pytest.mark.parametrize("half_gap", [3.0, 6.0, 12.5])
@pytest.mark.parametrize("angle", [0.2, 0.4, 0.7])
def test_a_gap_between_two_fibres_is_a_band_of_the_stated_width(half_gap: float, angle: float) -> None:
    n = 200
    dx, dy = 100 * np.cos(angle), 100 * np.sin(angle)
    centre = n * VOXEL / 2
    seeds = initial.Seeds(np.array([centre - dx, centre + dx]), np.array([centre - dy, centre + dy]), np.zeros(2), np.zeros(2, np.int32))
    near = initial.divide(np.zeros((n, n), np.int32), np.zeros((n, n), np.int32), seeds, 2 * n * VOXEL, half_gap)
    length = n * VOXEL / np.cos(angle)
    assert near.sum() * VOXEL**2 / length == pytest.approx(2 * half_gap, abs=0.25)


def test_ground_collagen_and_regions_agree(tissue: Tissue, geometry: Geometry) -> None:
    voxels = tissue.voxels
    inside = voxels.fibre != NOBODY
    assert ((voxels.ground == Ground.FIBRE) == inside).all()
    assert ((voxels.ground == Ground.CONNECTIVE) == ~inside).all()
    assert (voxels.region[inside] == Region.FASCICLE).all()
    for region, collagen in ((0, 1.0), (1, geometry.perimysium_collagen), (2, geometry.fascia_collagen)):
        assert set(voxels.collagen[~inside & (voxels.region == region)]) == {collagen}
    assert not voxels.collagen[inside].any()
    assert not voxels.debris.any()


def test_the_voxels_of_the_fibres_are_the_map_of_the_fibres(tissue: Tissue) -> None:
    fibres, flat = tissue.fibres, tissue.voxels.fibre.ravel()
    owner = np.repeat(np.arange(fibres.x.size), np.diff(fibres.first_voxel))
    assert (flat[fibres.voxels] == owner).all()
    assert np.unique(fibres.voxels).size == fibres.voxels.size == np.count_nonzero(flat != NOBODY)
    assert (np.diff(fibres.first_voxel) == fibres.territory).all()


def test_fibres_start_whole(tissue: Tissue, geometry: Geometry) -> None:
    fibres = tissue.fibres
    assert (fibres.state == FibreState.INTACT).all()
    assert (fibres.living == fibres.territory).all()
    assert (fibres.volume == fibres.territory * 25.0 * geometry.depth).all()
    assert not fibres.alarm.any()
    assert not fibres.central_nuclei.any()


def test_the_centre_of_a_fibre_is_the_mean_of_its_voxels(tissue: Tissue) -> None:
    for f in range(0, tissue.fibres.x.size, 10):
        rows, columns = np.nonzero(tissue.voxels.fibre == f)
        assert tissue.fibres.x[f] == pytest.approx((columns.mean() + 0.5) * VOXEL)
        assert tissue.fibres.y[f] == pytest.approx((rows.mean() + 0.5) * VOXEL)


def test_the_voxels_of_a_fibre_come_innermost_first(tissue: Tissue) -> None:
    fibres = tissue.fibres
    nx = tissue.voxels.fibre.shape[1]
    wall = 20  # voxels, more than any depth: the fibre goes on behind the edge of the domain
    for f in range(0, fibres.x.size, 4):
        depth = np.round(distance_transform_edt(np.pad(tissue.voxels.fibre == f, wall, mode="edge")) ** 2)
        voxels = fibres.voxels[fibres.first_voxel[f] : fibres.first_voxel[f + 1]]
        assert (np.diff(depth[voxels // nx + wall, voxels % nx + wall]) <= 0).all(), f


def test_capillaries_lie_in_endomysium(tissue: Tissue) -> None:
    vessels = vessels_of(tissue, VesselKind.CAPILLARY)
    row, column = (vessels.y / VOXEL).astype(int), (vessels.x / VOXEL).astype(int)
    assert (tissue.voxels.fibre[row, column] == NOBODY).all()
    assert (tissue.voxels.region[row, column] == Region.FASCICLE).all()


def test_capillaries_are_perfused_and_apart(tissue: Tissue) -> None:
    vessels = vessels_of(tissue, VesselKind.CAPILLARY)
    assert vessels.perfused.all()
    pairs = cKDTree(np.column_stack((vessels.x, vessels.y))).query_pairs(VOXEL * 1.5)
    assert not pairs


def test_venules_have_the_stated_density_in_perimysium_and_fascia_and_touch_no_fibre(tissue: Tissue, geometry: Geometry) -> None:
    venules = vessels_of(tissue, VesselKind.VENULE)
    row, column = (venules.y / VOXEL).astype(int), (venules.x / VOXEL).astype(int)
    outside = tissue.voxels.region != Region.FASCICLE
    assert venules.x.size == pytest.approx(geometry.venules * np.count_nonzero(outside) * VOXEL**2 * 1e-6, abs=0.5)
    assert outside[row, column].all()
    assert venules.perfused.all()
    assert not np.isin(np.flatnonzero(tissue.vessels.kind != VesselKind.CAPILLARY), tissue.fibres.vessels).any()


def test_two_closed_sites_of_sprouts_stand_at_each_capillary(tissue: Tissue) -> None:
    capillaries, sites = vessels_of(tissue, VesselKind.CAPILLARY), vessels_of(tissue, VesselKind.SPROUT)
    assert np.bincount(sites.parent).tolist() == [2] * capillaries.x.size
    assert np.array_equal(sites.x, capillaries.x[sites.parent])
    assert np.array_equal(sites.y, capillaries.y[sites.parent])
    assert not sites.perfused.any()
    assert (tissue.vessels.parent[tissue.vessels.kind != VesselKind.SPROUT] == NOBODY).all()
    assert (np.diff(tissue.vessels.kind) >= 0).all()


def test_an_inner_fibre_is_touched_by_the_stated_number_of_capillaries(tissue: Tissue, geometry: Geometry) -> None:
    fibre = tissue.voxels.fibre
    cut = np.unique(np.concatenate((fibre[0], fibre[-1], fibre[:, 0], fibre[:, -1])))
    contacts = np.diff(tissue.fibres.first_vessel)
    inner = ~np.isin(np.arange(contacts.size), cut)
    assert contacts[inner].mean() == pytest.approx(geometry.capillaries_around_fibre, abs=0.4)


def test_the_contacts_are_the_capillaries_within_reach(tissue: Tissue, geometry: Geometry) -> None:
    capillaries = vessels_of(tissue, VesselKind.CAPILLARY)
    vessels = cKDTree(np.column_stack((capillaries.x, capillaries.y)))
    for f in range(tissue.fibres.x.size):
        rows, columns = np.nonzero(tissue.voxels.fibre == f)
        near = vessels.query_ball_point(np.column_stack((columns + 0.5, rows + 0.5)) * VOXEL, geometry.capillary_reach)
        found = tissue.fibres.vessels[tissue.fibres.first_vessel[f] : tissue.fibres.first_vessel[f + 1]]
        assert found.tolist() == sorted(set().union(*near))


def test_no_capillaries_are_made_where_none_are_asked_for() -> None:
    params = put(Parameters(), {"geometry.capillaries_around_fibre": 0.0})
    assert set(initial.make_tissue(params, SEED, 300.0, 300.0).vessels.kind.tolist()) == {VesselKind.VENULE}


@pytest.mark.parametrize(("kind", "name"), [(Kind.MACROPHAGE, "macrophages"), (Kind.FIBROBLAST, "fibroblasts")])
def test_resident_cells_have_the_stated_density(tissue: Tissue, geometry: Geometry, kind: Kind, name: str) -> None:
    wanted = getattr(geometry, name) * SIDE * SIDE * geometry.depth * 1e-9
    assert np.count_nonzero(tissue.cells.kind == kind) == pytest.approx(wanted, abs=0.5)


def test_satellite_cells_have_the_stated_number_per_fibre(tissue: Tissue, geometry: Geometry) -> None:
    wanted = geometry.satellites_per_fibre * tissue.fibres.x.size
    assert np.count_nonzero(tissue.cells.kind == Kind.QUIESCENT_SATELLITE) == pytest.approx(wanted, abs=0.5)


def test_no_cell_is_inside_a_fibre(tissue: Tissue) -> None:
    assert (tissue.voxels.fibre[place_of(tissue)] == NOBODY).all()


def test_satellite_cells_sit_beside_their_fibre_in_endomysium(tissue: Tissue) -> None:
    cells = state.in_use(tissue)
    rows, columns = place_of(tissue)
    padded = np.pad(tissue.voxels.fibre, 1, constant_values=NOBODY)
    for i in np.flatnonzero(cells.kind == Kind.QUIESCENT_SATELLITE):
        r, c = rows[i] + 1, columns[i] + 1
        assert cells.fibre[i] in (padded[r - 1, c], padded[r + 1, c], padded[r, c - 1], padded[r, c + 1])
        assert tissue.voxels.region[rows[i], columns[i]] == Region.FASCICLE
    assert (cells.fibre[cells.kind != Kind.QUIESCENT_SATELLITE] == NOBODY).all()


def test_fibroblasts_live_in_every_connective_tissue(tissues: dict[str, Tissue]) -> None:
    human = tissues["human"]
    fibroblasts = state.in_use(human).kind == Kind.FIBROBLAST
    regions = human.voxels.region[place_of(human)][fibroblasts]
    assert set(regions) == {Region.FASCICLE, Region.PERIMYSIUM, Region.FASCIA}


def test_no_voxel_holds_more_cells_than_fit() -> None:
    params = put(Parameters(), {"geometry.macrophages": 2e5, "geometry.satellites_per_fibre": 8.0, "motion.cells_per_voxel": 3.0})
    tissue = initial.make_tissue(params, SEED, 300.0, 300.0)
    _, held = np.unique(np.column_stack(place_of(tissue)), axis=0, return_counts=True)
    assert held.max() == 3


def test_cells_start_at_rest(tissue: Tissue) -> None:
    cells = state.in_use(tissue)
    assert cells.resident.all()
    assert not cells.inflammatory.any()
    assert not cells.load.any()
    drive = Parameters().macrophage.repair_activation.ampk_drive
    assert cells.repair == pytest.approx(np.where(cells.kind == Kind.MACROPHAGE, drive / (drive + 1.0), 0.0), rel=1e-12)
    assert np.abs(cells.ux**2 + cells.uy**2 - 1.0).max() < 1e-12


def test_ids_and_counters_count_the_cells(tissue: Tissue) -> None:
    n = np.count_nonzero(tissue.cells.kind)
    assert tissue.counters.tolist() == [n if c in (Counter.CELLS, Counter.NEXT_ID) else 0 for c in Counter]
    assert state.in_use(tissue).id.tolist() == list(range(n))


def test_free_places_are_empty(tissue: Tissue) -> None:
    n = tissue.counters[Counter.CELLS]
    assert tissue.cells.id.size == max(4096, 4 * n)
    for name in tissue.cells._fields:
        assert (getattr(tissue.cells, name)[n:] == (NOBODY if name == "fibre" else 0)).all(), name


def test_cells_lie_anywhere_in_their_voxel(tissue: Tissue) -> None:
    cells = state.in_use(tissue)
    within = np.concatenate((cells.x, cells.y)) / VOXEL % 1
    assert abs(within.mean() - 0.5) <= 4 * np.sqrt(1 / 12 / within.size)
    assert abs(within.var() - 1 / 12) <= 4 * np.sqrt(1 / 180 / within.size)


def test_blood_and_signals_start_at_rest(tissue: Tissue) -> None:
    assert tissue.blood[Compartment.MONOCYTES] == 1.0
    assert tissue.blood[Compartment.CREATINE_KINASE] == Parameters().blood.creatine_kinase_rest
    assert tissue.fields.level.shape[1:] == (tissue.voxels.fibre.shape[0] // 2, tissue.voxels.fibre.shape[1] // 2)
    assert not any(field.any() for field in tissue.fields)


def test_the_same_seed_gives_the_same_bytes(tissue: Tissue, preset: str) -> None:
    assert bytes_of(initial.make_tissue(PARAMS[preset], SEED, SIDE, SIDE)) == bytes_of(tissue)


def test_another_seed_gives_other_fibres(tissue: Tissue, preset: str) -> None:
    other = initial.make_tissue(PARAMS[preset], SEED + 1, SIDE, SIDE)
    assert (other.voxels.fibre != tissue.voxels.fibre).mean() > 0.5


@pytest.mark.parametrize("size", [(1000.0, 1000.0), (300.0, 500.0), (2000.0, 1000.0)])
def test_the_estimate_of_memory_is_near_the_truth(preset: str, size: tuple[float, float]) -> None:
    tissue = initial.make_tissue(PARAMS[preset], SEED, *size)
    truth = sum(array.nbytes for array in state.arrays(tissue).values())
    assert state.bytes_needed(*size) == pytest.approx(truth, rel=0.3)


def test_width_goes_along_columns_and_height_along_rows() -> None:
    tissue = initial.make_tissue(Parameters(), SEED, 200.0, 350.0)
    assert tissue.voxels.fibre.shape == (70, 40)


@pytest.mark.parametrize("wrong", [1005.0, 0.0, -100.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["width", "height"])
def test_a_side_that_is_no_multiple_of_ten_is_refused_by_name(name: str, wrong: float) -> None:
    size = {"width": 200.0, "height": 200.0, name: wrong}
    with pytest.raises(ValueError, match=f"^{name}: got .* um, must be a positive multiple of 10 um$"):
        initial.make_tissue(Parameters(), SEED, **size)


def test_a_section_of_fascia_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="height: got 60 um, must be more than the fascia of 60 um"):
        initial.make_tissue(Parameters(), SEED, 200.0, 60.0)


def test_a_section_without_room_for_a_fibre_is_refused() -> None:
    with pytest.raises(ValueError, match="must be large enough for one fibre"):
        initial.make_tissue(Parameters(), SEED, 10.0, 70.0)


def test_more_cells_than_fit_are_refused() -> None:
    params = put(Parameters(), {"geometry.macrophages": 1e6, "geometry.fibroblasts": 1e6, "motion.cells_per_voxel": 1.0})
    with pytest.raises(ValueError, match="cells at the start, must be few enough"):
        initial.make_tissue(params, SEED, 200.0, 200.0)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_nearest_seed_is_that_of_a_search_through_all(weighted: bool) -> None:
    n, side, edge = 60, 400.0, 80.0
    now = Now(SEED, 0, 0.0)
    x, y = np.array([uniform_pair(now, i, Draw.INITIAL_SEED) for i in range(n)]).T * side
    weight = np.array([uniform_pair(now, i, Draw.INITIAL_SEED, 1)[0] for i in range(n)]) * (300.0 if weighted else 0.0)
    seeds = initial.Seeds(x, y, weight, np.zeros(n, np.int32))
    bins = initial.sort_into_bins(seeds, edge, side, side)
    for px in range(2, 400, 17):
        for py in range(2, 400, 17):
            power = (x - px) ** 2 + (y - py) ** 2 - weight
            assert initial.nearest_seed(float(px), float(py), 0, seeds, bins) == power.argmin()


def test_the_distance_to_the_border_is_that_to_the_bisector() -> None:
    seeds = initial.Seeds(np.array([10.0, 50.0]), np.array([10.0, 10.0]), np.array([0.0, 400.0]), np.zeros(2, np.int32))
    bins = initial.sort_into_bins(seeds, 100.0, 100.0, 100.0)
    # Equal power on the line x = 25: (25 - 10)^2 = (25 - 50)^2 - 400.
    assert initial.distance_to_border(18.0, 33.0, 0, seeds, bins) == pytest.approx(7.0, rel=1e-12)


def test_rounding_takes_sharp_corners_and_leaves_straight_edges() -> None:
    labels = np.full((20, 20), NOBODY, np.int32)
    labels[4:16, 4:] = 0
    rounded = initial.round_corners(labels)
    gone = np.argwhere(rounded != labels).tolist()
    assert gone == [[4, 4], [15, 4]]


def test_only_the_largest_piece_of_a_fibre_is_kept_and_small_fibres_go() -> None:
    labels = np.full((10, 10), NOBODY, np.int32)
    labels[0:4, 0:4] = 2
    labels[4, 4] = 2  # touches its fibre at a corner only
    labels[6:8, 0:5] = 0  # ten voxels
    expected = np.full((10, 10), NOBODY, np.int32)
    expected[0:4, 0:4] = 0
    assert initial.keep_whole(labels, 3) == 1
    assert (labels == expected).all()


def test_a_bare_tissue_stays_as_it_is() -> None:
    tissue = initial.make_bare_tissue(Parameters(), 100.0, 200.0)
    transport = make_transport(Parameters().signal, (20, 10), 0.25)
    after = step.advance(state.copy(tissue), Parameters(), transport, Now(1, 0, 0.25))
    changed = {name for name, array in state.arrays(after).items() if not np.array_equal(array, state.arrays(tissue)[name])}
    assert changed == {"counters"}
    assert after.counters.tolist() == [0, 0, 1, 0, 0]
