"""Every number of the model, once: value, unit, legal range, meaning and evidence. No functions.

Units: hours, micrometres, ng/mL, pg per cell and hour, cells. Rates are hazards, never chances per step. The path through these records
(`macrophage.repair_activation.il10_half`) is the only name that a number has. Source keys are those of docs/sources.bib; `wellmixed`
marks structure and size taken from the well-mixed exploration described in docs/model.md, `handset` what was then set by hand in space,
`searched` what a search moved until an acute injury of mouse muscle healed on the published clock.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from imam_sim.model.quantity import Assumed, Fitted, Measured, Preset, Quantity


class Motility(NamedTuple):
    """How a kind of cell moves: a persistent walk of constant speed whose turns are biased by an attractant."""

    speed: Annotated[
        float, Quantity("um/h", 0.0, 2000.0, "speed along its heading", Assumed("velocities in explanted tissue span a decade"))
    ] = 60.0
    persistence_time: Annotated[float, Quantity("h", 0.01, 24.0, "mean time between turns", Assumed("order of minutes for leukocytes"))] = (
        0.33
    )
    bias_max: Annotated[
        float,
        Quantity("1", 0.0, 1.0, "largest bias of a turn towards the attractant (1: density 1 + cos)", Assumed("no measurement in muscle")),
    ] = 0.9
    attractant_half: Annotated[
        float,
        Quantity(
            "ng/mL",
            1e-06,
            10000.0,
            "attractant level that occupies half of the receptors",
            Assumed("of the order of the signal's working level"),
        ),
    ] = 1.0
    difference_half: Annotated[
        float,
        Quantity(
            "1",
            1e-06,
            1.0,
            "difference of receptor occupancy across a cell length that gives half of the largest bias",
            Assumed("cells sense about 1 % [zigmond1977]; half effect above that"),
        ),
    ] = 0.02


class Motion(NamedTuple):
    """Motility of every kind that walks; the attractant of each kind stands in step.WALKERS (tracers follow none)."""

    neutrophil: Motility = Motility(speed=360.0, persistence_time=0.2, attractant_half=10.0)
    monocyte: Motility = Motility(speed=180.0, persistence_time=0.25)
    macrophage: Motility = Motility(attractant_half=10.0)
    t_cell: Motility = Motility(speed=300.0, persistence_time=0.2, bias_max=0.6)
    b_cell: Motility = Motility(speed=120.0, persistence_time=0.2, bias_max=0.3)
    satellite: Motility = Motility(speed=30.0, persistence_time=1.0)
    myocyte: Motility = Motility(speed=30.0, persistence_time=1.0, bias_max=0.5)
    fibroblast: Motility = Motility(speed=12.0, persistence_time=2.0, bias_max=0.5)
    tracer: Motility = Motility(bias_max=0.0)
    cells_per_voxel: Annotated[
        float,
        Quantity(
            "1",
            1.0,
            20.0,
            "cells that fit into one tissue voxel (5 x 5 x depth um)",
            Assumed("a leukocyte of 8-10 um squeezed along the fibre"),
        ),
    ] = 2.0


class Transport(NamedTuple):
    """How one signal spreads and vanishes."""

    diffusion: Annotated[
        float,
        Quantity(
            "um2/h", 0.0, 1000000.0, "diffusion coefficient of the free protein", Assumed("10-50 kDa proteins in tissue: 600-6000 um2/min")
        ),
    ] = 60000.0
    decay_rate: Annotated[
        float,
        Quantity(
            "1/h",
            0.0,
            100.0,
            "loss of the free protein by proteolysis and wash-out",
            Assumed("sets the reach sqrt(diffusion / decay) to 150-300 um"),
        ),
    ] = 1.5
    bound_ratio: Annotated[
        float,
        Quantity(
            "1",
            0.0,
            1000.0,
            "matrix-bound over free protein at equilibrium; slows diffusion and decay alike",
            Assumed("heparin-binding growth factors bind, most interleukins do not"),
        ),
    ] = 0.0
    uptake_volume: Annotated[
        float,
        Quantity(
            "um3/h",
            0.0,
            20000.0,
            "volume that one receptor-bearing cell clears of the protein",
            Assumed("below what would empty a voxel within a step"),
        ),
    ] = 0.0
    secretion_share: Annotated[
        float, Quantity("1", 0.0, 1.0, "share of its secretion that works: 0 in a knock-out", Assumed("1 is health"))
    ] = 1.0
    redundancy: Annotated[
        float, Quantity("1", 0.0, 1.0, "share of what is missing that other ligands of its receptors make up for", Assumed("none known"))
    ] = 0.0
    reception_share: Annotated[
        float, Quantity("1", 0.0, 1.0, "share of the level that receptors let cells feel: 0 in a knock-out", Assumed("1 is health"))
    ] = 1.0
    systemic: Annotated[
        float, Quantity("ng/mL", 0.0, 1000000.0, "level that a drug brings everywhere, felt on top of the tissue's own", Assumed("no drug"))
    ] = 0.0


class SignalTransport(NamedTuple):
    """Transport of the thirteen signals."""

    damp: Transport = Transport(decay_rate=1.0)
    ccl2: Transport = Transport(diffusion=9e4, decay_rate=1.0, bound_ratio=2.0, uptake_volume=500.0, redundancy=0.3)  # CCL7 [lu2011]
    mcsf: Transport = Transport(diffusion=5e4, decay_rate=0.5, uptake_volume=1000.0)
    tnf: Transport = Transport(diffusion=5e4, decay_rate=2.0, uptake_volume=300.0, redundancy=0.7)
    ifn_gamma: Transport = Transport(decay_rate=2.0, uptake_volume=300.0)
    il1b: Transport = Transport(decay_rate=2.0)
    il6: Transport = Transport(decay_rate=1.0)
    il4: Transport = Transport(diffusion=7e4)
    il10: Transport = Transport(diffusion=5e4, uptake_volume=300.0)
    tgf_beta: Transport = Transport(decay_rate=2.0, bound_ratio=3.0, uptake_volume=300.0)
    igf1: Transport = Transport(diffusion=1e5, decay_rate=0.7, bound_ratio=1.0)
    hgf: Transport = Transport(diffusion=4e4, decay_rate=1.0, bound_ratio=4.0, uptake_volume=300.0)
    vegf: Transport = Transport(diffusion=5e4, decay_rate=1.0, bound_ratio=3.0)


class FibreSecretion(NamedTuple):
    """What fibres give off, as a source in tissue that consists of nothing else."""

    damp_fresh: Annotated[
        float, Quantity("ng/mL/h", 0.0, 1000.0, "danger signals of a fibre at the moment of death", Fitted("searched"))
    ] = 60.0
    damp_necrotic: Annotated[float, Quantity("ng/mL/h", 0.0, 1000.0, "danger signals of debris", Fitted("searched"))] = 8.0
    il1_fresh: Annotated[float, Quantity("ng/mL/h", 0.0, 1000.0, "interleukin-1 set free at death", Fitted("wellmixed"))] = 2.0
    hgf_fresh: Annotated[
        float, Quantity("ng/mL/h", 0.0, 1000.0, "HGF set free from the matrix at death", Assumed("satellite cells must wake within a day"))
    ] = 3.0
    hgf_necrotic: Annotated[float, Quantity("ng/mL/h", 0.0, 1000.0, "HGF set free around debris", Assumed("as above"))] = 1.0
    hgf_open: Annotated[float, Quantity("ng/mL/h", 0.0, 1000.0, "HGF of tubes that are cleared and not refilled", Fitted("searched"))] = (
        0.15
    )
    ccl2_open: Annotated[float, Quantity("ng/mL/h", 0.0, 1000.0, "CCL2 of tubes that are cleared and not refilled", Fitted("searched"))] = (
        0.3
    )
    igf1_living: Annotated[float, Quantity("ng/mL/h", 0.0, 1000.0, "IGF-1 of living fibres", Fitted("searched"))] = 2.3


class FibreInjury(NamedTuple):
    """What kills a living fibre."""

    wear_rate: Annotated[float, Quantity("1/h", 0.0, 0.01, "death without inflammation", Assumed("about one fibre in ten a year"))] = 9e-06
    macrophage_rate: Annotated[
        float,
        Quantity(
            "1/h", 0.0, 10.0, "death per fully inflammatory, fully armed macrophage whose whole reach is that fibre", Fitted("handset")
        ),
    ] = 0.004
    unarmed_share: Annotated[float, Quantity("1", 0.0, 1.0, "share of that which needs no interferon-gamma", Fitted("wellmixed"))] = 0.0156
    ifn_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000.0, "interferon-gamma that arms half", Fitted("wellmixed"))] = 1.0
    tnf_free_share: Annotated[
        float, Quantity("1", 0.0, 1.0, "share of the attack that needs no TNF-alpha", Assumed("iNOS and perforin do without"))
    ] = 0.5
    tnf_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000.0, "TNF-alpha of half of the rest", Assumed("as for differentiation"))] = 0.3
    il10_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000000.0, "IL-10 that halves the attack", Fitted("wellmixed"))] = 4.4
    complement_rate: Annotated[
        float, Quantity("1/h", 0.0, 10.0, "death of a living fibre that is covered with membrane attack complex", Assumed("days"))
    ] = 0.02


class FibreGrowth(NamedTuple):
    """How a regenerating fibre gets its size back."""

    rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "relative growth at full IGF-1 and normal perfusion", Fitted("searched"))] = 0.04
    igf1_half: Annotated[float, Quantity("ng/mL", 1e-06, 10000.0, "IGF-1 of half effect", Fitted("searched"))] = 20.0
    room_half: Annotated[float, Quantity("1", 1e-06, 1.0, "share of open territory at which growth is halved", Fitted("searched"))] = 0.05
    debris_half: Annotated[
        float, Quantity("1", 1e-06, 1.0, "share of debris in the territory at which fusion and growth are halved", Fitted("searched"))
    ] = 0.1
    elongation_rate: Annotated[
        float,
        Quantity(
            "1/h",
            0.0,
            10.0,
            "an open tube being reached along its length at full vigour, where all others regenerate",
            Fitted("searched"),
        ),
    ] = 0.019
    maturation_time: Annotated[
        float, Quantity("h", 1.0, 100000.0, "mean time until a regenerated fibre counts as mature", Assumed("about three weeks"))
    ] = 480.0
    regrowth_share: Annotated[
        float,
        Quantity(
            "1",
            0.0,
            1.0,
            "growth into what a fibre has left by thinning, over that",
            Assumed("so that the atrophy of steroids is made good 3-4 weeks after the taper"),
        ),
    ] = 0.075
    immature_force: Annotated[
        float, Quantity("1", 0.0, 1.0, "force per area of a regenerating fibre over that of a mature one", Assumed("no number found"))
    ] = 0.5
    perfusion_max: Annotated[
        float, Quantity("1", 1.0, 3.0, "blood supply relative to health beyond which more does not help growth", Fitted("searched"))
    ] = 3.0
    wasting_rate: Annotated[
        float,
        Quantity("1/h", 0.0, 1.0, "relative loss of fibre volume without any cause in the tissue, as under a drug", Assumed("0 in health")),
    ] = 0.0
    hypoxic_rate: Annotated[
        float,
        Quantity(
            "1/h", 0.0, 1.0, "relative loss of the volume of a living fibre without any blood supply", Assumed("halves it in two weeks")
        ),
    ] = 0.002
    supply_need: Annotated[
        float, Quantity("1", 0.01, 1.0, "share of its capillaries below which a fibre thins", Assumed("reserve of half"))
    ] = 0.5


class Fibre(NamedTuple):
    """Muscle fibres."""

    secretion: FibreSecretion = FibreSecretion()
    injury: FibreInjury = FibreInjury()
    growth: FibreGrowth = FibreGrowth()
    alarm_time: Annotated[float, Quantity("h", 0.1, 240.0, "time constant of what is special about fresh damage", Fitted("searched"))] = (
        10.0
    )
    cleared_debris: Annotated[
        float, Quantity("1", 0.001, 0.9, "debris left in a voxel at which it counts as cleared", Assumed("a convention"))
    ] = 0.1


class Neutrophil(NamedTuple):
    """Neutrophils."""

    entry_rate: Annotated[float, Quantity("1/h", 0.0, 100.0, "entry per perfused capillary at full interleukin-1", Fitted("handset"))] = (
        0.12
    )
    il1_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000.0, "interleukin-1 of half entry", Fitted("searched"))] = 0.22
    lifetime: Annotated[float, Quantity("h", 0.5, 100.0, "mean time to apoptosis in tissue", Fitted("searched"))] = 10.0
    lysis_rate: Annotated[float, Quantity("1/h", 0.0, 10.0, "decay of apoptotic cells that nobody eats", Assumed("wellmixed"))] = 0.0167
    engulf_rate: Annotated[float, Quantity("um3/h", 0.0, 100000.0, "debris cleared by one neutrophil", Fitted("searched"))] = 2500.0
    volume: Annotated[
        float,
        Quantity("um3", 10.0, 5000.0, "volume of an apoptotic cell, as load for who eats it", Assumed("a sphere of some 8 um across")),
    ] = 300.0
    tnf_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "secretion", Fitted("wellmixed"))] = 4.7e-05
    ccl2_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "secretion", Fitted("searched"))] = 0.0001
    il1_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "secretion", Fitted("searched"))] = 0.0


class MonocyteEntry(NamedTuple):
    """Entry of monocytes through perfused capillaries."""

    stimulated_rate: Annotated[
        float, Quantity("1/h", 0.0, 100.0, "entry per perfused capillary at full ligand and normal blood count", Fitted("handset"))
    ] = 0.045
    basal_rate: Annotated[float, Quantity("1/h", 0.0, 10.0, "entry per perfused capillary without any signal", Fitted("handset"))] = 0.0012
    ccr2_free_share: Annotated[float, Quantity("1", 0.0, 1.0, "share of stimulated entry that does not need CCR2", Fitted("searched"))] = (
        0.1
    )
    ccr2: Annotated[float, Quantity("1", 0.0, 1.0, "working CCR2: 1 in health, 0 in a knock-out", Measured("arnold2007"))] = 1.0
    ccl2_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000.0, "CCL2 of half entry", Fitted("searched"))] = 0.6


class Monocyte(NamedTuple):
    """Monocytes in tissue."""

    entry: MonocyteEntry = MonocyteEntry()
    maturation_time: Annotated[float, Quantity("h", 1.0, 100.0, "mean time to macrophage", Fitted("searched"))] = 9.0
    death_rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "death before maturation", Fitted("wellmixed"))] = 0.002


class InflammatoryActivation(NamedTuple):
    """What drives the inflammatory level and what opposes it."""

    at_maturation: Annotated[
        float, Quantity("1", 0.0, 1.0, "level of a monocyte that has just become a macrophage", Fitted("searched"))
    ] = 0.4
    time: Annotated[float, Quantity("h", 0.1, 100.0, "time constant of the level", Fitted("searched"))] = 8.0
    damp_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000000.0, "danger signal of unit drive", Fitted("searched"))] = 6.0
    tnf_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000000.0, "TNF-alpha of unit drive", Fitted("searched"))] = 10.0
    ifn_gain: Annotated[float, Quantity("1", 0.0, 100.0, "drive at saturating interferon-gamma", Fitted("wellmixed"))] = 3.2
    ifn_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000000.0, "interferon-gamma of half of that", Fitted("wellmixed"))] = 1.0
    il10_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000000.0, "IL-10 of unit opposition", Fitted("searched"))] = 1.0
    il4_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000000.0, "IL-4 of unit opposition", Assumed("wellmixed"))] = 1.0


class RepairActivation(NamedTuple):
    """What drives the repair level and what opposes it."""

    at_maturation: Annotated[
        float, Quantity("1", 0.0, 1.0, "level of a monocyte that has just become a macrophage", Assumed("wellmixed"))
    ] = 0.05
    time: Annotated[float, Quantity("h", 0.1, 500.0, "time constant of the level", Fitted("searched"))] = 28.0
    load_half: Annotated[float, Quantity("um3", 1.0, 1000000.0, "engulfed volume of unit drive", Fitted("searched"))] = 7500.0
    il10_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000000.0, "IL-10 of unit drive", Fitted("searched"))] = 1.5
    il4_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000000.0, "IL-4 of unit drive", Assumed("wellmixed"))] = 1.0
    ampk_drive: Annotated[float, Quantity("1", 0.0, 100.0, "drive of AMPK without any signal", Fitted("wellmixed"))] = 0.255
    ifn_gain: Annotated[float, Quantity("1", 0.0, 100.0, "opposition at saturating interferon-gamma", Fitted("wellmixed"))] = 2.6
    ifn_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000000.0, "interferon-gamma of half of that", Fitted("wellmixed"))] = 1.0
    damp_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000000.0, "danger signal of unit opposition", Fitted("searched"))] = 30.0


class Engulfment(NamedTuple):
    """Eating of debris and of dead cells."""

    rate: Annotated[
        float, Quantity("um3/h", 0.0, 100000.0, "debris cleared by one repair macrophage in full contact", Fitted("searched"))
    ] = 1400.0
    inflammatory_share: Annotated[
        float, Quantity("1", 0.0, 1.0, "rate of a purely inflammatory macrophage relative to that", Fitted("searched"))
    ] = 0.5
    il10_gain: Annotated[float, Quantity("1", 0.0, 100.0, "gain of the rate at saturating IL-10", Fitted("searched"))] = 1.0
    il10_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000000.0, "IL-10 of half of that", Fitted("wellmixed"))] = 1.0
    corpse_rate: Annotated[
        float, Quantity("1/h", 0.0, 100.0, "hazard of an apoptotic neutrophil per macrophage in reach", Fitted("handset"))
    ] = 0.5
    digestion_time: Annotated[float, Quantity("h", 1.0, 1000.0, "time constant at which load is digested", Fitted("wellmixed"))] = 28.0


class MacrophageSecretion(NamedTuple):
    """Secretion of one macrophage; x a: at full inflammatory level, x r: at full repair level."""

    tnf_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "TNF-alpha, x a", Fitted("searched"))] = 0.0003
    ccl2_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "CCL2, x a", Fitted("searched"))] = 1.5e-05
    il1_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "IL-1beta, x a", Fitted("searched"))] = 0.0
    il6_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "IL-6, whatever the levels", Fitted("searched"))] = 0.0005
    il10_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "IL-10, x r", Fitted("wellmixed"))] = 0.00025
    tgf_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "TGF-beta, x r", Fitted("searched"))] = 5.5e-05
    igf1_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "IGF-1, x r", Fitted("wellmixed"))] = 0.0036
    vegf_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "VEGF, whatever the levels", Fitted("searched"))] = 0.0001


class MacrophageDeath(NamedTuple):
    """What kills macrophages."""

    rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "death with M-CSF in plenty", Fitted("searched"))] = 0.02
    starved_rate: Annotated[
        float, Quantity("1/h", 0.0, 1.0, "added death without any M-CSF", Assumed("so that resident cells need the niche"))
    ] = 0.02
    mcsf_half: Annotated[
        float, Quantity("ng/mL", 1e-06, 1000.0, "M-CSF that halves the added death", Assumed("of the order of its resting level"))
    ] = 1.0
    tnf_rate: Annotated[
        float, Quantity("1/h", 0.0, 1.0, "added death of a fully inflammatory cell at saturating TNF-alpha", Fitted("searched"))
    ] = 0.01
    tnf_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000.0, "TNF-alpha of half of that", Fitted("wellmixed"))] = 1.0


class Macrophage(NamedTuple):
    """Macrophages with two continuous activation levels, a (inflammatory) and r (repair)."""

    inflammatory_activation: InflammatoryActivation = InflammatoryActivation()
    repair_activation: RepairActivation = RepairActivation()
    engulfment: Engulfment = Engulfment()
    secretion: MacrophageSecretion = MacrophageSecretion()
    death: MacrophageDeath = MacrophageDeath()
    division_rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "division at full repair level and load", Fitted("searched"))] = 0.01
    division_load_half: Annotated[float, Quantity("um3", 1.0, 1e6, "load at which division is half of that", Fitted("wellmixed"))] = 20000.0
    presentation_load_half: Annotated[
        float, Quantity("um3", 1.0, 1e6, "load at which a macrophage presents half as much as it can", Fitted("wellmixed"))
    ] = 20000.0


class Cd4(NamedTuple):
    """CD4 T cells."""

    tolerance: Annotated[
        float, Quantity("1", 0.0, 1.0, "share of presented self-antigen that is ignored: health 0.95, disease 0.3", Assumed("wellmixed"))
    ] = 0.95
    entry_rate: Annotated[
        float, Quantity("1/h", 0.0, 10.0, "entry per perfused capillary at full presentation without tolerance", Fitted("handset"))
    ] = 0.0014
    presentation_half: Annotated[
        float, Quantity("cells/mm3", 1.0, 1000000.0, "presenting macrophages of half effect", Fitted("handset"))
    ] = 300.0
    division_rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "division at full presentation without tolerance", Fitted("wellmixed"))] = (
        0.0262
    )
    density_max: Annotated[float, Quantity("cells/mm3", 1.0, 1000000.0, "density at which division stops", Assumed("wellmixed"))] = 1500.0
    lifetime: Annotated[float, Quantity("h", 1.0, 10000.0, "mean time in tissue", Fitted("wellmixed"))] = 163.0
    ifn_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "secretion of interferon-gamma", Fitted("handset"))] = 0.0015
    il10_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "secretion of IL-10", Assumed("wellmixed"))] = 0.00027
    il4_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "secretion of IL-4", Assumed("a Th2 share of a tenth"))] = 3e-05
    suppression_half: Annotated[
        float,
        Quantity(
            "cells/mm3", 1.0, 1000000.0, "regulatory T cells that halve recognition", Assumed("as many as effector cells in healing muscle")
        ),
    ] = 500.0
    memory_gain: Annotated[float, Quantity("1", 0.0, 100.0, "rise of entry at full memory", Fitted("handset"))] = 4.0
    reactivation_rate: Annotated[
        float,
        Quantity("1/h", 0.0, 1.0, "entry per perfused capillary at full memory without tolerance and without antigen", Fitted("handset")),
    ] = 0.0001
    memory_half: Annotated[
        float, Quantity("cells/mm3", 1.0, 1000000.0, "CD4 cells at which memory heads for half", Assumed("wellmixed"))
    ] = 300.0
    memory_rise_time: Annotated[
        float, Quantity("h", 1.0, 100000.0, "time constant of rising memory", Assumed("three weeks, wellmixed"))
    ] = 480.0
    memory_time: Annotated[
        float,
        Quantity(
            "h", 1.0, 1000000.0, "time constant of fading memory", Assumed("a year: relapses come mostly in the first two [clinrheum2006]")
        ),
    ] = 8760.0


class RegulatoryT(NamedTuple):
    """Regulatory T cells."""

    entry_rate: Annotated[
        float,
        Quantity(
            "1/h",
            0.0,
            10.0,
            "entry per perfused capillary at full presentation, whatever the tolerance",
            Assumed("peaks while satellite cells expand [burzyn2013]"),
        ),
    ] = 0.0005
    lifetime: Annotated[float, Quantity("h", 1.0, 10000.0, "mean time in tissue", Assumed("days"))] = 120.0
    il10_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "secretion of IL-10", Assumed("as a CD4 cell"))] = 0.0003


class Cd8(NamedTuple):
    """CD8 T cells."""

    entry_rate: Annotated[
        float,
        Quantity(
            "1/h",
            0.0,
            10.0,
            "entry per perfused capillary at full recognition and interferon-gamma",
            Assumed("rare or absent in biopsies [imamreview2025]"),
        ),
    ] = 0.0005
    ifn_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000.0, "interferon-gamma of half of that", Assumed("wellmixed"))] = 1.0
    lifetime: Annotated[float, Quantity("h", 1.0, 10000.0, "mean time in tissue", Assumed("wellmixed"))] = 96.0
    kill_rate: Annotated[
        float,
        Quantity(
            "1/h", 0.0, 10.0, "death of a fibre per CD8 cell whose whole reach is that fibre", Assumed("a fraction of an armed macrophage")
        ),
    ] = 0.002
    ifn_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "secretion of interferon-gamma", Assumed("wellmixed"))] = 0.001


class Antibody(NamedTuple):
    """B cells and the autoantibody that they make."""

    b_cell_entry_rate: Annotated[
        float,
        Quantity(
            "1/h", 0.0, 10.0, "entry of B cells per venule at full recognition", Assumed("in the fascia of three of three [hara2010]")
        ),
    ] = 0.002
    b_cell_lifetime: Annotated[float, Quantity("h", 1.0, 10000.0, "mean time of a B cell in tissue", Assumed("weeks"))] = 480.0
    b_cell_half: Annotated[
        float,
        Quantity(
            "cells/mm3", 1.0, 1000000.0, "B cells at which the antibody heads for half of its highest level", Assumed("no measurement")
        ),
    ] = 200.0
    half_life: Annotated[
        float, Quantity("h", 1.0, 10000.0, "half-life of the antibody in blood", Assumed("three weeks, as immunoglobulin G"))
    ] = 504.0
    elsewhere: Annotated[
        float,
        Quantity(
            "1",
            0.0,
            1.0,
            "level that B cells outside the muscle keep up: 0 in health",
            Assumed("lymph node and marrow in diseases with their own antibody"),
        ),
    ] = 0.0
    share: Annotated[float, Quantity("1", 0.0, 1.0, "share of the antibody that works: lowered by a drug", Assumed("1 is health"))] = 1.0
    fibre_binding: Annotated[
        float,
        Quantity(
            "1",
            0.0,
            100.0,
            "binding to the membrane of living fibres; 0 where there is no antigen, as in IMAM",
            Assumed("complement on necrotic fibres only [imamreview2025]"),
        ),
    ] = 0.0
    capillary_binding: Annotated[
        float,
        Quantity(
            "1", 0.0, 100.0, "binding to capillaries; 0 where there is no antigen, as in IMAM", Assumed("seen in dermatomyositis only")
        ),
    ] = 0.0


class Complement(NamedTuple):
    """Complement and the membrane attack complex."""

    level: Annotated[
        float,
        Quantity(
            "1", 0.0, 10.0, "level in blood that the liver keeps up, relative to health: 0 under full blockade", Assumed("1 is health")
        ),
    ] = 1.0
    half_life: Annotated[float, Quantity("h", 1.0, 1000.0, "half-life in blood", Assumed("some days"))] = 60.0
    deposition_rate: Annotated[
        float, Quantity("1/h", 0.0, 10.0, "deposition on debris, or where bound antibody is 1", Assumed("within a day"))
    ] = 0.3
    loss_rate: Annotated[float, Quantity("1/h", 0.0, 10.0, "shedding", Assumed("within days"))] = 0.1
    ifn_gain: Annotated[
        float,
        Quantity(
            "1",
            0.0,
            100.0,
            "rise of the deposition on capillaries at saturating interferon-gamma",
            Assumed("interferon signature of dermatomyositis capillaries"),
        ),
    ] = 2.0
    ifn_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000.0, "interferon-gamma of half of that", Assumed("as elsewhere"))] = 1.0


class Particle(NamedTuple):
    """Persistent particles, such as an aluminium adjuvant, that macrophages cannot digest."""

    damp_rate: Annotated[
        float, Quantity("ng/mL/h", 0.0, 1000.0, "danger signal of a voxel full of particles", Assumed("about that of debris"))
    ] = 40.0
    ccl2_rate: Annotated[
        float, Quantity("ng/mL/h", 0.0, 1000.0, "CCL2 of the cells at a voxel full of particles", Assumed("enough to hold a granuloma"))
    ] = 6.0
    dissolution_rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "dissolution", Assumed("lasts for years [gherardi1998]"))] = 4e-05


class SatelliteActivation(NamedTuple):
    """Waking of quiescent satellite cells and return to sleep."""

    rate: Annotated[float, Quantity("1/h", 0.0, 10.0, "activation at saturating cue", Fitted("searched"))] = 0.1
    hgf_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000.0, "HGF of unit cue", Fitted("searched"))] = 0.15
    tnf_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000000.0, "TNF-alpha of unit cue", Fitted("wellmixed"))] = 12.0
    renewal_rate: Annotated[float, Quantity("1/h", 0.0, 10.0, "return to sleep without cue", Fitted("searched"))] = 0.1


class SatelliteDivision(NamedTuple):
    """Division of activated satellite cells."""

    rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "division at saturating IL-6 with room", Fitted("searched"))] = 0.085
    il6_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000.0, "IL-6 of half effect (Hill coefficient 2)", Fitted("searched"))] = 1.8
    crowding: Annotated[
        float, Quantity("1", 1.0, 1000.0, "cells of the lineage within reach at which division stops", Fitted("searched"))
    ] = 2.5


class SatelliteDifferentiation(NamedTuple):
    """From dividing cell to myocyte."""

    rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "differentiation at saturating TNF-alpha and IGF-1", Fitted("searched"))] = 0.2
    tnf_free_share: Annotated[float, Quantity("1", 0.0, 1.0, "share that needs no TNF-alpha", Fitted("searched"))] = 0.02
    tnf_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000.0, "TNF-alpha of half effect (p38)", Fitted("wellmixed"))] = 0.07
    igf1_half: Annotated[float, Quantity("ng/mL", 1e-06, 10000.0, "IGF-1 of half effect", Fitted("searched"))] = 40.0
    contact_half: Annotated[
        float,
        Quantity(
            "1",
            0.01,
            100.0,
            "cells of the lineage within reach, itself included, at half effect",
            Fitted("searched"),
        ),
    ] = 1.0


class Satellite(NamedTuple):
    """The satellite lineage up to the myocyte."""

    activation: SatelliteActivation = SatelliteActivation()
    division: SatelliteDivision = SatelliteDivision()
    differentiation: SatelliteDifferentiation = SatelliteDifferentiation()
    death_rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "death of activated cells", Fitted("searched"))] = 0.004
    surplus_rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "loss of quiescent cells for which there is no niche", Fitted("searched"))] = (
        0.03
    )
    injury_death: Annotated[
        float, Quantity("1", 0.0, 1.0, "share of the cells of a fibre that die with it in a toxin injury", Fitted("searched"))
    ] = 0.7
    ccl2_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "CCL2 of an activated cell", Fitted("searched"))] = 2e-06


class Myocyte(NamedTuple):
    """Myocytes."""

    fusion_rate: Annotated[float, Quantity("1/h", 0.0, 10.0, "fusion in contact with open territory", Fitted("searched"))] = 0.5
    room_half: Annotated[float, Quantity("1", 1e-6, 1.0, "open share of the territory at which fusion is halved", Fitted("wellmixed"))] = (
        0.05
    )
    death_rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "death of cells that do not fuse", Fitted("searched"))] = 0.02
    volume: Annotated[
        float,
        Quantity("um3", 1000.0, 1000000.0, "fibre volume that one fused nucleus brings (myonuclear domain)", Measured("alghazawi2025")),
    ] = 33000.0


class Fibroblast(NamedTuple):
    """Fibroblasts and myofibroblasts."""

    division_rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "division at saturating cue with room", Fitted("searched"))] = 0.04
    satellite_half: Annotated[
        float, Quantity("1", 0.01, 1000.0, "activated satellite cells within reach of unit cue", Fitted("wellmixed"))
    ] = 2.0
    tgf_half: Annotated[
        float,
        Quantity("ng/mL", 1e-06, 1000.0, "TGF-beta above which it drives division and activation (Hill coefficient 2)", Fitted("searched")),
    ] = 3.0
    hgf_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000.0, "HGF of unit cue (grows with its square)", Fitted("searched"))] = 0.5
    crowding: Annotated[
        float, Quantity("1", 1.0, 1000.0, "fibroblasts within reach at which division stops", Assumed("contact inhibition"))
    ] = 5.0
    return_rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "loss of fibroblasts born since the start", Fitted("wellmixed"))] = 0.0098
    tnf_death_rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "added loss at saturating TNF-alpha", Fitted("searched"))] = 0.035
    tnf_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000.0, "TNF-alpha of half of that", Fitted("wellmixed"))] = 1.0
    tgf_rescue_half: Annotated[
        float, Quantity("ng/mL", 1e-06, 1000.0, "TGF-beta that halves that loss (Hill coefficient 2)", Fitted("lemos2015"))
    ] = 3.8
    activation_rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "fibroblast to myofibroblast at saturating TGF-beta", Assumed("days"))] = (
        0.02
    )
    deactivation_rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "myofibroblast to fibroblast", Assumed("about a week"))] = 0.006
    tgf_secretion_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "TGF-beta", Fitted("wellmixed"))] = 0.00019
    mcsf_secretion_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "M-CSF", Assumed("about 1 ng/mL at rest"))] = 0.0001
    ccl2_secretion_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "CCL2 at saturating danger signal", Fitted("searched"))] = 6e-05
    damp_half: Annotated[float, Quantity("ng/mL", 1e-06, 10000.0, "danger signal of half of that", Fitted("searched"))] = 4.0


class Collagen(NamedTuple):
    """Collagen and scar."""

    turnover_rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "turnover of healthy collagen", Fitted("wellmixed"))] = 0.00112
    deposition_rate: Annotated[
        float,
        Quantity("um3/h", 0.0, 100000.0, "volume that one myofibroblast brings up by one healthy level", Fitted("searched")),
    ] = 50.0
    mmp_gain: Annotated[float, Quantity("1", 0.0, 100.0, "gain of the loss per macrophage in reach", Fitted("wellmixed"))] = 0.3
    scar_rate: Annotated[
        float, Quantity("1/h", 0.0, 1.0, "closing of open space at saturating TGF-beta among fibroblasts", Fitted("searched"))
    ] = 0.001
    scar_tgf_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000.0, "TGF-beta of half effect", Fitted("wellmixed"))] = 1.0
    scar_fibroblast_half: Annotated[float, Quantity("1", 0.01, 1000.0, "fibroblasts within reach of half effect", Assumed("wellmixed"))] = (
        1.0
    )
    scar_collagen: Annotated[
        float, Quantity("1", 0.0, 100.0, "collagen of a fresh scar relative to healthy endomysium", Assumed("dense"))
    ] = 2.0
    scar_loss_rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "remodelling of scar and fat back to open space", Assumed("wellmixed"))] = (
        0.0001
    )
    fat_rate: Annotated[
        float, Quantity("1/h", 0.0, 1.0, "closing of open space by fat among fibroblasts, without IL-4", Assumed("a tenth of scar"))
    ] = 0.0002
    fat_il4_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000.0, "IL-4 that halves that", Assumed("direction: [heredia2013]"))] = 0.3


class Vessel(NamedTuple):
    """Capillaries."""

    injury_loss: Annotated[
        float, Quantity("1", 0.0, 1.0, "share of the capillaries at a fibre that a toxin injury closes", Fitted("searched"))
    ] = 0.6
    necrosis_loss: Annotated[
        float,
        Quantity("1", 0.0, 1.0, "share of the capillaries at a fibre that its death by inflammation closes", Assumed("spared mostly")),
    ] = 0.2
    complement_rate: Annotated[
        float, Quantity("1/h", 0.0, 10.0, "closing of a capillary that is covered with membrane attack complex", Assumed("hours"))
    ] = 0.2
    regrowth_rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "reopening at saturating VEGF", Fitted("searched"))] = 0.03
    sprouting_rate: Annotated[
        float, Quantity("1/h", 0.0, 1.0, "sprouting at saturating VEGF, per site at an open capillary", Fitted("searched"))
    ] = 0.04
    sprouting_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000.0, "VEGF of half of that (Hill coefficient 2)", Fitted("searched"))] = (
        3.0
    )
    pruning_rate: Annotated[float, Quantity("1/h", 0.0, 1.0, "loss of sprouts without VEGF", Fitted("searched"))] = 0.006
    vegf_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000.0, "VEGF of half effect", Fitted("searched"))] = 2.0
    vegf_rate: Annotated[float, Quantity("pg/h", 0.0, 1.0, "VEGF of the tissue around a closed capillary", Fitted("wellmixed"))] = 8e-05
    ccl2_rate: Annotated[
        float,
        Quantity(
            "pg/h",
            0.0,
            1.0,
            "CCL2 of the tissue around a closed capillary",
            Fitted("searched"),
        ),
    ] = 4e-05


class Blood(NamedTuple):
    """Compartments of the blood."""

    monocyte_time: Annotated[
        float, Quantity("h", 0.1, 1000.0, "time constant of the monocyte count", Assumed("about a day in circulation"))
    ] = 24.0
    monocyte_mobilisation: Annotated[
        float, Quantity("1", 0.0, 100.0, "rise of the count at saturating CCL2 in muscle", Assumed("monocytosis in injury is mild"))
    ] = 1.0
    monocyte_ccl2_half: Annotated[float, Quantity("ng/mL", 1e-06, 1000.0, "mean CCL2 of half of that", Assumed("as for entry"))] = 1.0
    interferon_half_life: Annotated[
        float, Quantity("h", 0.1, 1000.0, "half-life of the interferon of an infection", Assumed("about a day of fever"))
    ] = 24.0
    creatine_kinase_rest: Annotated[
        float,
        Quantity(
            "U/L", 0.0, 100000.0, "creatine kinase in health", Assumed("inside the range of health, whose upper limit is 250 to 500 U/L")
        ),
    ] = 120.0
    creatine_kinase_half_life: Annotated[
        float,
        Quantity(
            "h",
            0.1,
            1000.0,
            "half-life of creatine kinase",
            Assumed("textbooks say about 36 h; the course after treatment [ck_kinetics] agrees"),
        ),
    ] = 36.0
    creatine_kinase_release: Annotated[
        float,
        Quantity(
            "U/L",
            0.0,
            100000000.0,
            "rise if all muscle died at once and none were cleared",
            Assumed("so that a chronic loss of 1 % a day gives some 2,500 U/L"),
        ),
    ] = 120000.0


class Geometry(NamedTuple):
    """The tissue at time 0."""

    depth: Annotated[
        float,
        Quantity(
            "um", 1.0, 200.0, "depth of the slab that the section stands for", Assumed("what a 10 um section shows of cells 10-15 um wide")
        ),
    ] = 20.0
    fibre_area: Annotated[
        float, Quantity("um2", 100.0, 20000.0, "mean cross-section of a fibre", Assumed("diameter 50-60 um in human muscle"))
    ] = 2500.0
    fibre_area_variation: Annotated[
        float,
        Quantity("1", 0.0, 0.6, "coefficient of variation of that area (gamma distribution)", Assumed("biopsies range from 0.2 to 0.35")),
    ] = 0.25
    endomysium_width: Annotated[
        float, Quantity("um", 5.0, 50.0, "gap between neighbouring fibres", Assumed("one voxel or more, so that cells can pass"))
    ] = 6.0
    fascicle_area: Annotated[float, Quantity("um2", 10000.0, 100000000.0, "mean area of a fascicle", Assumed("some 60 fibres"))] = 200000.0
    perimysium_width: Annotated[float, Quantity("um", 5.0, 500.0, "gap between fascicles", Assumed("histology of biopsies"))] = 22.0
    fascia_width: Annotated[
        float, Quantity("um", 0.0, 1000.0, "band of fascia along the top edge", Assumed("so that it is seen in a 1 mm section"))
    ] = 60.0
    capillaries_around_fibre: Annotated[float, Quantity("1", 0.0, 20.0, "capillaries that touch a fibre", Measured("brodal1977"))] = 4.0
    venules: Annotated[
        float, Quantity("1/mm2", 0.0, 10000.0, "venules per area of perimysium and fascia", Assumed("where leukocytes mostly come in"))
    ] = 300.0
    capillary_reach: Annotated[
        float, Quantity("um", 5.0, 50.0, "distance from a voxel of a fibre within which a capillary touches it", Assumed("the next voxel"))
    ] = 7.5
    satellites_per_fibre: Annotated[
        float, Quantity("1", 0.0, 10.0, "quiescent satellite cells per fibre in the section", Measured("mikkelsen2009"))
    ] = 0.07
    macrophages: Annotated[float, Quantity("cells/mm3", 0.0, 1000000.0, "resident macrophages", Fitted("wellmixed"))] = 1500.0
    fibroblasts: Annotated[float, Quantity("cells/mm3", 0.0, 1000000.0, "fibroblasts", Assumed("about one to three fibres"))] = 5000.0
    perimysium_collagen: Annotated[
        float, Quantity("1", 0.0, 100.0, "collagen of perimysium relative to endomysium", Assumed("denser than endomysium"))
    ] = 2.0
    fascia_collagen: Annotated[
        float, Quantity("1", 0.0, 100.0, "collagen of fascia relative to endomysium", Assumed("the densest of the three"))
    ] = 3.0


class Parameters(NamedTuple):
    """All parameters of one tissue."""

    geometry: Geometry = Geometry()
    signal: SignalTransport = SignalTransport()
    motion: Motion = Motion()
    fibre: Fibre = Fibre()
    neutrophil: Neutrophil = Neutrophil()
    monocyte: Monocyte = Monocyte()
    macrophage: Macrophage = Macrophage()
    cd4: Cd4 = Cd4()
    regulatory_t: RegulatoryT = RegulatoryT()
    cd8: Cd8 = Cd8()
    antibody: Antibody = Antibody()
    complement: Complement = Complement()
    particle: Particle = Particle()
    satellite: Satellite = Satellite()
    myocyte: Myocyte = Myocyte()
    fibroblast: Fibroblast = Fibroblast()
    collagen: Collagen = Collagen()
    vessel: Vessel = Vessel()
    blood: Blood = Blood()


PRESETS: dict[str, dict[str, Preset]] = {
    "human": {},
    "mouse": {
        "geometry.fibre_area": Preset(1600.0, Assumed("tibialis anterior of the adult mouse, mixed types")),
        "geometry.fibre_area_variation": Preset(0.35, Assumed("mixed fibre types")),
        "geometry.endomysium_width": Preset(5.0, Assumed("one voxel, the least that cells can pass")),
        "geometry.fascicle_area": Preset(4e5, Assumed("few, large fascicles")),
        "geometry.perimysium_width": Preset(15.0, Assumed("thinner than in man")),
        "geometry.fascia_width": Preset(30.0, Assumed("thinner than in man")),
        "geometry.satellites_per_fibre": Preset(0.11, Measured("alghazawi2025")),
        "neutrophil.entry_rate": Preset(0.0525, Fitted("searched")),
        "monocyte.entry.stimulated_rate": Preset(0.017, Fitted("searched")),
        "monocyte.entry.basal_rate": Preset(0.0006, Fitted("searched")),
        "cd4.entry_rate": Preset(0.0012, Fitted("handset")),
    },
}
