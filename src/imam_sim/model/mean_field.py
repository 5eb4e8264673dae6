"""The ordinary differential equations that `well_mixed` becomes with many cells and short steps; the right side calls the same laws.

Numbers of cells, shares of fibre, signals and the common load follow equations that are exact in that limit. So do the sums of the
activation levels a and r wherever a law is linear in them (relaxation, secretion, attack, appetite, presentation). Two laws are products
of a cell's level and its fate: death under TNF-alpha, which takes cells of high a, and division, which multiplies cells of high r. For
these the spread of the levels among the cells matters. All cells that matured at one time share one level, so the macrophages are followed
as cohorts by time of maturation, each with the sum of its a and of its r; with narrow cohorts this is exact. With one cohort only
(`cohort_width` infinite) it is the usual closure, which puts the mean of a product equal to the product of the means.
"""

from __future__ import annotations

from enum import IntEnum
from math import inf

import numpy as np
from scipy.integrate import solve_ivp

from imam_sim.model import fields
from imam_sim.model.initial import SPROUT_SITES
from imam_sim.model.maths import hill, steep_hill
from imam_sim.model.params import Parameters
from imam_sim.model.rules import blood, fibre, fibroblast, macrophage, recruitment, satellite, t_cell, vessel
from imam_sim.model.state import Floats, Signal
from imam_sim.model.well_mixed import FIBRES_AROUND_CAPILLARY, MM3, OUTCOMES, Composition, Share, compose, contact, resting_repair

PRECISION = 1e-8  # relative, of the solution
TINY = 1e-9  # cells/mm3 or share below which nothing is divided by


class Part(IntEnum):
    """The places of the state before the signals: densities [1/mm3], then shares."""

    NEUTROPHILS = 0
    APOPTOTIC = 1
    MONOCYTES = 2
    CD4 = 3
    REGULATORY = 4
    CD8 = 5
    QUIESCENT = 6
    ACTIVATED = 7
    MYOCYTES = 8
    RESIDENT_FIBROBLASTS = 9
    RESIDENT_MYOFIBROBLASTS = 10
    BORN_FIBROBLASTS = 11
    BORN_MYOFIBROBLASTS = 12
    LOAD = 13  # um3/mm3
    INTACT = 14  # share of fibre territory, as the next ones, in the order of well_mixed.Share
    NECROTIC = 15
    CLEARED = 16
    REGENERATING = 17
    SCAR = 18
    FAT = 19
    FRESH = 20  # alarm of necrotic fibre
    PERFUSED = 21  # share of capillaries
    SPROUTS = 22  # open ones per capillary
    BLOOD = 23  # monocytes relative to health
    MEMORY = 24


SIGNALS = slice(len(Part), len(Part) + len(Signal))
COHORTS = SIGNALS.stop  # then per cohort its cells, its sum of a and its sum of r [1/mm3]


def at_rest(params: Parameters) -> Floats:
    """The state of a healthy pot without signals, as `well_mixed.make_pot` makes it; one cohort, the residents."""
    c = compose(params.geometry)
    y = np.zeros(COHORTS + 3)
    y[Part.QUIESCENT], y[Part.RESIDENT_FIBROBLASTS] = c.satellites, c.fibroblasts
    y[Part.INTACT] = y[Part.PERFUSED] = y[Part.BLOOD] = 1.0
    y[COHORTS:] = c.macrophages, 0.0, c.macrophages * resting_repair(params)
    return y


def injured(y: Floats, fraction: float, params: Parameters) -> Floats:
    """The state just after an injury of a fraction of the living fibres."""
    y = y.copy()
    hit = fraction * (y[Part.INTACT] + y[Part.REGENERATING])
    y[Part.INTACT] *= 1.0 - fraction
    y[Part.REGENERATING] *= 1.0 - fraction
    y[Part.NECROTIC] += hit
    y[Part.FRESH] += hit
    y[Part.QUIESCENT] *= 1.0 - hit * params.satellite.injury_death
    y[Part.PERFUSED] *= 1.0 - hit * params.vessel.injury_loss
    y[Part.SPROUTS] *= 1.0 - hit * params.vessel.injury_loss
    return y


