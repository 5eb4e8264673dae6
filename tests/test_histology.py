"""Pictures: the optics against its own inverse, each structure against what a pathologist would expect of it, the scale bar in pixels."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread
from numpy.typing import NDArray

from imam_sim.model.initial import make_tissue
from imam_sim.model.params import Parameters
from imam_sim.model.state import (
    NOBODY,
    Cells,
    Compartment,
    Counter,
    Fibres,
    FibreState,
    Fields,
    Ground,
    Kind,
    Signal,
    Tissue,
    VesselKind,
    Vessels,
    Voxels,
    arrays,
    copy,
)
from imam_sim.show import histology
from imam_sim.show.histology import DAB, EOSIN, HAEMATOXYLIN

SIDE, GAP, EACH_WAY = 9, 2, 4  # voxels: square fibres of 45 um, 10 um apart, four by four


def brick_tissue() -> Tissue:
    """Sixteen square healthy fibres without cells, 220 x 220 um; innermost voxels first, as the model has them."""
    n = EACH_WAY * (SIDE + GAP)
    row, column = np.mgrid[0:n, 0:n]
    inside = (row % (SIDE + GAP) < SIDE) & (column % (SIDE + GAP) < SIDE)
    fibre = np.where(inside, row // (SIDE + GAP) * EACH_WAY + column // (SIDE + GAP), NOBODY).astype(np.int32)
    ground = np.where(inside, Ground.FIBRE, Ground.CONNECTIVE).astype(np.int8)
    nothing = np.zeros((n, n))
    voxels = Voxels(fibre, np.zeros((n, n), np.int8), ground, nothing, np.where(inside, 0.0, 1.0), nothing.copy())
    n_fibres, area = EACH_WAY**2, SIDE**2
    centre = (np.arange(EACH_WAY) * (SIDE + GAP) + SIDE / 2) * 5.0
    x, y = np.tile(centre, EACH_WAY), np.repeat(centre, EACH_WAY)
    listed = []
    for f in range(n_fibres):
        rows, columns = np.nonzero(fibre == f)
        far = np.maximum(abs((rows + 0.5) * 5.0 - y[f]), abs((columns + 0.5) * 5.0 - x[f]))
        listed.append((rows * n + columns)[np.argsort(far, kind="stable")])
    fibres = Fibres(
        x=x,
        y=y,
        territory=np.full(n_fibres, area),
        state=np.zeros(n_fibres, np.int8),
        living=np.full(n_fibres, area),
        volume=np.full(n_fibres, area * 500.0),
        alarm=np.zeros(n_fibres),
        central_nuclei=np.zeros(n_fibres, np.bool_),
        complement=np.zeros(n_fibres),
        opsonised=np.zeros(n_fibres),
        first_voxel=np.arange(n_fibres + 1) * area,
        voxels=np.concatenate(listed),
        first_vessel=np.zeros(n_fibres + 1, np.int64),
        vessels=np.zeros(0, np.int32),
    )
    level = np.zeros((len(Signal), n // 2, n // 2))
    whole = np.zeros(level.shape, np.int64)
    fields = Fields(level, level.copy(), whole, whole.copy(), np.zeros((len(Signal), 4)))
    none = np.zeros(0)
    vessels = Vessels(none, none, none > 0.0, np.zeros(0, np.int8), np.zeros(0, np.int32), none)
    blood, counters = np.zeros(len(Compartment)), np.zeros(len(Counter), np.int64)
    return Tissue(cells_at([], [], []), fibres, vessels, voxels, fields, blood, counters)


def cells_at(kinds: list[Kind], x: list[float], y: list[float]) -> Cells:
    """Cells of these kinds at these places [um], with nothing else to tell them apart."""
    n = len(kinds)
    return Cells(
        id=np.arange(n),
        kind=np.array(kinds, np.int8),
        x=np.array(x),
        y=np.array(y),
        ux=np.ones(n),
        uy=np.zeros(n),
        inflammatory=np.zeros(n),
        repair=np.zeros(n),
        load=np.zeros(n),
        fibre=np.full(n, NOBODY, np.int32),
        resident=np.zeros(n, np.bool_),
    )


def with_cells(tissue: Tissue, kinds: list[Kind], x: list[float], y: list[float]) -> Tissue:
    """The tissue with these cells and no others."""
    tissue = copy(tissue)._replace(cells=cells_at(kinds, x, y))
    tissue.counters[Counter.CELLS] = len(kinds)
    return tissue


def with_all_fibres(state: FibreState, ground: Ground, living: float = 1.0, debris: float = 0.0) -> Tissue:
    """The brick tissue with every fibre in one state: the inner share `living` of each is `ground`, the rest cleared."""
    tissue = brick_tissue()
    tissue.fibres.state[:] = state
    count = round(living * SIDE**2)
    tissue.fibres.living[:] = 0 if ground in (Ground.NECROTIC, Ground.CLEARED) else count
    for f in range(len(tissue.fibres.x)):
        mine = tissue.fibres.voxels[tissue.fibres.first_voxel[f] : tissue.fibres.first_voxel[f + 1]]
        tissue.voxels.ground.reshape(-1)[mine] = Ground.CLEARED
        tissue.voxels.ground.reshape(-1)[mine[:count]] = ground
        tissue.voxels.debris.reshape(-1)[mine[:count]] = debris
    return tissue


def mean_dyes(tissue: Tissue, stain: str = "he", inner: float = 15.0) -> NDArray[np.float64]:
    """Mean dyes within `inner` um of the fibres' centres, nuclei and all."""
    slide = histology.dyes(tissue, stain)
    x, y = tissue.fibres.x, tissue.fibres.y
    pixels = np.arange(slide.shape[1]) + 0.5
    near_x = (abs(pixels[:, None] - x) < inner).any(1)
    near_y = (abs(pixels[:, None] - y) < inner).any(1)
    return np.asarray(slide[:, near_y][:, :, near_x].mean((1, 2)), np.float64)


