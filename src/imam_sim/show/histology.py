"""Simulated micrographs of a tissue: amounts of dye per pixel, turned into colour by the optics of a stained section.

A picture is made in optical density. Haematoxylin, eosin and DAB each absorb red, green and blue in fixed proportions [ruifrok2001], and
light follows Beer and Lambert, I = 255 exp(-OD). The outlines of fibres are smoothed from the 5 um voxels. What the model does not hold
(texture, nuclei of muscle fibres, shapes of cells) is drawn from the seed, the fibre's number and the cell's id, so one tissue always gives
one picture and a cell keeps its looks from picture to picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from scipy import ndimage

from imam_sim.model.state import NOBODY, VOXEL, Cells, FibreState, Ground, Kind, Region, Tissue, VesselKind, in_use, size

Image = NDArray[np.float32]
Picture = NDArray[np.uint8]
Numbers = NDArray[np.float64]
Box = tuple[float, float, float, float]  # left, top, right, bottom [um]

HAEMATOXYLIN, EOSIN, DAB = 0, 1, 2
VECTORS = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.268, 0.570, 0.776]])  # dye -> OD of red, green, blue [ruifrok2001]
STAINS = {"he": "haematoxylin and eosin", "cd68": "CD68 (DAB) and haematoxylin"}
LYMPHOCYTES = (Kind.CD4, Kind.REGULATORY_T, Kind.CD8, Kind.B_CELL)  # alike in these stains
DPI = 100
NARROWEST = 520  # pixels of a sheet, so that the words under a small picture do not run into its scale bar


class Dye(NamedTuple):
    """Amounts of the three dyes in one structure."""

    haematoxylin: float
    eosin: float
    dab: float = 0.0


class Palette(NamedTuple):
    """What one stain does to each structure; `nuclei` is the haematoxylin of a nucleus relative to H&E."""

    fibre: Dye
    young_fibre: Dye
    fibre_end_of_regeneration: Dye
    debris: Dye
    cleared: Dye
    fat: Dye  # the empty middle of a fat cell, whose lipid the solvents take
    connective: Dye
    collagen: Dye  # added where collagen is dense
    lamina: Dye
    wall: Dye
    lumen: Dye
    red_cell: Dye
    macrophage: Dye
    monocyte: Dye
    other_cell: Dye
    nuclei: float
    nuclear_eosin: float
    veil: float  # how far a cell's cytoplasm covers what lies under it


PALETTES = {
    "he": Palette(
        fibre=Dye(0.07, 0.62),
        young_fibre=Dye(0.33, 0.50),
        fibre_end_of_regeneration=Dye(0.20, 0.58),
        debris=Dye(0.03, 0.38),
        cleared=Dye(0.025, 0.12),
        fat=Dye(0.0, 0.015),
        connective=Dye(0.02, 0.07),
        collagen=Dye(0.03, 0.38),
        lamina=Dye(0.06, 0.36),
        wall=Dye(0.14, 0.36),
        lumen=Dye(0.0, 0.03),
        red_cell=Dye(0.02, 0.80),
        macrophage=Dye(0.17, 0.24),
        monocyte=Dye(0.15, 0.20),
        other_cell=Dye(0.05, 0.24),
        nuclei=1.0,
        nuclear_eosin=0.22,
        veil=0.65,
    ),
    "cd68": Palette(
        fibre=Dye(0.115, 0.0),
        young_fibre=Dye(0.19, 0.0),
        fibre_end_of_regeneration=Dye(0.14, 0.0),
        debris=Dye(0.08, 0.0),
        cleared=Dye(0.015, 0.0),
        fat=Dye(0.0, 0.0),
        connective=Dye(0.02, 0.0),
        collagen=Dye(0.06, 0.0),
        lamina=Dye(0.07, 0.0),
        wall=Dye(0.12, 0.0),
        lumen=Dye(0.0, 0.0),
        red_cell=Dye(0.09, 0.0),
        macrophage=Dye(0.06, 0.0, 1.9),
        monocyte=Dye(0.05, 0.0, 0.8),
        other_cell=Dye(0.05, 0.0),
        nuclei=0.55,
        nuclear_eosin=0.0,
        veil=0.9,
    ),
}


class Frame(NamedTuple):
    """The part of the tissue that is drawn: its corner [um], pixels per um, height and width in pixels."""

    left: float
    top: float
    scale: float
    height: int
    width: int


class Outlines(NamedTuple):
    """Smooth outlines at tissue voxels, cut at 1/2: fibres of one colour never touch, so each colour is one layer, (colours, ny, nx)."""

    colour: NDArray[np.int64]  # by fibre, and -1 at the end, where NOBODY points
    living: Image
    territory: Image  # of fibres that do not fill their outline
    filled: Image  # living fibre of any colour, (ny, nx): its slope tells cells which way the gap runs, its height how narrow that is


class Spots(NamedTuple):
    """Ellipses: centre [um], half axes [um], angle of the long one, strength 0-1 of the dye."""

    x: Numbers
    y: Numbers
    long: Numbers
    short: Numbers
    angle: Numbers
    strength: Numbers


def colour(amounts: NDArray[np.floating]) -> Picture:
    """Dye amounts (3, h, w) -> red, green and blue (h, w, 3)."""
    picture = np.empty((*amounts.shape[1:], 3), np.uint8)
    for channel, (by_haematoxylin, by_eosin, by_dab) in enumerate(VECTORS.T.tolist()):
        density = amounts[HAEMATOXYLIN] * by_haematoxylin + amounts[EOSIN] * by_eosin + amounts[DAB] * by_dab
        picture[..., channel] = np.rint(255.0 * np.exp(-density))
    return picture


def unmix(picture: Picture) -> Numbers:
    """The inverse of `colour`: (h, w, 3) -> dye amounts (3, h, w), as colour deconvolution reads a scanned slide [ruifrok2001]."""
    density = -np.log(np.maximum(picture, 1) / 255.0)
    return np.moveaxis(density @ np.linalg.inv(VECTORS), -1, 0)


def section(tissue: Tissue, stain: str = "he", pixels_per_um: float = 1.0, crop: Box | None = None, seed: int = 0) -> Picture:
    """A simulated micrograph (h, w, 3). `stain` is a key of STAINS; `crop` in um; `seed` chooses the texture. ValueError as in `dyes`."""
    return colour(dyes(tissue, stain, pixels_per_um, crop, seed))


def dyes(tissue: Tissue, stain: str = "he", pixels_per_um: float = 1.0, crop: Box | None = None, seed: int = 0) -> Image:
    """Amounts of haematoxylin, eosin and DAB per pixel, (3, h, w). ValueError for an unknown stain or a crop outside the tissue."""
    if stain not in PALETTES:
        raise ValueError(f"stain: got {stain!r}, must be one of {', '.join(PALETTES)}")
    frame = _frame(tissue, pixels_per_um, crop)
    palette = PALETTES[stain]
    outlines = _outlines(tissue)
    slide, living = _ground(tissue, outlines, frame, palette, seed)
    _draw_vessels(slide, tissue, outlines, frame, palette)
    _draw_fibre_nuclei(slide, tissue, outlines, frame, palette)
    _draw_cells(slide, living, tissue, outlines, frame, palette)
    grain = _noise(tissue, frame, 1.3, seed, 7)
    slide[HAEMATOXYLIN] *= 1.0 + 0.10 * grain
    slide[DAB] *= 1.0 + 0.16 * grain
    return np.maximum(slide, 0.0)


def _frame(tissue: Tissue, pixels_per_um: float, crop: Box | None) -> Frame:
    width, height = size(tissue)
    left, top, right, bottom = crop if crop is not None else (0.0, 0.0, width, height)
    if not (0.0 <= left < right <= width and 0.0 <= top < bottom <= height):
        raise ValueError(f"crop: got {crop}, must lie within 0, 0, {width:g}, {height:g} um")
    if pixels_per_um <= 0.0:
        raise ValueError(f"pixels_per_um: got {pixels_per_um:g}, must be above 0")
    return Frame(left, top, pixels_per_um, max(1, round((bottom - top) * pixels_per_um)), max(1, round((right - left) * pixels_per_um)))


def _outlines(tissue: Tissue) -> Outlines:
    fibre, ground = tissue.voxels.fibre, tissue.voxels.ground
    colours = _colours(fibre, len(tissue.fibres.x))
    inside = (fibre != NOBODY) & (ground != Ground.VACATED)  # what a thin fibre has left looks like the tissue around it
    layer = colours[fibre]
    young = ground == Ground.REGENERATING
    mature = ground == Ground.FIBRE
    hollow = np.bincount(fibre[inside & ~(mature | young)], minlength=len(colours)) > 0
    open_outline = inside & hollow[fibre]
    living, territory, anyone = [], [], np.zeros(fibre.shape, np.float32)
    for number in range(int(colours.max(initial=-1)) + 1):
        mine = layer == number
        smooth = _blur(mine & mature, 1.1) + 1.15 * _blur(mine & young, 0.8)  # blurring shrinks small round outlines: 1.15 makes up for it
        outline = _blur(mine & open_outline, 1.1)
        living.append(smooth)
        territory.append(outline)
        anyone = np.maximum(anyone, smooth)
    if not living:
        living, territory = [anyone], [anyone]
    return Outlines(colours, np.stack(living), np.stack(territory), anyone)


def _colours(fibre: NDArray[np.int32], n_fibres: int) -> NDArray[np.int64]:
    """A colour per fibre, and -1 for NOBODY, such that fibres less than three voxels apart differ; greedily in the order of numbers."""
    pairs = [np.zeros(0, np.int64)]
    for dy in range(3):
        for dx in range(-2, 3):
            if dy == 0 and dx <= 0:
                continue
            one = fibre[: fibre.shape[0] - dy, max(0, -dx) : fibre.shape[1] - max(0, dx)]
            other = fibre[dy:, max(0, dx) : fibre.shape[1] - max(0, -dx)]
            touch = (one != other) & (one != NOBODY) & (other != NOBODY)
            low, high = np.minimum(one[touch], other[touch]), np.maximum(one[touch], other[touch])
            pairs.append(low.astype(np.int64) * n_fibres + high)
    near: list[list[int]] = [[] for _ in range(n_fibres)]
    for pair in np.unique(np.concatenate(pairs)).tolist():
        near[pair // n_fibres].append(pair % n_fibres)
        near[pair % n_fibres].append(pair // n_fibres)
    colours = [-1] * n_fibres
    for f in range(n_fibres):
        taken = {colours[g] for g in near[f]}
        colours[f] = next(c for c in range(n_fibres) if c not in taken)
    return np.array([*colours, NOBODY], np.int64)


def _blur(mask: NDArray[np.generic], sigma: float) -> Image:
    return np.asarray(ndimage.gaussian_filter(np.asarray(mask, np.float32), sigma, mode="nearest", truncate=3.0), np.float32)


def _enlarge(image: Image, spacing: float, frame: Frame) -> Image:
    """A grid of points `spacing` um apart, (ny, nx), seen at the pixels of the frame through cubic B-splines."""
    tall = _spline_rows(image, spacing, frame.top, frame.scale, frame.height)
    wide = _spline_rows(np.ascontiguousarray(tall.T), spacing, frame.left, frame.scale, frame.width)
    return np.ascontiguousarray(wide.T)


def _spline_rows(image: Image, spacing: float, start: float, scale: float, n_rows: int) -> Image:
    place = (start + (np.arange(n_rows) + 0.5) / scale) / spacing - 0.5
    below = np.floor(place).astype(np.int64)
    t = (place - below).astype(np.float32)[:, None]
    weights = ((1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6)
    rows = np.zeros((n_rows, image.shape[1]), np.float32)
    for k in range(4):
        rows += weights[k] * image[np.clip(below + k - 1, 0, len(image) - 1)]
    return rows


def _noise(tissue: Tissue, frame: Frame, grain: float, seed: int, layer: int) -> Image:
    """Smooth noise, mean 0 and standard deviation near 1, with spots about `grain` um wide, fixed to the tissue and not to the frame."""
    width, height = size(tissue)
    rows, columns = np.arange(int(height / grain) + 2), np.arange(int(width / grain) + 2)
    coarse = np.sqrt(12.0) * (_lot(rows[:, None] * 2**24 + columns, 100 + layer + 1000 * seed) - 0.5)
    return 2.0 * _enlarge(coarse.astype(np.float32), grain, frame)  # a spline halves the deviation of white noise


def _ground(tissue: Tissue, outlines: Outlines, frame: Frame, palette: Palette, seed: int) -> tuple[Image, Image]:
    """The section without nuclei, dyes (3, h, w), and the share of each pixel that is living fibre (h, w)."""
    voxels = tissue.voxels
    edge = 17.5 * min(frame.scale, 1.25)  # slope that makes the edge of a fibre about one pixel, or 0.8 um, wide
    waviness = 0.05 * _noise(tissue, frame, 12.0, seed, 0)
    fine = _noise(tissue, frame, 1.6, seed, 1)
    middle = _noise(tissue, frame, 5.0, seed, 2)
    broad = _noise(tissue, frame, 25.0, seed, 3)

    slide = _connective(tissue, frame, palette, broad, fine, seed)
    if outlines.territory.any():
        territory, _ = _topmost(outlines.territory, outlines.colour, voxels.fibre, frame)
        inside = np.clip((territory - 0.5 - waviness) * edge + 0.5, 0.0, 1.0)
        scar = _enlarge(_blur(voxels.ground == Ground.SCAR, 0.7), VOXEL, frame)
        web = np.clip(0.7 + 0.5 * middle + 0.3 * fine, 0.0, 2.5)
        _lay(slide, inside * (1.0 - np.minimum(1.0, 1.3 * scar)), palette.cleared, web)
        _lay(slide, 0.85 * np.exp(-(((territory - 0.5 - waviness) / 0.085) ** 2)) * (1.0 - scar), palette.lamina)
        debris = _enlarge(_blur(np.where(voxels.ground == Ground.NECROTIC, voxels.debris, 0.0), 0.6), VOXEL, frame)
        mottle = 0.75 * middle + 0.5 * fine
        fragments = np.clip(1.6 * (mottle + 3.0 * debris - 1.15) + 0.5, 0.0, 1.0) * np.clip(4.0 * debris, 0.0, 1.0)
        _lay(slide, inside * fragments, palette.debris, np.clip(0.75 + 0.42 * mottle, 0.25, 1.5))
        fat = _enlarge(_blur(voxels.ground == Ground.FAT, 0.6), VOXEL, frame)
        drop = np.clip((fat - 0.4) * 8.0 + 0.5, 0.0, 1.0)
        _lay(slide, drop, palette.fat)
        outline = np.maximum(np.exp(-(((fat - 0.4) / 0.1) ** 2)), drop * np.exp(-((broad / 0.09) ** 2)))  # of groups, and between cells
        _lay(slide, 0.8 * outline, palette.lamina)

    smooth, owner = _topmost(outlines.living, outlines.colour, voxels.fibre, frame)
    living = np.clip((smooth - 0.5 - waviness) * edge + 0.5, 0.0, 1.0)
    if len(tissue.fibres.x):
        tint = _fibre_dyes(tissue, palette).astype(np.float32)
        grainy = 1.0 + 0.045 * fine + 0.03 * middle + 0.03 * broad
        young = (tissue.fibres.state == FibreState.REGENERATING)[owner]
        grainy += np.where(young, 0.05 * middle + 0.05 * fine, 0.0).astype(np.float32)
        for dye in range(3):
            slide[dye] += living * (tint[dye][owner] * grainy - slide[dye])
    return slide, living.astype(np.float32)


def _topmost(layers: Image, colours: NDArray[np.int64], fibre: NDArray[np.int32], frame: Frame) -> tuple[Image, NDArray[np.int32]]:
    """The highest of the layers at each pixel and the fibre it belongs to (of the nearest voxel of that colour)."""
    rows = np.clip(((frame.top + (np.arange(frame.height) + 0.5) / frame.scale) / VOXEL).astype(np.int64), 0, fibre.shape[0] - 1)
    columns = np.clip(((frame.left + (np.arange(frame.width) + 0.5) / frame.scale) / VOXEL).astype(np.int64), 0, fibre.shape[1] - 1)
    best = np.zeros((frame.height, frame.width), np.float32)
    owner = np.zeros((frame.height, frame.width), np.int32)
    layer = colours[fibre]
    for number in range(len(layers)):
        if not layers[number].any():
            continue
        nearest = ndimage.distance_transform_edt(layer != number, return_distances=False, return_indices=True)
        mine = fibre[nearest[0], nearest[1]]
        here = _enlarge(layers[number], VOXEL, frame)
        higher = here > best
        np.copyto(best, here, where=higher)
        np.copyto(owner, mine[rows][:, columns], where=higher)
    return best, owner


def _lay(slide: Image, cover: Image, dye: Dye, texture: Image | float = 1.0) -> None:
    """Put a structure on top: `cover` is its share of each pixel, `texture` multiplies its dyes. Writes `slide`."""
    for number, amount in enumerate(dye):
        slide[number] += cover * (amount * texture - slide[number])


def _connective(tissue: Tissue, frame: Frame, palette: Palette, broad: Image, fine: Image, seed: int) -> Image:
    """Endomysium, perimysium and fascia, and scars: pale, darker with collagen, fibrils along the edges of fibres, wavy in scars."""
    voxels = tissue.voxels
    ground = voxels.ground
    matrix = np.isin(ground, (Ground.CONNECTIVE, Ground.SCAR, Ground.CLEARED, Ground.VACATED))
    weight = _blur(matrix, 1.0)
    collagen = np.where(weight > 0.01, _blur(np.where(matrix, voxels.collagen, 0.0), 1.0) / np.maximum(weight, 0.01), 1.0)
    density = _enlarge((collagen / (collagen + 2.0)).astype(np.float32), VOXEL, frame)
    depth = ndimage.distance_transform_edt(voxels.region != Region.FASCICLE).astype(np.float32) * np.float32(VOXEL)
    fibrous = _enlarge(_blur(voxels.region != Region.FASCICLE, 0.9), VOXEL, frame)
    scar = _enlarge(_blur(ground == Ground.SCAR, 0.7), VOXEL, frame)

    x = (frame.left + (np.arange(frame.width, dtype=np.float32) + 0.5) / frame.scale)[None, :]
    y = (frame.top + (np.arange(frame.height, dtype=np.float32) + 0.5) / frame.scale)[:, None]
    crimp = _noise(tissue, frame, 11.0, seed, 4)
    wide = _noise(tissue, frame, 70.0, seed, 5)
    along = (
        np.sin(_enlarge(depth, VOXEL, frame) * 0.9 + 2.6 * wide + 1.4 * broad + 0.8 * crimp) * np.clip(0.75 + 0.4 * crimp, 0.0, 1.5)
        + 0.5 * fine
    )
    swirl = np.sin((0.45 * x + 0.75 * y) * 0.9 + 3.5 * broad + 1.5 * crimp) + 0.5 * fine
    streaks = fibrous * along * 0.42 + np.minimum(scar, 1.0) * (1.0 - fibrous) * swirl * 0.36 + (1.0 - fibrous) * fine * 0.12
    density = (density + 0.16 * fibrous) * np.clip(1.0 + streaks, 0.08, 2.0)
    return np.stack([base + density * added for base, added in zip(palette.connective, palette.collagen, strict=True)]).astype(np.float32)


def _fibre_dyes(tissue: Tissue, palette: Palette) -> Numbers:
    """Dyes of the living part of each fibre, (3, fibres): young ones basophilic until they fill their outline; each a little different."""
    fibres = tissue.fibres
    own = np.arange(len(fibres.x))
    filled = np.clip(fibres.living / np.maximum(fibres.territory, 1), 0.0, 1.0)
    young = np.array(palette.young_fibre)[:, None] * (1.0 - filled) + np.array(palette.fibre_end_of_regeneration)[:, None] * filled
    mature = np.repeat(np.array(palette.fibre)[:, None], len(own), axis=1)
    shade = 0.93 + 0.14 * _lot(own, 1)
    return np.where(fibres.state == FibreState.REGENERATING, young, mature) * shade


def _lot(who: NDArray[np.integer], salt: int) -> Numbers:
    """A number in [0, 1) that belongs to an id (splitmix64): looks, not model chance."""
    z = who.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64((salt * 0xD1B54A32D192ED03) & 0xFFFFFFFFFFFFFFFF)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53


def _paint(slide: Image, frame: Frame, spots: Spots, dye: Dye, blobby: Numbers | None = None, keep_off: Image | None = None) -> None:
    """Draw ellipses, with lobed outlines where `blobby` gives each a phase, but not where `keep_off` is 1. Writes `slide`."""
    reach = 1.45 * float(spots.long.max(initial=0.0)) + 1.5 / frame.scale
    column, row = (spots.x - frame.left) * frame.scale, (spots.y - frame.top) * frame.scale
    margin = reach * frame.scale
    seen = (column > -margin) & (column < frame.width + margin) & (row > -margin) & (row < frame.height + margin)
    if not seen.any():
        return
    steps = np.arange(-int(margin) - 1, int(margin) + 2)
    spots = Spots(*(value[seen] for value in spots))
    columns = (np.floor(column[seen]).astype(np.int64))[:, None, None] + steps[None, None, :]
    rows = (np.floor(row[seen]).astype(np.int64))[:, None, None] + steps[None, :, None]
    dx = ((columns + 0.5 - column[seen][:, None, None]) / frame.scale).astype(np.float32)
    dy = ((rows + 0.5 - row[seen][:, None, None]) / frame.scale).astype(np.float32)
    long, short, angle, strength = (value.astype(np.float32)[:, None, None] for value in spots[2:])
    u = dx * np.cos(angle) + dy * np.sin(angle)
    v = dy * np.cos(angle) - dx * np.sin(angle)
    radius = np.sqrt((u / long) ** 2 + (v / short) ** 2)
    if blobby is not None:
        phase = (2 * np.pi * blobby[seen]).astype(np.float32)[:, None, None]
        around = np.arctan2(v, u)
        radius = radius / (1.0 + 0.17 * np.sin(2 * around + phase) + 0.12 * np.sin(3 * around + 2.3 * phase))
    softness = np.float32(max(0.7, 1.0 / frame.scale))
    cover = strength * np.clip((1.0 - radius) * short / softness + 0.5, 0.0, 1.0)
    hit = (cover > 0.004) & (columns >= 0) & (columns < frame.width) & (rows >= 0) & (rows < frame.height)
    flat = (rows * frame.width + columns)[hit]
    layer = np.zeros(frame.height * frame.width, np.float32)
    np.maximum.at(layer, flat, cover[hit])
    touched = np.flatnonzero(layer > 0.0)
    share = layer[touched]
    if keep_off is not None:
        share = share * (1.0 - keep_off.reshape(-1)[touched])
    for number, amount in enumerate(dye):
        plane = slide[number].reshape(-1)
        plane[touched] += share * (np.float32(amount) - plane[touched])


def _spots(
    x: Numbers, y: Numbers, long: Numbers | float, short: Numbers | float, angle: Numbers | float, strength: Numbers | float
) -> Spots:
    return Spots(x, y, *(np.broadcast_to(np.asarray(value, np.float64), x.shape) for value in (long, short, angle, strength)))


def _nucleus(palette: Palette, haematoxylin: float) -> Dye:
    return Dye(palette.nuclei * haematoxylin, palette.nuclear_eosin)


def _look_up(field: Image, x: Numbers, y: Numbers) -> Numbers:
    """A field at tissue voxels (ny, nx), read between voxel centres at points [um]."""
    return np.asarray(ndimage.map_coordinates(field, [y / VOXEL - 0.5, x / VOXEL - 0.5], np.float64, order=1, mode="nearest"))


def _along_the_gap(field: Image, x: Numbers, y: Numbers) -> Numbers:
    """Angle of the outline nearest to each point: across the slope of the field."""
    step = VOXEL
    slope_x = _look_up(field, x + step, y) - _look_up(field, x - step, y)
    slope_y = _look_up(field, x, y + step) - _look_up(field, x, y - step)
    return np.arctan2(slope_x, -slope_y)


def _draw_vessels(slide: Image, tissue: Tissue, outlines: Outlines, frame: Frame, palette: Palette) -> None:
    """Capillaries: a thin wall, an open lumen or a red cell in it, one endothelial nucleus; closed ones without lumen. Writes `slide`.

    Sprouts that carry blood stand beside their capillary; venules are wider.
    """
    vessels = tissue.vessels
    own = np.flatnonzero((vessels.kind != VesselKind.SPROUT) | vessels.perfused)
    x, y, perfused, kind = vessels.x[own], vessels.y[own], vessels.perfused[own], vessels.kind[own]
    side = 2 * np.pi * _lot(own, 11)
    angle = _along_the_gap(outlines.filled, x, y)
    away = np.where(kind == VesselKind.SPROUT, np.where(_lot(own, 14) < 0.5, 5.5, -5.5), 0.0)
    x, y = x + away * np.cos(angle), y + away * np.sin(angle)
    wide = np.where(kind == VesselKind.VENULE, 2.2, 1.0)
    _paint(slide, frame, _spots(x, y, wide * np.where(perfused, 3.3, 2.4), wide * np.where(perfused, 2.8, 1.5), angle, 0.85), palette.wall)
    lumen = perfused & (_lot(own, 12) < 0.7)
    inner = np.where(kind == VesselKind.VENULE, 2.7, 1.0)
    _paint(slide, frame, _spots(x[lumen], y[lumen], 2.1 * inner[lumen], 1.7 * inner[lumen], angle[lumen], 1.0), palette.lumen)
    red = perfused & ~lumen
    _paint(slide, frame, _spots(x[red], y[red], 2.2 * inner[red], 1.8 * inner[red], angle[red], 0.9), palette.red_cell)
    nucleated = _lot(own, 13) < 0.45  # an endothelial nucleus is shorter than the section is apart from the next
    at_x, at_y = x + wide * 2.9 * np.cos(side), y + wide * 2.5 * np.sin(side)
    flat = _spots(at_x[nucleated], at_y[nucleated], 2.4, 0.95, side[nucleated] + np.pi / 2, 0.9)
    _paint(slide, frame, flat, _nucleus(palette, 1.35))


def _draw_fibre_nuclei(slide: Image, tissue: Tissue, outlines: Outlines, frame: Frame, palette: Palette) -> None:
    """Nuclei of muscle fibres: flat at the rim of mature ones; in the middle of regenerating and regenerated ones. Writes `slide`."""
    fibres, voxels = tissue.fibres, tissue.voxels
    n_fibres = len(fibres.x)
    alive = ((voxels.ground == Ground.FIBRE) | (voxels.ground == Ground.REGENERATING)) & (voxels.fibre != NOBODY)
    rows, columns = np.nonzero(alive)
    owner = voxels.fibre[alive]
    voxel_count = np.bincount(owner, minlength=n_fibres)
    divisor = np.maximum(voxel_count, 1)
    x = (np.bincount(owner, columns, n_fibres) / divisor + 0.5) * VOXEL
    y = (np.bincount(owner, rows, n_fibres) / divisor + 0.5) * VOXEL
    radius = np.sqrt(voxel_count / np.pi) * VOXEL
    young = fibres.state == FibreState.REGENERATING

    slots = 6
    f = np.repeat(np.flatnonzero((voxel_count > 6) & ~young), slots)
    slot = np.tile(np.arange(slots), len(f) // slots) + slots * f
    shown = _lot(slot, 21) < np.where(fibres.central_nuclei[f], 0.35, 1.0) * 2 * np.pi * radius[f] / (slots * 65.0)  # one per 65 um of rim
    f, slot = f[shown], slot[shown]
    angle = 2 * np.pi * (slot % slots + 0.8 * _lot(slot, 22)) / slots
    reach = np.arange(0.5, 120.0, 1.0)
    ray_x, ray_y = x[f][:, None] + np.cos(angle)[:, None] * reach, y[f][:, None] + np.sin(angle)[:, None] * reach
    layer = np.broadcast_to(outlines.colour[f][:, None], ray_x.shape)
    field = ndimage.map_coordinates(outlines.living, [layer, ray_y / VOXEL - 0.5, ray_x / VOXEL - 0.5], order=1, mode="nearest")
    rim = reach[np.argmax(field < 0.56, axis=1)] - 1.2
    rim_x, rim_y = x[f] + np.cos(angle) * rim, y[f] + np.sin(angle) * rim
    width, height = size(tissue)
    within = (rim > 2.0) & (rim_x > 0) & (rim_x < width) & (rim_y > 0) & (rim_y < height)
    f, slot, rim_x, rim_y = f[within], slot[within], rim_x[within], rim_y[within]
    tangent = np.zeros(len(f))
    for number in range(len(outlines.living)):
        mine = outlines.colour[f] == number
        tangent[mine] = _along_the_gap(outlines.living[number], rim_x[mine], rim_y[mine])
    flat = _spots(rim_x, rim_y, 2.6 + 1.6 * _lot(slot, 23), 1.15 + 0.4 * _lot(slot, 24), tangent, 0.95)
    _paint(slide, frame, flat, _nucleus(palette, 1.45))

    central = np.flatnonzero((young | fibres.central_nuclei) & (voxel_count > 0))
    second = central[(_lot(central, 25) < 0.3) & (radius[central] > 9.0)]
    who = np.concatenate([central, second])
    again = np.arange(len(who)) >= len(central)
    away = np.where(again, 0.45, 0.12) * radius[who] * (0.4 + _lot(who, 26))
    direction = 2 * np.pi * _lot(who, 27)
    half = np.minimum(2.4 + 1.0 * _lot(who, 28), 0.55 * np.maximum(radius[who], 2.0))
    at_x, at_y = x[who] + np.cos(direction) * away, y[who] + np.sin(direction) * away
    _paint(slide, frame, _spots(at_x, at_y, 1.25 * half, half, 2 * np.pi * _lot(who, 29), 0.95), _nucleus(palette, 1.15))
    _paint(slide, frame, _spots(at_x + 0.3, at_y, 0.8, 0.7, 0.0, 0.8), _nucleus(palette, 1.9))  # a nucleolus


def _draw_cells(slide: Image, living: Image, tissue: Tissue, outlines: Outlines, frame: Frame, palette: Palette) -> None:
    """Every cell with the nucleus of its kind and, where it has much, its cytoplasm, squeezed where the gap is narrow. Writes `slide`."""
    cells = in_use(tissue)
    squeeze = np.clip(_look_up(outlines.filled, cells.x, cells.y) / 0.4, 0.0, 1.0)
    free_angle = 2 * np.pi * _lot(cells.id, 41)
    angle = np.where(squeeze > 0.35, _along_the_gap(outlines.filled, cells.x, cells.y), free_angle)
    looks = _lot(cells.id, 42)
    spindle = (cells.kind == Kind.FIBROBLAST) | (cells.kind == Kind.MYOFIBROBLAST)
    in_bands = spindle & (squeeze <= 0.35)  # lie along the fibrils of perimysium and fascia, more or less
    fascicles = _blur(tissue.voxels.region == Region.FASCICLE, 2.5)
    along_bands = _along_the_gap(fascicles, cells.x[in_bands], cells.y[in_bands])
    angle[in_bands] = along_bands + 1.2 * (_lot(cells.id[in_bands], 43) - 0.5)

    for kind, dye, radius in (
        (Kind.NEUTROPHIL, palette.other_cell, 3.7),
        *((kind, palette.other_cell, 3.2) for kind in LYMPHOCYTES),
        (Kind.MONOCYTE, palette.monocyte, 4.7),
        (Kind.MYOCYTE, palette.young_fibre, 4.5),
        (Kind.MACROPHAGE, palette.macrophage, 5.6),
    ):
        one = cells.kind == kind
        swollen = radius + np.minimum(3.0, np.cbrt(np.maximum(cells.load[one], 0.0)) / 4.0)
        long, short = swollen * (1.15 + 0.45 * squeeze[one]), swollen * (0.95 - 0.4 * squeeze[one])
        body = _spots(cells.x[one], cells.y[one], long, short, angle[one], palette.veil)
        _paint(slide, frame, body, dye, looks[one], living)

    for kind, haematoxylin, long_axis, short_axis in (
        (Kind.MONOCYTE, 1.3, 3.0, 2.3),
        (Kind.MACROPHAGE, 1.15, 3.1, 2.3),
        *((kind, 1.75, 2.35, 2.25) for kind in LYMPHOCYTES),
        (Kind.QUIESCENT_SATELLITE, 1.6, 3.6, 1.0),
        (Kind.ACTIVATED_SATELLITE, 1.3, 3.4, 1.9),
        (Kind.MYOCYTE, 1.2, 3.6, 2.2),
        (Kind.FIBROBLAST, 1.35, 4.6, 0.9),
        (Kind.MYOFIBROBLAST, 1.25, 5.2, 1.35),
        (Kind.TRACER, 1.0, 1.5, 1.5),
    ):
        one = cells.kind == kind
        narrow = 1.0 - 0.3 * squeeze[one] * (kind in (Kind.MONOCYTE, Kind.MACROPHAGE))
        scale = 0.9 + 0.2 * looks[one]
        nucleus = _spots(cells.x[one], cells.y[one], long_axis * scale / narrow**0.5, short_axis * scale * narrow, angle[one], 0.95)
        _paint(slide, frame, nucleus, _nucleus(palette, haematoxylin))
    _draw_granulocytes(slide, cells, looks, frame, palette)


def _draw_granulocytes(slide: Image, cells: Cells, looks: Numbers, frame: Frame, palette: Palette) -> None:
    """Neutrophils with two or three lobes of nucleus on a curve; apoptotic ones shrunken to dense balls. Writes `slide`."""
    for lobe in range(3):
        one = (cells.kind == Kind.NEUTROPHIL) & ((lobe < 2) | (looks < 0.6))
        turn = 2 * np.pi * (looks[one] + lobe / 3.4)
        x, y = cells.x[one] + 1.75 * np.cos(turn), cells.y[one] + 1.75 * np.sin(turn)
        _paint(slide, frame, _spots(x, y, 1.55, 1.2, turn + np.pi / 2, 1.0), _nucleus(palette, 1.8))
    one = cells.kind == Kind.APOPTOTIC_NEUTROPHIL
    _paint(
        slide,
        frame,
        _spots(cells.x[one], cells.y[one], 2.6, 2.4, 0.0, 0.8),
        Dye(palette.other_cell.haematoxylin, 1.7 * palette.other_cell.eosin),
    )
    _paint(slide, frame, _spots(cells.x[one], cells.y[one], 1.35, 1.25, 0.0, 1.0), _nucleus(palette, 2.2))


def day_label(hours: float) -> str:
    """`day 3` or `day 3.5` for a time since the start."""
    return f"day {round(hours / 24.0, 2):g}"


def scale_bar(width: float) -> float:
    """Length [um] of the bar under a picture `width` um wide: 100 or 50, shorter only where 50 would be more than a third of it."""
    return next((length for length in (100.0, 50.0, 20.0, 10.0) if 3.0 * length <= width), 5.0)


def fitted(text: str, pixels: int, points: float) -> str:
    """The text, cut with an ellipsis where bold letters of this size would run out of the sheet."""
    letters = int(pixels / (0.83 * points))
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"


def figure(
    tissue: Tissue,
    hours: float,
    stain: str = "he",
    title: str = "",
    pixels_per_um: float = 1.0,
    crop: Box | None = None,
    seed: int = 0,
) -> Figure:
    """A section pixel by pixel; above it the day and `title`, below it the stain, the word "simulated" and a scale bar.

    ValueError as in `dyes`.
    """
    picture = section(tissue, stain, pixels_per_um, crop, seed)
    height, width = picture.shape[:2]
    sheet_width, sheet_height = max(width, NARROWEST), height + 2 * 34
    sheet = Figure(figsize=(sheet_width / DPI, sheet_height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(sheet)
    left = (sheet_width - width) // 2
    axes = sheet.add_axes((left / sheet_width, 34 / sheet_height, width / sheet_width, height / sheet_height))
    axes.imshow(picture, interpolation="none", aspect="auto")
    axes.set_axis_off()
    heading = day_label(hours) + (f": {title}" if title else "")
    sheet.text(6 / sheet_width, 1 - 17 / sheet_height, fitted(heading, sheet_width, 11), fontsize=11, va="center", fontweight="bold")
    sheet.text(6 / sheet_width, 17 / sheet_height, f"{STAINS[stain]}, simulated", fontsize=10, va="center")
    add_scale_bar(sheet, width / pixels_per_um, pixels_per_um, sheet_width - 6)
    return sheet


def add_scale_bar(sheet: Figure, shown: float, pixels_per_um: float, right: float) -> None:
    """Draw the bar for a picture `shown` um wide into the lower margin, ending `right` pixels from the left. Writes `sheet`."""
    length = scale_bar(shown)
    sheet_width, sheet_height = sheet.get_size_inches() * sheet.dpi
    long = round(length * pixels_per_um)
    corner = (round(right - long) / sheet_width, 15 / sheet_height)
    bar = Rectangle(corner, long / sheet_width, 5 / sheet_height, transform=sheet.transFigure, color="black", lw=0, antialiased=False)
    bar.set_gid("scale-bar")
    sheet.add_artist(bar)
    sheet.text((right - long - 8) / sheet_width, 17 / sheet_height, f"{length:g} µm", fontsize=10, va="center", ha="right")


def save(sheet: Figure, path: Path | str) -> Path:
    """Write a figure as PNG, SVG or PDF by the ending of `path`, PNG without one; no time, host or version goes into the file.

    Returns the path written; ValueError for another ending, OSError where it cannot be written.
    """
    path = Path(path)
    path = path if path.suffix else path.with_suffix(".png")
    options: dict[str, dict[str, Any]] = {
        ".png": {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 3}},  # noise hardly gets smaller with more
        ".svg": {"metadata": {"Date": None, "Creator": None}},
        ".pdf": {"metadata": {"CreationDate": None, "Creator": None, "Producer": None}},
    }
    ending = path.suffix.lower()
    if ending not in options:
        raise ValueError(f"{path}: got the ending {path.suffix}, must be one of {', '.join(options)}")
    with rc_context({"svg.hashsalt": "imam-sim"}):
        sheet.savefig(path, dpi=sheet.dpi, **options[ending])
    return path