def slope(y: Floats, params: Parameters, transport: fields.Transport, c: Composition) -> Floats:
    """Time derivative of the state [1/h]; newcomers join the last cohort."""
    d = np.zeros_like(y)
    neutrophils, apoptotic, monocytes, cd4, regulatory, cd8, quiescent, activated, myocytes = y[: Part.RESIDENT_FIBROBLASTS]
    fibroblasts = y[Part.RESIDENT_FIBROBLASTS] + y[Part.BORN_FIBROBLASTS]
    myofibroblasts = y[Part.RESIDENT_MYOFIBROBLASTS] + y[Part.BORN_MYOFIBROBLASTS]
    intact, necrotic, cleared, regenerating, scar, fat, fresh, perfused, sprouts, blood_monocytes, memory = y[Part.INTACT : len(Part)]
    cells, sum_a, sum_r = y[COHORTS::3], y[COHORTS + 1 :: 3], y[COHORTS + 2 :: 3]
    macrophages, inflammatory, repair = cells.sum(), sum_a.sum(), sum_r.sum()
    load = y[Part.LOAD] / macrophages
    felt = fields.felt(y[SIGNALS].reshape(-1, 1, 1), params.signal, 0.0).ravel()
    level = {signal: float(felt[signal]) for signal in Signal}
    tnf, il10, ifn, igf1 = level[Signal.TNF], level[Signal.IL10], level[Signal.IFN_GAMMA], level[Signal.IGF1]
    fibre_share = c.fibres * c.fibre_volume / MM3

    # Fibres die, debris and dead neutrophils are eaten.
    living = intact + regenerating
    mean_a, mean_r = inflammatory / macrophages, repair / macrophages
    attack = macrophages * macrophage.attack_hazard(mean_a, ifn, tnf, il10, params.fibre.injury) + cd8 * params.cd8.kill_rate
    attacked = attack * contact(living, fibre_share) / (c.fibres * max(living, TINY))
    injury = fibre.injury_hazard(attacked, 0.0, params.fibre.injury)
    engulfment = params.macrophage.engulfment
    appetite = macrophages * macrophage.appetite(mean_r, il10, engulfment)
    touched = contact(necrotic, fibre_share)
    eaten_by_macrophages = appetite * touched / MM3 / fibre_share  # share of territory per h
    eaten = eaten_by_macrophages + neutrophils * params.neutrophil.engulf_rate * touched / MM3 / fibre_share
    corpses = engulfment.corpse_rate * macrophages * c.touch * apoptotic

    # Regeneration.
    growth = params.fibre.growth
    fused = satellite.fusion(cleared, necrotic, params.myocyte, growth) * myocytes
    grown = fibre.growth_rate(igf1, perfused + sprouts, cleared, 0.0, necrotic, growth) * regenerating
    filled = fused * params.myocyte.volume / (c.fibres * c.fibre_volume) + grown
    matured = regenerating / growth.maturation_time
    n_fibroblasts = (fibroblasts + myofibroblasts) * c.sense
    scarred = fibroblast.scar_hazard(level[Signal.TGF_BETA], n_fibroblasts, params.collagen) * cleared
    fattened = fibroblast.fat_hazard(level[Signal.IL4], n_fibroblasts, params.collagen) * cleared
    reopened = params.collagen.scar_loss_rate
    died = injury * living
    d[Part.INTACT] = matured - injury * intact
    d[Part.NECROTIC] = died - eaten
    d[Part.CLEARED] = eaten - filled - scarred - fattened + reopened * (scar + fat)
    d[Part.REGENERATING] = filled - matured - injury * regenerating
    d[Part.SCAR], d[Part.FAT] = scarred - reopened * scar, fattened - reopened * fat
    d[Part.FRESH] = died - fresh / params.fibre.alarm_time - fresh * eaten / max(necrotic, TINY)
    vegf, closing = level[Signal.VEGF], params.vessel.necrosis_loss * FIBRES_AROUND_CAPILLARY * died
    d[Part.PERFUSED] = vessel.reopening(vegf, params.vessel) * (1.0 - perfused) - closing * perfused
    free_sites = SPROUT_SITES * perfused - sprouts
    d[Part.SPROUTS] = vessel.sprouting(vegf, params.vessel) * free_sites - (vessel.pruning(vegf, params.vessel) + closing) * sprouts

    # Blood cells.
    open_vessels = c.capillaries * (perfused + sprouts)
    monocyte, cd4_cells = params.monocyte, params.cd4
    maturing = monocytes / monocyte.maturation_time
    aged = neutrophils / params.neutrophil.lifetime
    d[Part.NEUTROPHILS] = open_vessels * recruitment.neutrophil_entry(level[Signal.IL1B], params.neutrophil) - aged
    d[Part.APOPTOTIC] = aged - corpses - params.neutrophil.lysis_rate * apoptotic
    entry = recruitment.monocyte_entry(level[Signal.CCL2], blood_monocytes, monocyte.entry)
    d[Part.MONOCYTES] = open_vessels * entry - maturing - monocyte.death_rate * monocytes
    presenting = inflammatory * hill(load, params.macrophage.presentation_load_half)
    antigen = t_cell.presented(presenting, cd4_cells)
    recognition = t_cell.recognition(antigen, regulatory, cd4_cells)
    division = t_cell.cd4_division(recognition, cd4, cd4_cells)
    d[Part.CD4] = open_vessels * recruitment.cd4_entry(recognition, memory, cd4_cells) + (division - 1.0 / cd4_cells.lifetime) * cd4
    d[Part.REGULATORY] = open_vessels * params.regulatory_t.entry_rate * antigen - regulatory / params.regulatory_t.lifetime
    d[Part.CD8] = open_vessels * recruitment.cd8_entry(recognition, ifn, params.cd8) - cd8 / params.cd8.lifetime
    remembered = t_cell.memory_target(cd4, cd4_cells) - memory
    d[Part.MEMORY] = remembered / (cd4_cells.memory_rise_time if remembered > 0.0 else cd4_cells.memory_time)
    target = blood.monocyte_target(float(y[SIGNALS][Signal.CCL2]), params.blood)
    d[Part.BLOOD] = (target - blood_monocytes) / params.blood.monocyte_time

    # Macrophages, cohort by cohort.
    a_of, r_of = params.macrophage.inflammatory_activation, params.macrophage.repair_activation
    a_target = macrophage.inflammatory_target(level[Signal.DAMP], tnf, ifn, il10, level[Signal.IL4], a_of)
    r_target = macrophage.repair_target(load, il10, level[Signal.IL4], ifn, level[Signal.DAMP], r_of)
    mean = np.maximum(cells, TINY)
    death = np.array([macrophage.death_hazard(a, level[Signal.MCSF], tnf, params.macrophage.death) for a in sum_a / mean])
    birth = params.macrophage.division_rate * (sum_r / mean) * hill(load, params.macrophage.division_load_half)
    d[COHORTS::3] = (birth - death) * cells
    d[COHORTS + 1 :: 3] = (birth - death) * sum_a + (a_target * cells - sum_a) / a_of.time
    d[COHORTS + 2 :: 3] = (birth - death) * sum_r + (r_target * cells - sum_r) / r_of.time
    d[-3:] += maturing, maturing * a_of.at_maturation, maturing * r_of.at_maturation
    meals = eaten_by_macrophages * fibre_share * MM3 + corpses * params.neutrophil.volume
    d[Part.LOAD] = meals - y[Part.LOAD] / engulfment.digestion_time - load * float(death @ cells)

    # Satellite lineage.
    s = params.satellite
    cue = satellite.waking_cue(level[Signal.HGF], tnf, s.activation)
    woken, asleep = s.activation.rate * cue * quiescent, s.activation.renewal_rate * (1.0 - cue) * activated
    lineage = (quiescent + activated + myocytes) * c.sense
    differentiated = satellite.differentiation(tnf, igf1, lineage, s.differentiation) * activated
    divided = satellite.satellite_division(level[Signal.IL6], lineage, s.division) * activated
    d[Part.QUIESCENT] = asleep - woken - satellite.niche_loss(quiescent, c.satellites, s) * quiescent
    d[Part.ACTIVATED] = woken - asleep + divided - differentiated - s.death_rate * activated
    d[Part.MYOCYTES] = differentiated - fused - params.myocyte.death_rate * myocytes

    # Fibroblasts.
    p = params.fibroblast
    lost = fibroblast.surplus_loss(tnf, level[Signal.TGF_BETA], p)
    stirred = p.activation_rate * steep_hill(level[Signal.TGF_BETA], p.tgf_half)
    for still, active in (
        (Part.RESIDENT_FIBROBLASTS, Part.RESIDENT_MYOFIBROBLASTS),
        (Part.BORN_FIBROBLASTS, Part.BORN_MYOFIBROBLASTS),
    ):
        turned = stirred * y[still] - p.deactivation_rate * y[active]
        gone = lost if still == Part.BORN_FIBROBLASTS else 0.0
        d[still], d[active] = -turned - gone * y[still], turned - gone * y[active]
    tgf, hgf = level[Signal.TGF_BETA], level[Signal.HGF]
    d[Part.BORN_FIBROBLASTS] += fibroblast.fibroblast_division(activated * c.sense, tgf, hgf, n_fibroblasts, p) * fibroblasts

    # Signals: 1 pg/mm3 is 1 ng/mL.
    m, f, n, closed = params.macrophage.secretion, params.fibre.secretion, params.neutrophil, c.capillaries * (1.0 - perfused)
    danger = hill(level[Signal.DAMP], p.damp_half)
    both = fibroblasts + myofibroblasts
    source = {
        Signal.DAMP: fibre_share * (f.damp_necrotic * necrotic + f.damp_fresh * fresh),
        Signal.CCL2: fibre_share * f.ccl2_open * cleared
        + n.ccl2_rate * neutrophils
        + m.ccl2_rate * inflammatory
        + s.ccl2_rate * activated
        + p.ccl2_secretion_rate * danger * both
        + params.vessel.ccl2_rate * closed,
        Signal.MCSF: p.mcsf_secretion_rate * both,
        Signal.TNF: n.tnf_rate * neutrophils + m.tnf_rate * inflammatory,
        Signal.IFN_GAMMA: cd4_cells.ifn_rate * cd4 + params.cd8.ifn_rate * cd8,
        Signal.IL1B: fibre_share * f.il1_fresh * fresh + n.il1_rate * neutrophils + m.il1_rate * inflammatory,
        Signal.IL6: m.il6_rate * macrophages,
        Signal.IL4: cd4_cells.il4_rate * cd4,
        Signal.IL10: m.il10_rate * repair + cd4_cells.il10_rate * cd4 + params.regulatory_t.il10_rate * regulatory,
        Signal.TGF_BETA: m.tgf_rate * repair + p.tgf_secretion_rate * both,
        Signal.IGF1: fibre_share * f.igf1_living * living + m.igf1_rate * repair,
        Signal.HGF: fibre_share * (f.hgf_necrotic * necrotic + f.hgf_fresh * fresh + f.hgf_open * cleared),
        Signal.VEGF: m.vegf_rate * macrophages + params.vessel.vegf_rate * closed,
    }
    takers = {
        Signal.DAMP: macrophages,
        Signal.CCL2: macrophages + monocytes,
        Signal.MCSF: macrophages + monocytes,
        Signal.TNF: macrophages,
        Signal.IFN_GAMMA: macrophages,
        Signal.IL1B: macrophages,
        Signal.IL6: activated,
        Signal.IL4: macrophages,
        Signal.IL10: macrophages,
        Signal.TGF_BETA: both,
        Signal.IGF1: activated,
        Signal.HGF: activated,
        Signal.VEGF: closed,
    }
    secreted = transport.secretion_share * np.array([source[signal] for signal in Signal])
    taken = np.array([t.uptake_volume * takers[signal] for signal, t in zip(Signal, params.signal, strict=True)]) / MM3
    d[SIGNALS] = (secreted - (transport.decay_rate + taken) * y[SIGNALS]) / transport.retardation
    return d