HEALTHY = brick_tissue()


def test_a_unit_of_each_dye_has_the_published_colour() -> None:
    patch = np.eye(3)[:, None, :]  # one pixel of each dye
    expected = [[133, 126, 192], [237, 95, 230], [195, 144, 117]]  # 255 exp(-OD) by hand
    assert histology.colour(patch)[0].tolist() == expected


@pytest.mark.parametrize("dye", [HAEMATOXYLIN, EOSIN, DAB])
@pytest.mark.parametrize("amount", [0.1, 0.5, 1.0, 1.5])
def test_unmixing_a_pure_patch_gives_the_dye_back_within_rounding(dye: int, amount: float) -> None:
    amounts = np.zeros((3, 4, 5))
    amounts[dye] = amount
    picture = histology.colour(amounts)
    half_a_level = 0.5 / picture.min()  # of optical density in the darkest channel
    worst = half_a_level * np.abs(np.linalg.inv(histology.VECTORS)).sum(0).max()
    assert np.abs(histology.unmix(picture) - amounts).max() <= 1.1 * worst


def test_a_clear_slide_is_white() -> None:
    assert (histology.colour(np.zeros((3, 2, 2))) == 255).all()


def test_the_same_tissue_gives_the_same_picture() -> None:
    assert (histology.section(HEALTHY) == histology.section(copy(HEALTHY))).all()


def test_another_seed_gives_another_texture() -> None:
    assert (histology.section(HEALTHY, seed=1) != histology.section(HEALTHY, seed=2)).any()


def test_drawing_does_not_change_the_tissue() -> None:
    tissue = with_cells(HEALTHY, [Kind.MACROPHAGE], [50.0], [50.0])
    before = copy(tissue)
    histology.section(tissue)
    for name, array in arrays(tissue).items():
        np.testing.assert_array_equal(array, arrays(before)[name], err_msg=name)


@pytest.mark.parametrize(("scale", "crop", "shape"), [(1.0, None, (220, 220, 3)), (2.0, (10.0, 20.0, 110.0, 70.0), (100, 200, 3))])
def test_a_picture_has_the_size_asked_for(scale: float, crop: histology.Box | None, shape: tuple[int, ...]) -> None:
    picture = histology.section(HEALTHY, "he", scale, crop)
    assert (picture.shape, picture.dtype) == (shape, np.uint8)


def test_a_crop_shows_what_the_whole_picture_shows_there() -> None:
    tissue = with_cells(HEALTHY, [Kind.MACROPHAGE, Kind.CD4], [50.0, 102.0], [50.0, 60.0])
    whole = histology.section(tissue)
    crop = histology.section(tissue, crop=(40.0, 30.0, 140.0, 90.0))
    assert np.abs(whole[30:90, 40:140].astype(int) - crop).max() <= 1


