"""Curves of a run and contact sheets of its sections, as figures that no window is needed for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from imam_sim.model.state import Tissue, size
from imam_sim.model.treatment import share_of_effect
from imam_sim.show import histology
from imam_sim.show.histology import save
from imam_sim.study import store
from imam_sim.study.scenario import Scenario, Treat
from imam_sim.study.treatment import Given, drug_of

Numbers = NDArray[np.float64]

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"  # told apart by colour-blind readers (Okabe, Ito)
YELLOW, BLUE, VERMILION, PURPLE = "#D5C711", "#0072B2", "#D55E00", "#CC79A7"

COLOURS = {
    "neutrophils": VERMILION,
    "apoptotic_neutrophils": YELLOW,
    "monocytes": ORANGE,
    "macrophages": BLACK,
    "cd4": SKY,
    "regulatory_t": GREEN,
    "cd8": VERMILION,
    "b_cells": PURPLE,
    "macrophages_fascia": ORANGE,
    "macrophage_clustering": BLACK,
    "perifascicular_area": BLUE,
    "macrophages_m1": VERMILION,
    "macrophages_m2": BLUE,
    "inflammatory_level": VERMILION,
    "repair_level": BLUE,
    "satellites_quiescent": SKY,
    "satellites_activated": GREEN,
    "myocytes": PURPLE,
    "fibroblasts": ORANGE,
    "myofibroblasts": VERMILION,
    "fibres_intact": BLUE,
    "fibres_necrotic": VERMILION,
    "fibres_regenerating": PURPLE,
    "central_nuclei": GREEN,
    "necrosis": VERMILION,
    "open_space": SKY,
    "scar": ORANGE,
    "fat": YELLOW,
    "fibre_area": BLUE,
    "regenerated_area": PURPLE,
    "collagen": ORANGE,
    "perfused_share": VERMILION,
    "capillaries": BLUE,
    "complement_necrotic": VERMILION,
    "complement_living": PURPLE,
    "complement_capillaries": ORANGE,
    "memory": SKY,
    "autoantibody": BLACK,
    "blood_monocytes": YELLOW,
    "complement": GREEN,
    "strength": BLACK,
    "damp": BLACK,
    "ccl2": ORANGE,
    "mcsf": PURPLE,
    "tnf": VERMILION,
    "ifn_gamma": BLUE,
    "il1b": SKY,
    "il6": GREEN,
    "il4": SKY,
    "il10": BLUE,
    "tgf_beta": ORANGE,
    "igf1": GREEN,
    "hgf": PURPLE,
    "vegf": VERMILION,
    "creatine_kinase": BLACK,
}
DASHED = {"macrophages", "central_nuclei", "apoptotic_neutrophils", "satellites_quiescent", "regenerated_area", "blood_monocytes", "mcsf"}

WORDS = {
    "macrophages": "macrophages, all",
    "macrophages_m1": "mostly inflammatory (M1)",
    "macrophages_m2": "mostly repair (M2)",
    "inflammatory_level": "inflammatory (M1)",
    "repair_level": "repair (M2)",
    "macrophages_fascia": "of perimysium and fascia",
    "macrophage_clustering": "clustering of macrophages",
    "perifascicular_area": "area of fibres at the fascicle's edge",
    "cd4": "CD4 T cells",
    "regulatory_t": "regulatory T cells",
    "cd8": "CD8 T cells",
    "b_cells": "B cells",
    "complement_necrotic": "complement on dead fibre",
    "complement_living": "complement on living fibre",
    "complement_capillaries": "complement on capillaries",
    "complement": "blood complement",
    "central_nuclei": "with central nuclei",
    "damp": "damage (DAMP)",
    "ccl2": "CCL2",
    "mcsf": "M-CSF",
    "tnf": "TNF-α",
    "ifn_gamma": "IFN-γ",
    "il1b": "IL-1β",
    "il6": "IL-6",
    "il4": "IL-4",
    "il10": "IL-10",
    "tgf_beta": "TGF-β",
    "igf1": "IGF-1",
    "hgf": "HGF",
    "vegf": "VEGF",
}


class Panel(NamedTuple):
    """One pair of axes: its heading, what stands on the vertical axis, what is drawn, whether a wide range is drawn on a log scale."""

    title: str
    unit: str
    outcomes: tuple[str, ...]
    log_if_wide: bool = False


PANELS = (
    Panel("Leukocytes", "cells per mm²", ("neutrophils", "apoptotic_neutrophils", "monocytes", "macrophages", "cd4")),
    Panel("Lymphocytes", "cells per mm²", ("cd4", "regulatory_t", "cd8", "b_cells")),
    Panel("Macrophages by what dominates", "cells per mm²", ("macrophages", "macrophages_m1", "macrophages_m2", "macrophages_fascia")),
    Panel("Macrophage activation", "mean level, 0 to 1", ("inflammatory_level", "repair_level")),
    Panel("Satellite cell lineage", "cells per mm²", ("satellites_quiescent", "satellites_activated", "myocytes")),
    Panel("Fibroblasts", "cells per mm²", ("fibroblasts", "myofibroblasts")),
    Panel("Pattern", "relative to an even one", ("macrophage_clustering", "perifascicular_area")),
    Panel("Fibres", "share of fibres", ("fibres_intact", "fibres_necrotic", "fibres_regenerating", "central_nuclei")),
    Panel("Fibre area", "share of fibre territory", ("fibre_area", "regenerated_area", "necrosis", "open_space", "scar", "fat")),
    Panel("Damage and inflammatory signals", "ng/mL", ("damp", "ccl2", "tnf", "ifn_gamma", "il1b", "il6"), True),
    Panel("Repair and growth signals", "ng/mL", ("il4", "il10", "tgf_beta", "igf1", "hgf", "vegf", "mcsf"), True),
    Panel("Creatine kinase in blood", "U/L", ("creatine_kinase",), True),
    Panel(
        "Complement, antibody and memory",
        "0 to 1",
        ("complement_necrotic", "complement_living", "complement_capillaries", "autoantibody", "memory"),
    ),
    Panel(
        "Matrix, vessels and blood", "relative to health", ("collagen", "capillaries", "perfused_share", "blood_monocytes", "complement")
    ),
    Panel("Strength", "share of health", ("strength",)),
)
COURSES = "Treatment"
ROW, EDGES = 0.32, 0.75  # inches: a course, and what stands around all of them
FILLED = 0.85  # of the height of a row, by a full effect or the largest dose
WIDE = 30.0  # largest over smallest value from which a log scale is drawn
DEEPEST = 1e-4  # of the largest value: a log scale does not go lower


class CourseDrawn(NamedTuple):
    """A drug over the time of a run: its doses, and how much of its effect is there."""

    title: str
    dose_times: Numbers  # h
    doses: Numbers  # in `unit`
    unit: str
    times: Numbers  # h
    shares: Numbers  # of the full effect, 0-1, at `times`; none of cells put into the muscle


def courses_of(scenario: Scenario, end: float) -> list[CourseDrawn]:
    """The drugs that a scenario gives up to a time [h], in the order of their first events; of their effects the first is shown."""
    given: dict[str, list[Given]] = {}
    for event in scenario.events:
        if isinstance(event, Treat):
            given.setdefault(event.drug, []).extend(dose for dose in scenario.given(event) if dose.at <= end)
    drawn = []
    for name, doses in given.items():
        treatment = scenario.treatments[name]
        drug = drug_of(treatment, doses, scenario.weight)
        times = np.linspace(0.0, end, 800) if drug.effects else np.zeros(0)
        first = drug.effects[0] if drug.effects else None
        shares = [share_of_effect(drug.level.at(float(hours)), first.half, first.steepness) for hours in times] if first else []
        sizes = np.array([dose.amount for dose in doses], np.float64)
        at = np.array([dose.at for dose in doses], np.float64)
        drawn.append(CourseDrawn(treatment.title, at, sizes, treatment.unit, times, np.array(shares, np.float64)))
    return drawn


def curves(times: Numbers, outcomes: Mapping[str, Numbers], title: str = "", courses: Sequence[CourseDrawn] = ()) -> Figure:
    """Every panel that has data, three in a row, below the courses of treatment where there are any.

    `times` in hours, `outcomes` by name, one value per time. KeyError where none fits.
    """
    panels = [panel for panel in PANELS if any(name in outcomes for name in panel.outcomes)]
    if not panels:
        raise KeyError("no outcome of PANELS among " + ", ".join(outcomes))
    rows = -(-len(panels) // 3)
    tall = len(courses) * ROW + EDGES if courses else 0.0
    sheet = Figure(figsize=(15.0, 2.6 * rows + 0.6 + tall), dpi=histology.DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(sheet)
    top: Figure | SubFigure | None = None
    below: Figure | SubFigure = sheet
    if courses:
        top, below = sheet.subfigures(2, 1, squeeze=False, height_ratios=(tall, 2.6 * rows))[:, 0]
    grid = below.subplots(rows, 3, squeeze=False)
    in_days = len(times) > 0 and float(times[-1]) > 48.0
    scale, label = (24.0, "time [d]") if in_days else (1.0, "time [h]")
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, panel, times / scale, outcomes)
        axes.set_xlabel(label)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    if top is not None:
        axes = top.subplots()
        _draw_courses(axes, courses, scale, float(times[-1]) / scale)
        axes.set_xlabel(label)
    sheet.suptitle(f"{histology.fitted(title, 1300, 13)} (simulated)" if title else "simulated", fontsize=13, fontweight="bold")
    return sheet


def _draw_courses(axes: Axes, courses: Sequence[CourseDrawn], scale: float, end: float) -> None:
    """One row a drug, the first on top: sticks for doses, an area for the share of its effect."""
    for number, course in enumerate(courses):
        foot = float(len(courses) - 1 - number)
        axes.axhline(foot, color="#BBBBBB", lw=0.7)
        if len(course.shares):
            axes.fill_between(course.times / scale, foot, foot + FILLED * course.shares, color=SKY, alpha=0.55, lw=0.0)
        if len(course.doses):
            most = float(course.doses.max())
            axes.vlines(course.dose_times / scale, foot, foot + FILLED * course.doses / most, color=BLACK, lw=1.0)
            axes.text(1.005, foot + 0.1, f"{most:.3g} {course.unit}", transform=axes.get_yaxis_transform(), fontsize=9, va="bottom")
    feet = [float(len(courses) - 1 - number) + FILLED / 2.0 for number in range(len(courses))]
    axes.set_yticks(feet, [histology.fitted(course.title, 330, 9) for course in courses], fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(0.0, len(courses))
    axes.set_xlim(-0.01 * end, 1.01 * end)
    axes.set_title(COURSES, fontsize=11, loc="left", fontweight="bold")
    axes.set_title("area: share of the full effect; sticks: doses, the largest at the right", fontsize=9, loc="right")
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_panel(axes: Axes, panel: Panel, times: Numbers, outcomes: Mapping[str, Numbers]) -> None:
    drawn = [name for name in panel.outcomes if name in outcomes]
    for name in drawn:
        label = WORDS.get(name, name.replace("_", " "))
        axes.plot(times, outcomes[name], color=COLOURS[name], lw=1.8, ls=(0, (4, 1.5)) if name in DASHED else "-", label=label)
    values = np.concatenate([np.asarray(outcomes[name], np.float64) for name in drawn])
    positive = values[np.isfinite(values) & (values > 0.0)]
    if panel.log_if_wide and len(positive) and positive.max() / positive.min() >= WIDE:
        axes.set_yscale("log")
        axes.set_ylim(max(positive.min(), DEEPEST * positive.max()) / 1.5, 2.0 * positive.max())
    else:
        axes.set_ylim(bottom=0.0)
    axes.set_title(panel.title, fontsize=11, loc="left", fontweight="bold")
    axes.set_ylabel(panel.unit)
    axes.grid(True, color="#E4E4E4", lw=0.7)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    if len(drawn) > 1:
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.03), borderaxespad=0.0, handlelength=1.8)


def sections(recorded: Sequence[tuple[float, Tissue]], stain: str = "he", title: str = "", crop: histology.Box | None = None) -> Figure:
    """A contact sheet of (hours, tissue) pairs at one place, by default the middle 500 um. ValueError without sections or as in `dyes`."""
    if not recorded:
        raise ValueError("sections: got none, must be at least one")
    crop = crop if crop is not None else _middle(recorded[0][1])
    shown = crop[2] - crop[0]
    pixels_per_um = 400.0 / shown
    pictures = [histology.section(tissue, stain, pixels_per_um, crop) for _, tissue in recorded]
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // 4)
    columns = -(-len(pictures) // rows)
    gap, head, margin = 8, 24, 34
    sheet_width = max(columns * (width + gap) + gap, histology.NARROWEST)
    sheet_height = rows * (height + head) + 2 * margin
    sheet = Figure(figsize=(sheet_width / histology.DPI, sheet_height / histology.DPI), dpi=histology.DPI, facecolor="white")
    FigureCanvasAgg(sheet)
    for place, ((hours, _), picture) in enumerate(zip(recorded, pictures, strict=True)):
        left = gap + (place % columns) * (width + gap)
        bottom = margin + (rows - 1 - place // columns) * (height + head)
        axes = sheet.add_axes((left / sheet_width, bottom / sheet_height, width / sheet_width, height / sheet_height))
        axes.imshow(picture, interpolation="none", aspect="auto")
        axes.set_axis_off()
        sheet.text((left + 2) / sheet_width, (bottom + height + 11) / sheet_height, histology.day_label(hours), fontsize=10, va="center")
    sheet.text(
        gap / sheet_width, 1 - 17 / sheet_height, histology.fitted(title, sheet_width, 12), fontsize=12, va="center", fontweight="bold"
    )
    sheet.text(gap / sheet_width, 17 / sheet_height, f"{histology.STAINS[stain]}, simulated", fontsize=10, va="center")
    histology.add_scale_bar(sheet, shown, pixels_per_um, sheet_width - gap)
    return sheet


def _middle(tissue: Tissue, side: float = 500.0) -> histology.Box:
    width, height = size(tissue)
    wide, tall = min(side, width), min(side, height)
    return (width - wide) / 2, (height - tall) / 2, (width + wide) / 2, (height + tall) / 2


def plot_run(run_folder: Path, out_folder: Path | None = None, stains: Sequence[str] = tuple(histology.STAINS)) -> list[Path]:
    """Draw a run's curves and sections into `out_folder`, by default `pictures` in the run's folder; the files written, in order.

    curves.png, sections.png in the first of `stains`, and for each recorded section he_day_XXX.png and cd68_day_XXX.png. What the store
    says of a damaged folder is raised as it is; OSError where nothing can be written.
    """
    run_folder = Path(run_folder)
    out_folder = Path(out_folder) if out_folder is not None else run_folder / "pictures"
    scenario = store.read_scenario(run_folder)
    title = scenario.title
    times, outcomes = store.read_outcomes(run_folder)
    courses = courses_of(scenario, float(times[-1])) if len(times) else []
    recorded = store.read_sections(run_folder)
    out_folder.mkdir(parents=True, exist_ok=True)
    written = [save(curves(times, outcomes, title, courses), out_folder / "curves.png")]
    for hours, tissue in recorded:
        for stain in stains:
            written.append(save(histology.figure(tissue, hours, stain, title), out_folder / f"{stain}_{_day_in_file_names(hours)}.png"))
    if recorded:
        written.append(save(sections(recorded, stains[0], title), out_folder / "sections.png"))
    return written


def _day_in_file_names(hours: float) -> str:
    """`day_003`, or `day_003_12h` within a day, so that names sort by time."""
    days, rest = divmod(round(hours, 2), 24.0)
    return f"day_{int(days):03d}" + (f"_{rest:g}h" if rest else "")