def measure(y: Floats) -> Floats:
    """All outcomes of a state, in the order of `well_mixed.OUTCOMES`."""
    cells, sum_a, sum_r = y[COHORTS::3].sum(), y[COHORTS + 1 :: 3].sum(), y[COHORTS + 2 :: 3].sum()
    counted = [*y[: Part.CD4], cells, *y[Part.CD4 : Part.RESIDENT_FIBROBLASTS]]
    counted += [y[Part.RESIDENT_FIBROBLASTS] + y[Part.BORN_FIBROBLASTS], y[Part.RESIDENT_MYOFIBROBLASTS] + y[Part.BORN_MYOFIBROBLASTS]]
    shares = y[Part.INTACT : Part.INTACT + len(Share)]
    outcomes = np.array([*counted, sum_a, sum_r, y[Part.LOAD], *shares, y[Part.PERFUSED], y[Part.SPROUTS], *y[SIGNALS]])
    assert outcomes.size == len(OUTCOMES)
    return outcomes


def solve(params: Parameters, times: Floats, injury_time: float, fraction: float, cohort_width: float = 6.0) -> Floats:
    """The course of the mean field at rising times [h]: (times, outcomes), after an injury as in `well_mixed.simulate`.

    `cohort_width` [h]: the macrophages that mature within it are one cohort. RuntimeError where the solver gives up.
    """
    times, end = np.asarray(times, float), float(times[-1])
    composition, transport = compose(params.geometry), fields.make_transport(params.signal, (1, 1), 1.0)
    stops = [k * cohort_width for k in range(1, int(end / cohort_width) + 1)] if cohort_width < inf else []
    stops = sorted({*stops, injury_time, end})
    y, now, course = at_rest(params), 0.0, [at_rest(params)] if times[0] == 0.0 else []
    for stop in stops:
        if stop > now:
            asked = times[(times > now) & (times <= stop)]
            found = solve_ivp(
                lambda _, y: slope(y, params, transport, composition),
                (now, stop),
                y,
                method="DOP853",
                t_eval=np.union1d(asked, [stop]),
                rtol=PRECISION,
                atol=PRECISION,
            )
            if not found.success:
                raise RuntimeError(f"mean field at {now:g} to {stop:g} h: {found.message}")
            course += list(found.y[:, : asked.size].T)
            y, now = found.y[:, -1], stop
        if stop == injury_time:
            y = injured(y, fraction, params)
        if cohort_width < inf:
            y = np.concatenate((y, np.zeros(3)))
    return np.array([measure(y) for y in course])