@pytest.mark.parametrize("crop", [(-1.0, 0.0, 50.0, 50.0), (0.0, 0.0, 221.0, 50.0), (50.0, 0.0, 50.0, 50.0)])
def test_a_crop_outside_the_tissue_is_refused(crop: histology.Box) -> None:
    with pytest.raises(ValueError, match="must lie within 0, 0, 220, 220 um"):
        histology.section(HEALTHY, crop=crop)


def test_an_unknown_stain_is_refused_with_the_legal_ones() -> None:
    with pytest.raises(ValueError, match="must be one of he, cd68"):
        histology.section(HEALTHY, "pas")


def test_necrotic_fibres_hold_much_less_eosin_than_healthy_ones() -> None:
    necrotic = with_all_fibres(FibreState.NECROTIC, Ground.NECROTIC, debris=1.0)
    assert mean_dyes(necrotic)[EOSIN] < 0.7 * mean_dyes(HEALTHY)[EOSIN]


def test_necrotic_fibres_are_more_mottled_than_healthy_ones() -> None:
    necrotic = histology.dyes(with_all_fibres(FibreState.NECROTIC, Ground.NECROTIC, debris=1.0))[EOSIN, 10:35, 10:35]
    healthy = histology.dyes(HEALTHY)[EOSIN, 10:35, 10:35]
    assert necrotic.std() / necrotic.mean() > 4.0 * healthy.std() / healthy.mean()


def test_cleared_space_is_paler_than_debris_and_than_healthy_endomysium() -> None:
    cleared = mean_dyes(with_all_fibres(FibreState.NECROTIC, Ground.CLEARED))[EOSIN]
    debris = mean_dyes(with_all_fibres(FibreState.NECROTIC, Ground.NECROTIC, debris=1.0))[EOSIN]
    endomysium = histology.dyes(HEALTHY)[EOSIN, 46:54, 10:35].mean()
    assert cleared < min(debris, endomysium)


def test_regenerating_fibres_take_more_haematoxylin_than_mature_ones() -> None:
    young = histology.dyes(with_all_fibres(FibreState.REGENERATING, Ground.REGENERATING, living=0.6))
    mature = histology.dyes(HEALTHY)
    within = np.s_[HAEMATOXYLIN, 12:33, 12:33]  # the median leaves out the nucleus
    assert np.median(young[within]) > 2.0 * np.median(mature[within])


def test_regenerating_fibres_have_their_nucleus_in_the_middle() -> None:
    haematoxylin = histology.dyes(with_all_fibres(FibreState.REGENERATING, Ground.REGENERATING, living=0.6))[HAEMATOXYLIN]
    assert all(
        haematoxylin[int(y) - 8 : int(y) + 8, int(x) - 8 : int(x) + 8].max() > 0.9
        for x, y in zip(HEALTHY.fibres.x, HEALTHY.fibres.y, strict=True)
    )


def test_a_fibre_that_has_regenerated_has_its_nucleus_in_the_middle() -> None:
    regenerated = copy(HEALTHY)
    regenerated.fibres.central_nuclei[:] = True
    assert mean_dyes(regenerated, inner=6.0)[HAEMATOXYLIN] > 3.0 * mean_dyes(HEALTHY, inner=6.0)[HAEMATOXYLIN]


def test_healthy_fibres_have_nuclei_at_the_rim_and_none_inside() -> None:
    nuclei = histology.dyes(HEALTHY)[HAEMATOXYLIN] > 0.7
    y, x = np.nonzero(nuclei)
    beside = np.minimum(np.minimum(y % 55, 45 - y % 55), np.minimum(x % 55, 45 - x % 55))  # um inside the nearest edge
    assert len(x) > 16 * 8
    assert beside.max() < 10


def test_fibres_fill_their_outlines_and_do_not_merge() -> None:
    eosin = histology.dyes(HEALTHY)[EOSIN]
    fibre = eosin > 0.45
    share = fibre.mean() / (HEALTHY.voxels.fibre != NOBODY).mean()
    assert share == pytest.approx(1.0, abs=0.05)
    assert not fibre[:, 48:52].any()


def test_a_scar_is_darker_than_open_space() -> None:
    scar = with_all_fibres(FibreState.NECROTIC, Ground.SCAR)
    scar.voxels.collagen[scar.voxels.ground == Ground.SCAR] = 8.0
    assert mean_dyes(scar)[EOSIN] > 1.5 * mean_dyes(with_all_fibres(FibreState.NECROTIC, Ground.CLEARED))[EOSIN]


