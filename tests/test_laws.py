"""Every law against its equation, its limits and values worked out by hand; no law goes without these, nor without words."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from imam_sim.model.initial import make_tissue
from imam_sim.model.params import (
    Antibody,
    Blood,
    Cd4,
    Cd8,
    Collagen,
    Complement,
    Engulfment,
    FibreGrowth,
    FibreInjury,
    Fibroblast,
    InflammatoryActivation,
    MacrophageDeath,
    MonocyteEntry,
    Motility,
    Myocyte,
    Neutrophil,
    Parameters,
    RepairActivation,
    Satellite,
    SatelliteActivation,
    SatelliteDifferentiation,
    SatelliteDivision,
    Vessel,
)
from imam_sim.model.rules import antibody, blood, fibre, fibroblast, macrophage, motion, recruitment, satellite, t_cell, vessel

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "src" / "imam_sim" / "model" / "rules"
HUGE = 1e15
LN2 = math.log(2.0)


def rise(level: float, half: float) -> float:
    return 1.0 / (1.0 + half / level) if level > 0.0 else 0.0


def steep(level: float, half: float) -> float:
    return 1.0 / (1.0 + (half / level) ** 2) if level > 0.0 else 0.0


class Law(NamedTuple):
    """A law, records with round numbers for it, and what it is said to be."""

    law: Callable[..., float]
    records: tuple[Any, ...]
    typical: tuple[float, ...]  # arguments at which every one of them matters
    directions: str  # + or - for each argument: where the law goes as the argument rises
    equation: Callable[..., float]  # of the arguments and the records, written from the docstring
    values: tuple[tuple[tuple[float, ...], float], ...]  # arguments and the value, by hand


ACTIVATION = InflammatoryActivation(damp_half=8.0, tnf_half=4.0, ifn_gain=3.0, ifn_half=2.0, il10_half=5.0, il4_half=10.0)
REPAIR = RepairActivation(load_half=7e3, il10_half=2.0, il4_half=4.0, ampk_drive=0.5, ifn_gain=2.0, ifn_half=2.0, damp_half=100.0)
ENGULFMENT = Engulfment(rate=1000.0, inflammatory_share=0.2, il10_gain=2.0, il10_half=1.0)
INJURY = FibreInjury(
    wear_rate=0.001,
    macrophage_rate=0.01,
    unarmed_share=0.2,
    ifn_half=3.0,
    tnf_free_share=0.5,
    tnf_half=0.5,
    il10_half=2.0,
    complement_rate=0.02,
)
DEATH = MacrophageDeath(rate=0.01, starved_rate=0.02, mcsf_half=1.0, tnf_rate=0.04, tnf_half=1.0)
NEUTROPHIL = Neutrophil(entry_rate=0.2, il1_half=0.5)
ENTRY = MonocyteEntry(stimulated_rate=0.1, basal_rate=0.01, ccr2_free_share=0.2, ccr2=0.5, ccl2_half=1.0)
CD4 = Cd4(
    tolerance=0.6,
    entry_rate=0.002,
    presentation_half=1000.0,
    division_rate=0.02,
    density_max=2000.0,
    suppression_half=500.0,
    memory_gain=2.0,
    reactivation_rate=0.0005,
    memory_half=300.0,
)
CD8 = Cd8(entry_rate=0.004, ifn_half=2.0)
ANTIBODY = Antibody(b_cell_half=200.0, elsewhere=0.2)
COMPLEMENT = Complement(deposition_rate=0.1, loss_rate=0.1, ifn_gain=2.0, ifn_half=3.0)
BINDING = 0.5  # of antibody
GROWTH = FibreGrowth(
    rate=0.02,
    regrowth_share=0.25,
    igf1_half=10.0,
    room_half=0.1,
    debris_half=0.1,
    perfusion_max=1.5,
    elongation_rate=0.04,
    wasting_rate=0.001,
    hypoxic_rate=0.01,
    supply_need=0.5,
)
WAKING = SatelliteActivation(hgf_half=0.1, tnf_half=6.0)
DIVISION = SatelliteDivision(rate=0.06, il6_half=3.0, crowding=8.0)
DIFFERENTIATION = SatelliteDifferentiation(rate=0.1, tnf_free_share=0.2, tnf_half=1.0, igf1_half=10.0, contact_half=2.0)
SATELLITE = Satellite(surplus_rate=0.04)
MYOCYTE = Myocyte(fusion_rate=0.1, room_half=0.1)
FIBROBLAST = Fibroblast(
    division_rate=0.04,
    satellite_half=2.0,
    tgf_half=2.0,
    hgf_half=0.5,
    crowding=4.0,
    return_rate=0.01,
    tnf_death_rate=0.04,
    tnf_half=1.0,
    tgf_rescue_half=4.0,
)
COLLAGEN = Collagen(
    turnover_rate=0.001, mmp_gain=0.5, scar_rate=0.002, scar_tgf_half=1.0, scar_fibroblast_half=2.0, fat_rate=0.004, fat_il4_half=0.5
)
VESSEL = Vessel(regrowth_rate=0.03, vegf_half=2.0, sprouting_rate=0.02, sprouting_half=2.0, pruning_rate=0.01)
BLOOD = Blood(
    monocyte_mobilisation=2.0,
    monocyte_ccl2_half=3.0,
    creatine_kinase_rest=100.0,
    creatine_kinase_half_life=36.0,
    creatine_kinase_release=10000.0,
)
MOTILITY = Motility(bias_max=0.8, attractant_half=1.0, difference_half=0.0625)

LAWS = (
    Law(
        macrophage.inflammatory_target,
        (ACTIVATION,),
        (8.0, 4.0, 2.0, 5.0, 10.0),
        "+++--",
        lambda damp, tnf, ifn, il10, il4, p: (
            1.0
            / (
                1.0
                + (1.0 + il10 / p.il10_half + il4 / p.il4_half)
                / (damp / p.damp_half + tnf / p.tnf_half + p.ifn_gain * rise(ifn, p.ifn_half))
            )
        ),
        (
            ((0.0, 0.0, 0.0, 5.0, 10.0), 0.0),
            ((8.0, 0.0, 0.0, 0.0, 0.0), 1 / 2),
            ((0.0, 4.0, 0.0, 0.0, 0.0), 1 / 2),
            ((0.0, 0.0, 2.0, 0.0, 0.0), 3 / 5),
            ((0.0, 0.0, HUGE, 0.0, 0.0), 3 / 4),
            ((8.0, 0.0, 0.0, 5.0, 0.0), 1 / 3),
            ((8.0, 0.0, 0.0, 0.0, 10.0), 1 / 3),
            ((8.0, 4.0, 2.0, 5.0, 10.0), 7 / 13),
            ((HUGE, 0.0, 0.0, 5.0, 10.0), 1.0),
            ((8.0, 4.0, 2.0, HUGE, 0.0), 0.0),
        ),
    ),
    Law(
        macrophage.repair_target,
        (REPAIR,),
        (14e3, 2.0, 4.0, 2.0, 100.0),
        "+++--",
        lambda load, il10, il4, ifn, damp, p: (
            1.0
            / (
                1.0
                + (1.0 + p.ifn_gain * rise(ifn, p.ifn_half) + damp / p.damp_half)
                / (load / p.load_half + il10 / p.il10_half + il4 / p.il4_half + p.ampk_drive)
            )
        ),
        (
            ((0.0, 0.0, 0.0, 0.0, 0.0), 1 / 3),
            ((7e3, 0.0, 0.0, 0.0, 0.0), 3 / 5),
            ((0.0, 2.0, 0.0, 0.0, 0.0), 3 / 5),
            ((0.0, 0.0, 4.0, 0.0, 0.0), 3 / 5),
            ((0.0, 0.0, 0.0, HUGE, 0.0), 1 / 7),
            ((14e3, 2.0, 4.0, 2.0, 100.0), 3 / 5),
            ((HUGE, 0.0, 0.0, 2.0, 100.0), 1.0),
            ((7e3, 2.0, 4.0, 0.0, HUGE), 0.0),
        ),
    ),
    Law(
        macrophage.appetite,
        (ENGULFMENT,),
        (0.5, 1.0),
        "++",
        lambda r, il10, p: (
            p.rate * (r + p.inflammatory_share * (1 - r)) * (1 + p.il10_gain * rise(il10, p.il10_half)) / (1 + p.il10_gain / 2)
        ),
        (((1.0, 1.0), 1000.0), ((0.0, 1.0), 200.0), ((0.5, 1.0), 600.0), ((0.5, 0.0), 300.0), ((0.5, HUGE), 900.0)),
    ),
    Law(
        macrophage.attack_hazard,
        (INJURY,),
        (0.8, 3.0, 0.5, 2.0),
        "+++-",
        lambda a, ifn, tnf, il10, p: (
            p.macrophage_rate
            * (p.unarmed_share + (1 - p.unarmed_share) * rise(ifn, p.ifn_half))
            * (p.tnf_free_share + (1 - p.tnf_free_share) * rise(tnf, p.tnf_half))
            * a
            / (1 + il10 / p.il10_half)
        ),
        (
            ((0.0, 3.0, 0.5, 0.0), 0.0),
            ((1.0, 0.0, HUGE, 0.0), 0.002),
            ((1.0, 3.0, HUGE, 0.0), 0.006),
            ((1.0, HUGE, 0.0, 0.0), 0.005),
            ((1.0, HUGE, 0.5, 0.0), 0.0075),
            ((1.0, HUGE, HUGE, 0.0), 0.01),
            ((1.0, HUGE, HUGE, 2.0), 0.005),
            ((1.0, HUGE, HUGE, HUGE), 0.0),
            ((0.8, 3.0, 0.5, 2.0), 0.0018),
        ),
    ),
    Law(
        macrophage.death_hazard,
        (DEATH,),
        (0.5, 1.0, 3.0),
        "+-+",
        lambda a, mcsf, tnf, p: p.rate + p.starved_rate / (1 + mcsf / p.mcsf_half) + p.tnf_rate * a * rise(tnf, p.tnf_half),
        (
            ((0.0, HUGE, 0.0), 0.01),
            ((0.0, 0.0, HUGE), 0.03),
            ((0.0, 1.0, 0.0), 0.02),
            ((1.0, HUGE, 1.0), 0.03),
            ((1.0, 0.0, HUGE), 0.07),
            ((0.5, 1.0, 3.0), 0.035),
        ),
    ),
    Law(
        recruitment.neutrophil_entry,
        (NEUTROPHIL,),
        (0.5,),
        "+",
        lambda il1, p: p.entry_rate * rise(il1, p.il1_half),
        (((0.0,), 0.0), ((0.5,), 0.1), ((1.5,), 0.15), ((HUGE,), 0.2)),
    ),
    Law(
        recruitment.monocyte_entry,
        (ENTRY,),
        (2.0, 2.0),
        "++",
        lambda ccl2, blood, p: (
            blood * (p.basal_rate + p.stimulated_rate * (p.ccr2_free_share + (1 - p.ccr2_free_share) * p.ccr2) * steep(ccl2, p.ccl2_half))
        ),
        (((0.0, 1.0), 0.01), ((1.0, 1.0), 0.04), ((HUGE, 1.0), 0.07), ((2.0, 2.0), 0.116), ((2.0, 0.0), 0.0)),
    ),
    Law(
        recruitment.cd4_entry,
        (CD4,),
        (0.5, 0.5),
        "++",
        lambda seen, memory, p: p.entry_rate * seen * (1 + p.memory_gain * memory) + (1 - p.tolerance) * p.reactivation_rate * memory,
        (((0.0, 0.0), 0.0), ((0.5, 0.0), 0.001), ((1.0, 0.0), 0.002), ((0.0, 1.0), 0.0002), ((0.5, 0.5), 0.0021), ((1.0, 1.0), 0.0062)),
    ),
    Law(
        recruitment.cd8_entry,
        (CD8,),
        (0.5, 2.0),
        "++",
        lambda seen, ifn, p: p.entry_rate * seen * rise(ifn, p.ifn_half),
        (((0.0, 2.0), 0.0), ((0.5, 0.0), 0.0), ((0.5, 2.0), 0.001), ((1.0, HUGE), 0.004)),
    ),
    Law(
        t_cell.presented,
        (CD4,),
        (3000.0,),
        "+",
        lambda presenting, p: rise(presenting, p.presentation_half),
        (((0.0,), 0.0), ((1000.0,), 0.5), ((3000.0,), 0.75), ((HUGE,), 1.0)),
    ),
    Law(
        t_cell.recognition,
        (CD4,),
        (0.5, 500.0),
        "+-",
        lambda antigen, regulators, p: (1 - p.tolerance) * antigen / (1 + regulators / p.suppression_half),
        (((0.0, 0.0), 0.0), ((0.5, 0.0), 0.2), ((1.0, 0.0), 0.4), ((1.0, 500.0), 0.2), ((0.5, 1500.0), 0.05), ((1.0, HUGE), 0.0)),
    ),
    Law(
        t_cell.memory_target,
        (CD4,),
        (300.0,),
        "+",
        lambda density, p: rise(density, p.memory_half),
        (((0.0,), 0.0), ((300.0,), 0.5), ((900.0,), 0.75), ((HUGE,), 1.0)),
    ),
    Law(
        antibody.antibody_target,
        (ANTIBODY,),
        (200.0,),
        "+",
        lambda b_cells, p: 1 - (1 - p.elsewhere) * (1 - rise(b_cells, p.b_cell_half)),
        (((0.0,), 0.2), ((200.0,), 0.6), ((600.0,), 0.8), ((HUGE,), 1.0)),
    ),
    Law(
        antibody.deposition_on_debris,
        (COMPLEMENT,),
        (0.3, 0.5),
        "++",
        lambda debris, complement, p: p.deposition_rate * complement * debris,
        (((0.0, 1.0), 0.0), ((1.0, 0.0), 0.0), ((1.0, 1.0), 0.1), ((0.3, 0.5), 0.015)),
    ),
    Law(
        antibody.deposition_on_membrane,
        (BINDING, COMPLEMENT),
        (0.6, 0.5, 1.0),
        "+++",
        lambda living, bound, complement, binding, p: p.deposition_rate * complement * binding * bound * living,
        (
            ((0.0, 1.0, 1.0), 0.0),
            ((1.0, 0.0, 1.0), 0.0),
            ((0.6, 0.5, 0.0), 0.0),
            ((1.0, 1.0, 1.0), 0.05),
            ((0.6, 0.5, 1.0), 0.015),
            ((0.6, 1.0, 0.5), 0.015),
        ),
    ),
    Law(
        antibody.deposition_on_vessel,
        (BINDING, COMPLEMENT),
        (0.5, 3.0, 1.0),
        "+++",
        lambda bound, ifn, complement, binding, p: (
            p.deposition_rate * complement * binding * bound * (1 + p.ifn_gain * rise(ifn, p.ifn_half))
        ),
        (
            ((0.0, 3.0, 1.0), 0.0),
            ((0.5, 3.0, 0.0), 0.0),
            ((1.0, 0.0, 1.0), 0.05),
            ((1.0, 3.0, 1.0), 0.1),
            ((1.0, HUGE, 1.0), 0.15),
            ((0.5, 3.0, 0.5), 0.025),
        ),
    ),
    Law(
        antibody.coated,
        (COMPLEMENT, 5.0),
        (0.2, 0.1),
        "++",
        lambda before, deposition, p, dt: (
            deposition / (deposition + p.loss_rate)
            + (before - deposition / (deposition + p.loss_rate)) * math.exp(-(deposition + p.loss_rate) * dt)
        ),
        (
            ((0.0, 0.0), 0.0),
            ((1.0, 0.0), math.exp(-0.5)),
            ((0.0, 0.1), (1.0 - math.exp(-1.0)) / 2.0),
            ((0.5, 0.1), 0.5),
            ((0.3, HUGE), 1.0),
        ),
    ),
    Law(
        t_cell.cd4_division,
        (CD4,),
        (0.5, 500.0),
        "+-",
        lambda seen, density, p: p.division_rate * seen * max(0.0, 1 - density / p.density_max),
        (((0.0, 0.0), 0.0), ((1.0, 0.0), 0.02), ((0.5, 500.0), 0.0075), ((1.0, 2000.0), 0.0), ((1.0, 3000.0), 0.0)),
    ),
    Law(
        fibre.injury_hazard,
        (INJURY,),
        (0.02, 0.5),
        "++",
        lambda attacked, complement, p: p.wear_rate + attacked + p.complement_rate * complement,
        (((0.0, 0.0), 0.001), ((0.02, 0.0), 0.021), ((0.0, 1.0), 0.021), ((0.02, 0.5), 0.031)),
    ),
    Law(
        fibre.growth_rate,
        (GROWTH,),
        (10.0, 1.0, 0.1, 0.1, 0.1),
        "+++--",
        lambda igf1, perfusion, room, vacated, debris, p: (
            p.rate
            * ((1.0 - vacated) + vacated * p.regrowth_share)
            * rise(igf1, p.igf1_half)
            * (perfusion if perfusion < p.perfusion_max else p.perfusion_max)
            * rise(room, p.room_half)
            / (1 + (debris / p.debris_half) ** 2)
        ),
        (
            ((0.0, 1.0, 0.1, 0.0, 0.0), 0.0),
            ((10.0, 0.0, 0.1, 0.0, 0.0), 0.0),
            ((10.0, 1.0, 0.0, 0.0, 0.0), 0.0),
            ((10.0, 1.0, 0.1, 0.0, 0.0), 0.005),
            ((10.0, 1.0, 0.1, 1.0, 0.0), 0.00125),
            ((10.0, 1.0, 0.1, 0.0, 0.1), 0.0025),
            ((10.0, 1.4, 0.1, 0.0, 0.1), 0.0035),
            ((10.0, 2.0, 0.1, 0.0, 0.1), 0.00375),
            ((HUGE, 1.0, HUGE, 0.0, 0.0), 0.02),
            ((HUGE, 9.0, HUGE, 0.0, 0.0), 0.03),
            ((10.0, 1.0, 0.1, 0.0, HUGE), 0.0),
        ),
    ),
    Law(
        fibre.elongation,
        (GROWTH,),
        (0.5, 10.0, 1.0, 0.1),
        "+++-",
        lambda regenerated, igf1, perfusion, debris, p: (
            p.elongation_rate
            * regenerated
            * rise(igf1, p.igf1_half)
            * (perfusion if perfusion < p.perfusion_max else p.perfusion_max)
            / (1 + (debris / p.debris_half) ** 2)
        ),
        (
            ((0.0, HUGE, 1.0, 0.0), 0.0),
            ((1.0, 0.0, 1.0, 0.0), 0.0),
            ((1.0, HUGE, 0.0, 0.0), 0.0),
            ((1.0, HUGE, 1.0, 0.0), 0.04),
            ((0.5, HUGE, 1.0, 0.1), 0.01),
            ((1.0, 10.0, 0.5, 0.3), 0.001),
            ((1.0, HUGE, 9.0, 0.0), 0.06),
            ((1.0, HUGE, 1.0, HUGE), 0.0),
        ),
    ),
    Law(
        fibre.vigour,
        (GROWTH,),
        (10.0, 1.0, 0.1),
        "++-",
        lambda igf1, perfusion, debris, p: (
            rise(igf1, p.igf1_half) * (perfusion if perfusion < p.perfusion_max else p.perfusion_max) / (1 + (debris / p.debris_half) ** 2)
        ),
        (
            ((0.0, 1.0, 0.0), 0.0),
            ((HUGE, 0.0, 0.0), 0.0),
            ((HUGE, 1.0, 0.0), 1.0),
            ((HUGE, 9.0, 0.0), 1.5),
            ((10.0, 1.0, 0.0), 0.5),
            ((30.0, 0.8, 0.1), 0.3),
            ((HUGE, 1.0, 0.3), 0.1),
            ((HUGE, 1.0, HUGE), 0.0),
        ),
    ),
    Law(
        fibre.thinning,
        (GROWTH,),
        (0.25,),
        "-",
        lambda perfusion, p: p.wasting_rate + p.hypoxic_rate * (1 - min(perfusion, p.supply_need) / p.supply_need),
        (((0.0,), 0.011), ((0.25,), 0.006), ((0.5,), 0.001), ((1.5,), 0.001)),
    ),
    Law(
        satellite.waking_cue,
        (WAKING,),
        (0.1, 6.0),
        "++",
        lambda hgf, tnf, p: 1.0 - 1.0 / (1.0 + hgf / p.hgf_half + tnf / p.tnf_half),
        (((0.0, 0.0), 0.0), ((0.1, 0.0), 1 / 2), ((0.0, 6.0), 1 / 2), ((0.1, 6.0), 2 / 3), ((HUGE, 0.0), 1.0)),
    ),
    Law(
        satellite.niche_loss,
        (SATELLITE,),
        (20.0, 10.0),
        "+-",
        lambda n, rest, p: p.surplus_rate * max(0.0, 1 - rest / n),
        (((10.0, 10.0), 0.0), ((5.0, 10.0), 0.0), ((20.0, 10.0), 0.02), ((HUGE, 10.0), 0.04), ((20.0, 0.0), 0.04)),
    ),
    Law(
        satellite.satellite_division,
        (DIVISION,),
        (6.0, 2.0),
        "+-",
        lambda il6, crowd, p: p.rate * steep(il6, p.il6_half) * max(0.0, 1 - crowd / p.crowding),
        (((0.0, 0.0), 0.0), ((3.0, 0.0), 0.03), ((HUGE, 0.0), 0.06), ((6.0, 2.0), 0.036), ((6.0, 8.0), 0.0), ((6.0, 20.0), 0.0)),
    ),
    Law(
        satellite.differentiation,
        (DIFFERENTIATION,),
        (1.0, 30.0, 2.0),
        "+++",
        lambda tnf, igf1, crowd, p: (
            p.rate
            * (p.tnf_free_share + (1 - p.tnf_free_share) * rise(tnf, p.tnf_half))
            * rise(igf1, p.igf1_half)
            * rise(crowd, p.contact_half)
        ),
        (
            ((1.0, 0.0, HUGE), 0.0),
            ((1.0, 30.0, 0.0), 0.0),
            ((0.0, 10.0, HUGE), 0.01),
            ((1.0, 10.0, 2.0), 0.015),
            ((1.0, 30.0, 6.0), 0.03375),
            ((HUGE, HUGE, 2.0), 0.05),
            ((HUGE, HUGE, HUGE), 0.1),
        ),
    ),
    Law(
        satellite.fusion,
        (MYOCYTE, GROWTH),
        (0.3, 0.2),
        "+-",
        lambda room, debris, p, growth: p.fusion_rate * rise(room, p.room_half) / (1 + (debris / growth.debris_half) ** 2),
        (((0.0, 0.0), 0.0), ((0.1, 0.0), 0.05), ((0.1, 0.1), 0.025), ((0.3, 0.2), 0.015), ((HUGE, 0.0), 0.1), ((0.3, HUGE), 0.0)),
    ),
    Law(
        fibroblast.fibroblast_division,
        (FIBROBLAST,),
        (2.0, 2.0, 0.5, 1.0),
        "+++-",
        lambda satellites, tgf, hgf, crowd, p: (
            p.division_rate
            * (1.0 - 1.0 / (1.0 + satellites / p.satellite_half + steep(tgf, p.tgf_half) + (hgf / p.hgf_half) ** 2))
            * max(0.0, 1 - crowd / p.crowding)
        ),
        (
            ((0.0, 0.0, 0.0, 0.0), 0.0),
            ((2.0, 0.0, 0.0, 0.0), 0.02),
            ((0.0, HUGE, 0.0, 0.0), 0.02),
            ((0.0, 0.0, 0.5, 0.0), 0.02),
            ((0.0, 0.0, 1.0, 0.0), 0.032),
            ((2.0, 2.0, 0.0, 1.0), 0.018),
            ((2.0, 0.0, 1.0, 2.0), 1 / 60),
            ((HUGE, 0.0, 0.0, 0.0), 0.04),
            ((2.0, 2.0, 0.5, 4.0), 0.0),
            ((2.0, 2.0, 0.5, 9.0), 0.0),
        ),
    ),
    Law(
        fibroblast.surplus_loss,
        (FIBROBLAST,),
        (3.0, 4.0),
        "+-",
        lambda tnf, tgf, p: p.return_rate + p.tnf_death_rate * rise(tnf, p.tnf_half) / (1 + (tgf / p.tgf_rescue_half) ** 2),
        (((0.0, 0.0), 0.01), ((1.0, 0.0), 0.03), ((HUGE, 0.0), 0.05), ((3.0, 4.0), 0.025), ((3.0, HUGE), 0.01)),
    ),
    Law(
        fibroblast.collagen_loss,
        (COLLAGEN,),
        (2.0,),
        "+",
        lambda macrophages, p: p.turnover_rate + p.turnover_rate * p.mmp_gain * macrophages,
        (((0.0,), 0.001), ((2.0,), 0.002), ((10.0,), 0.006)),
    ),
    Law(
        fibroblast.scar_hazard,
        (COLLAGEN,),
        (3.0, 2.0),
        "++",
        lambda tgf, fibroblasts, p: p.scar_rate * rise(tgf, p.scar_tgf_half) * rise(fibroblasts, p.scar_fibroblast_half),
        (((0.0, 2.0), 0.0), ((3.0, 0.0), 0.0), ((1.0, HUGE), 0.001), ((3.0, 2.0), 0.00075), ((HUGE, HUGE), 0.002)),
    ),
    Law(
        fibroblast.fat_hazard,
        (COLLAGEN,),
        (0.5, 2.0),
        "-+",
        lambda il4, fibroblasts, p: p.fat_rate * rise(fibroblasts, p.scar_fibroblast_half) / (1 + il4 / p.fat_il4_half),
        (((0.0, 0.0), 0.0), ((0.0, 2.0), 0.002), ((0.0, HUGE), 0.004), ((0.5, 2.0), 0.001), ((1.5, 6.0), 0.00075), ((HUGE, 2.0), 0.0)),
    ),
    Law(
        vessel.sprouting,
        (VESSEL,),
        (2.0,),
        "+",
        lambda vegf, p: p.sprouting_rate * steep(vegf, p.sprouting_half),
        (((0.0,), 0.0), ((2.0,), 0.01), ((4.0,), 0.016), ((HUGE,), 0.02)),
    ),
    Law(
        vessel.pruning,
        (VESSEL,),
        (2.0,),
        "-",
        lambda vegf, p: p.pruning_rate / (1 + vegf / p.sprouting_half),
        (((0.0,), 0.01), ((2.0,), 0.005), ((6.0,), 0.0025), ((HUGE,), 0.0)),
    ),
    Law(
        vessel.reopening,
        (VESSEL,),
        (2.0,),
        "+",
        lambda vegf, p: p.regrowth_rate * rise(vegf, p.vegf_half),
        (((0.0,), 0.0), ((2.0,), 0.015), ((HUGE,), 0.03)),
    ),
    Law(
        blood.monocyte_target,
        (BLOOD,),
        (3.0,),
        "+",
        lambda ccl2, p: 1.0 + p.monocyte_mobilisation * rise(ccl2, p.monocyte_ccl2_half),
        (((0.0,), 1.0), ((3.0,), 2.0), ((HUGE,), 3.0)),
    ),
    Law(
        blood.creatine_kinase_target,
        (BLOOD,),
        (0.01,),
        "+",
        lambda leaking, p: p.creatine_kinase_rest + p.creatine_kinase_release * leaking * p.creatine_kinase_half_life / LN2,
        (((0.0,), 100.0), ((0.01,), 5293.7021464)),
    ),
    Law(
        motion.turning_bias,
        (MOTILITY,),
        (3.0, 0.1),
        "-+",
        lambda level, slope, p: p.bias_max * rise(10.0 * slope * p.attractant_half / (p.attractant_half + level) ** 2, p.difference_half),
        (((3.0, 0.0), 0.0), ((3.0, 0.1), 0.4), ((1.0, 0.1), 0.64), ((3.0, HUGE), 0.8), ((HUGE, 0.1), 0.0)),
    ),
)
NAMES = [law.law.__name__ for law in LAWS]


def laws_in(path: Path) -> list[str]:
    """Names of the compiled functions whose first argument is a number."""
    functions = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]
    return [
        function.name
        for function in functions
        if "jit" in map(ast.unparse, function.decorator_list)
        and function.args.args[0].annotation is not None
        and ast.unparse(function.args.args[0].annotation) == "float"
    ]


ALL_LAWS = [name for path in sorted(RULES.glob("*.py")) for name in laws_in(path)]


def scrambled(value: Any, random: np.random.Generator) -> Any:
    """Another number of the same order, a share for a share; a record within a record stays."""
    if isinstance(value, tuple):
        return value
    return random.uniform(0.01, 0.99) if value <= 1.0 else value * random.uniform(0.3, 3.0)


def scattered(law: Law, random: np.random.Generator) -> tuple[list[float], list[Any]]:
    """Arguments up to three times the typical ones and records whose numbers all differ, shares below 1."""
    arguments = [value * random.uniform(0.01, 3.0) for value in law.typical]
    records = [
        scrambled(record, random) if isinstance(record, float) else record._make(scrambled(value, random) for value in record)
        for record in law.records
    ]
    return arguments, records


def test_no_law_of_the_rules_is_forgotten_here() -> None:
    assert sorted(ALL_LAWS) == sorted([*NAMES, "turn"])


@pytest.mark.parametrize("law", LAWS, ids=NAMES)
def test_a_law_is_its_equation(law: Law) -> None:
    random = np.random.default_rng(1)
    for _ in range(200):
        arguments, records = scattered(law, random)
        assert law.law(*arguments, *records) == pytest.approx(law.equation(*arguments, *records), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize(
    ("law", "arguments", "value"),
    [pytest.param(law, *case, id=f"{law.law.__name__}{case[0]}") for law in LAWS for case in law.values],
)
def test_a_law_has_the_value_worked_out_by_hand(law: Law, arguments: tuple[float, ...], value: float) -> None:
    assert law.law(*arguments, *law.records) == pytest.approx(value, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("law", "k"), [pytest.param(law, k, id=f"{law.law.__name__}-{k}") for law in LAWS for k in range(len(law.directions))]
)
def test_a_law_rises_or_falls_with_each_argument(law: Law, k: int) -> None:
    sign = 1.0 if law.directions[k] == "+" else -1.0
    arguments = list(law.typical)
    arguments[k] *= 1.1
    assert sign * (law.law(*arguments, *law.records) - law.law(*law.typical, *law.records)) > 0.0


@pytest.mark.parametrize(
    ("law", "k"), [pytest.param(law, k, id=f"{law.law.__name__}-{k}") for law in LAWS for k in range(len(law.directions))]
)
def test_a_law_never_turns_back(law: Law, k: int) -> None:
    random = np.random.default_rng(2)
    sign = 1.0 if law.directions[k] == "+" else -1.0
    for _ in range(50):
        arguments, records = scattered(law, random)
        curve = [law.law(*arguments[:k], value, *arguments[k + 1 :], *records) for value in np.linspace(0.0, 5.0 * law.typical[k], 20)]
        assert np.all(sign * np.diff(curve) >= -1e-12 * np.abs(curve).max())


def test_without_ccr2_only_the_share_that_needs_none_enters() -> None:
    knocked_out = ENTRY._replace(ccr2=0.0)
    assert recruitment.monocyte_entry(HUGE, 1.0, knocked_out) == pytest.approx(0.01 + 0.1 * 0.2)


def test_full_tolerance_recognises_nothing() -> None:
    assert t_cell.recognition(1.0, 0.0, CD4._replace(tolerance=1.0)) == 0.0


def test_full_tolerance_lets_no_memory_cell_come_back() -> None:
    assert recruitment.cd4_entry(0.0, 1.0, CD4._replace(tolerance=1.0)) == 0.0


def test_a_deposit_that_neither_grows_nor_sheds_stays() -> None:
    assert antibody.coated(0.3, 0.0, COMPLEMENT._replace(loss_rate=0.0), 5.0) == 0.3


def test_the_leaking_share_weighs_each_fibre_by_its_territory() -> None:
    fibres = make_tissue(Parameters(), 1, 200.0, 200.0).fibres
    fibres.alarm[:], fibres.territory[:] = 0.0, 0
    fibres.alarm[:2], fibres.territory[:2] = (1.0, 0.5), (100, 300)
    dt = 0.5  # the alarm has faded by a factor exp(-dt/5) at the end of a step whose mean is wanted
    mean_over_end = (math.exp(dt / 5.0) - 1.0) * 5.0 / dt
    assert blood.leaking_share(fibres, 5.0, dt) == pytest.approx((100 + 150) / 400 / 5.0 * mean_over_end)


@pytest.mark.parametrize("dt", [0.1, 2.0])
def test_a_fibre_that_dies_sets_all_its_enzyme_free_whatever_the_step(dt: float) -> None:
    fibres = make_tissue(Parameters(), 1, 200.0, 200.0).fibres
    fibres.alarm[0] = 1.0
    alarm_time, released = 5.0, 0.0
    for _ in range(round(200.0 / dt)):
        fibres.alarm[0] *= math.exp(-dt / alarm_time)
        released += blood.leaking_share(fibres, alarm_time, dt) * dt
    assert released == pytest.approx(fibres.territory[0] / fibres.territory.sum(), rel=1e-9)


@pytest.mark.parametrize(("lot", "turned"), [(0.0, True), (0.349, True), (0.351, False), (0.999, False)])
def test_a_heading_is_turned_round_with_probability_half_of_one_less_bias_times_cosine(lot: float, turned: bool) -> None:
    assert motion.turn(1.0, 0.0, 0.6, 0.8, 0.5, lot) == ((-1.0, 0.0) if turned else (1.0, 0.0))


@pytest.mark.parametrize("bias", [0.0, 0.3, 1.0])
def test_turned_headings_have_the_density_one_plus_bias_times_cosine(bias: float) -> None:
    n_angles, n_lots = 360, 500
    angles = (np.arange(n_angles) + 0.5) * 2.0 * np.pi / n_angles
    weight = np.zeros(n_angles)
    for k, angle in enumerate(angles):
        ux, uy = math.cos(angle), math.sin(angle)
        for lot in (np.arange(n_lots) + 0.5) / n_lots:
            kept = motion.turn(ux, uy, 1.0, 0.0, bias, float(lot)) == (ux, uy)
            weight[k if kept else (k + n_angles // 2) % n_angles] += 1.0 / n_lots
    assert weight == pytest.approx(1.0 + bias * np.cos(angles), abs=2.5 / n_lots)


@pytest.mark.parametrize("name", [*ALL_LAWS, "leaking_share"])
def test_every_law_is_explained_in_the_description_of_the_model(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "model.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [ROOT / "docs" / "model.md", *sorted(RULES.glob("*.py"))], ids=lambda path: path.stem)
def test_every_source_of_the_model_is_in_the_bibliography(path: Path) -> None:
    keys = set(re.findall(r"^@\w+\{([^,\s]+),", (ROOT / "docs" / "sources.bib").read_text(encoding="utf-8"), re.MULTILINE))
    cited = {
        key for group in re.findall(r"\[([a-z][a-z0-9_]{3,}(?:, [a-z][a-z0-9_]+)*)\](?!\()", words_of(path)) for key in group.split(", ")
    }
    assert cited <= keys


def words_of(path: Path) -> str:
    """The docstrings of a Python file; a page without its code and formulas."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return re.sub(r"```.*?```|`[^`\n]*`|\$[^$]*\$", "", text, flags=re.DOTALL)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Module | ast.FunctionDef)]
    return "\n".join(ast.get_docstring(node) or "" for node in nodes)