def test_fat_is_nearly_white_within_a_thin_outline() -> None:
    tissue = with_all_fibres(FibreState.NECROTIC, Ground.FAT)
    eosin = histology.dyes(tissue)[EOSIN]
    middle, rim = eosin[12:33, 12:33], eosin[:, 12:33][[1, 2, 3, 42, 43]]
    assert np.median(middle) < 0.4 * mean_dyes(with_all_fibres(FibreState.NECROTIC, Ground.CLEARED))[EOSIN]
    assert rim.max() > 5.0 * np.median(middle)
    assert (eosin[:46, :46] > 0.2).mean() < 0.45


def test_what_a_thin_fibre_has_left_is_paler_than_it_and_shows_no_debris_and_no_outline() -> None:
    tissue = with_all_fibres(FibreState.INTACT, Ground.FIBRE, living=0.3)
    tissue.voxels.ground[tissue.voxels.ground == Ground.CLEARED] = Ground.VACATED
    eosin = histology.dyes(tissue)[EOSIN]
    assert not histology._outlines(tissue).territory.any()
    assert np.median(eosin[2:7, 2:43]) < 0.35 * np.median(eosin[18:27, 18:27])
    assert np.median(eosin[18:27, 18:27]) == pytest.approx(np.median(histology.dyes(HEALTHY)[EOSIN][18:27, 18:27]), rel=0.1)


def with_vessel(kind: VesselKind, perfused: bool) -> Tissue:
    """The brick tissue with one vessel between four fibres."""
    at, none = np.array([50.0]), np.full(1, NOBODY, np.int32)
    return copy(HEALTHY)._replace(vessels=Vessels(at, at, np.array([perfused]), np.array([kind], np.int8), none, np.zeros(1)))


def pixels_of_vessel(kind: VesselKind, perfused: bool) -> int:
    """How many pixels a vessel changes."""
    changed = histology.section(with_vessel(kind, perfused)) != histology.section(HEALTHY)
    return int(changed.any(axis=-1).sum())


def test_sprouts_are_seen_once_they_carry_blood_and_venules_are_wider_than_capillaries() -> None:
    assert pixels_of_vessel(VesselKind.SPROUT, False) == 0
    assert pixels_of_vessel(VesselKind.SPROUT, True) >= 20
    assert pixels_of_vessel(VesselKind.VENULE, True) > 3 * pixels_of_vessel(VesselKind.CAPILLARY, True)


def test_dab_is_found_at_macrophages_and_monocytes_and_nowhere_else() -> None:
    kinds = [Kind.MACROPHAGE, Kind.MONOCYTE, Kind.NEUTROPHIL, Kind.CD4, Kind.FIBROBLAST, Kind.APOPTOTIC_NEUTROPHIL, Kind.MYOCYTE]
    x = [50.0, 105.0, 160.0, 50.0, 105.0, 160.0, 50.0]
    y = [50.0, 50.0, 50.0, 105.0, 105.0, 105.0, 160.0]
    dab = histology.dyes(with_cells(HEALTHY, kinds, x, y), "cd68")[DAB]
    rows, columns = np.nonzero(dab > 0.0)
    to_macrophage, to_monocyte = np.hypot(columns - 50.0, rows - 50.0), np.hypot(columns - 105.0, rows - 50.0)
    assert np.minimum(to_macrophage, to_monocyte).max() < 14.0
    assert (to_macrophage < 14.0).sum() > 60
    assert (to_monocyte < 14.0).sum() > 30


def test_macrophages_are_browner_than_monocytes() -> None:
    dab = histology.dyes(with_cells(HEALTHY, [Kind.MACROPHAGE, Kind.MONOCYTE], [50.0, 105.0], [50.0, 50.0]), "cd68")[DAB]
    assert dab[35:65, 35:65].max() > 1.8 * dab[35:65, 90:120].max()


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind != Kind.NONE])
@pytest.mark.parametrize("stain", list(histology.STAINS))
def test_every_kind_of_cell_shows_a_nucleus_where_it_lies(kind: Kind, stain: str) -> None:
    empty = with_all_fibres(FibreState.NECROTIC, Ground.CLEARED)
    x, y = 77.5, 77.5  # inside a cleared fibre, away from anything else
    difference = histology.dyes(with_cells(empty, [kind], [x], [y]), stain)[HAEMATOXYLIN] - histology.dyes(empty, stain)[HAEMATOXYLIN]
    rows, columns = np.nonzero(difference > 0.3)
    assert len(rows) >= 3
    assert np.hypot(rows + 0.5 - y, columns + 0.5 - x).max() < 8.0


def test_a_tissue_without_fibres_can_be_drawn() -> None:
    bare = with_all_fibres(FibreState.NECROTIC, Ground.CLEARED)
    voxels = bare.voxels._replace(fibre=np.full_like(bare.voxels.fibre, NOBODY), ground=np.zeros_like(bare.voxels.ground))
    fibres = Fibres(
        x=np.zeros(0),
        y=np.zeros(0),
        territory=np.zeros(0, np.int64),
        state=np.zeros(0, np.int8),
        living=np.zeros(0, np.int64),
        volume=np.zeros(0),
        alarm=np.zeros(0),
        central_nuclei=np.zeros(0, np.bool_),
        complement=np.zeros(0),
        opsonised=np.zeros(0),
        first_voxel=np.zeros(1, np.int64),
        voxels=np.zeros(0, np.int64),
        first_vessel=np.zeros(1, np.int64),
        vessels=np.zeros(0, np.int32),
    )
    assert histology.section(bare._replace(voxels=voxels, fibres=fibres)).shape == (220, 220, 3)


def test_a_made_tissue_can_be_drawn_in_both_stains() -> None:
    tissue = make_tissue(Parameters(), 3, 300.0, 200.0)
    pictures = [histology.section(tissue, stain) for stain in histology.STAINS]
    assert [picture.shape for picture in pictures] == [(200, 300, 3)] * 2
    assert pictures[0][..., 1].mean() < pictures[1][..., 1].mean()  # eosin absorbs green


@pytest.mark.parametrize(("width", "length"), [(1000.0, 100.0), (300.0, 100.0), (299.0, 50.0), (150.0, 50.0), (100.0, 20.0)])
def test_the_scale_bar_is_100_or_50_um_where_there_is_room(width: float, length: float) -> None:
    assert histology.scale_bar(width) == length


@pytest.mark.parametrize(("scale", "pixels"), [(1.0, 50), (3.0, 150)])
def test_the_scale_bar_has_its_length_in_pixels(tmp_path: Path, scale: float, pixels: int) -> None:
    path = histology.save(histology.figure(HEALTHY, 72.0, pixels_per_um=scale), tmp_path / "bar.png")
    sheet = imread(path)[..., :3]
    margin = sheet[-34:]
    longest = max(run_length(row) for row in (margin.sum(-1) < 0.1))
    assert longest == pixels


def run_length(flags: NDArray[np.bool_]) -> int:
    """The longest run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def test_the_figure_holds_the_section_pixel_by_pixel(tmp_path: Path) -> None:
    path = histology.save(histology.figure(HEALTHY, 72.0, pixels_per_um=3.0), tmp_path / "section.png")
    sheet = np.rint(imread(path)[..., :3] * 255).astype(np.uint8)
    np.testing.assert_array_equal(sheet[34:-34], histology.section(HEALTHY, pixels_per_um=3.0))


def test_the_figure_says_day_stain_title_and_that_it_is_simulated() -> None:
    texts = " ".join(text.get_text() for text in histology.figure(HEALTHY, 84.0, "cd68", "an injury").texts)
    assert all(words in texts for words in ("day 3.5", "an injury", "CD68", "simulated", "50 µm"))


@pytest.mark.parametrize("stain", list(histology.STAINS))
def test_no_words_of_a_small_figure_touch_each_other_or_leave_the_sheet(stain: str) -> None:
    sheet = histology.figure(HEALTHY, 84.0, stain, "a title that is much too long " * 5)
    renderer = FigureCanvasAgg(sheet).get_renderer()
    boxes = [artist.get_window_extent(renderer) for artist in (*sheet.texts, *sheet.artists, *sheet.patches)]
    assert len(boxes) == 4
    assert all(box.x0 >= 0 and box.x1 <= sheet.bbox.width for box in boxes)
    assert not [(one, other) for n, one in enumerate(boxes) for other in boxes[:n] if one.overlaps(other)]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_same_figure_gives_the_same_bytes(tmp_path: Path, ending: str) -> None:
    written = [histology.save(histology.figure(HEALTHY, 0.0), tmp_path / f"{n}.{ending}").read_bytes() for n in range(2)]
    assert written[0] == written[1]


def test_without_an_ending_a_png_is_written(tmp_path: Path) -> None:
    path = histology.save(histology.figure(HEALTHY, 0.0), tmp_path / "picture")
    assert path.name == "picture.png"
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be one of \.png, \.svg, \.pdf"):
        histology.save(histology.figure(HEALTHY, 0.0), tmp_path / "picture.bmp")
