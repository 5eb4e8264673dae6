"""B cells, the autoantibody that they make, and complement that settles where debris lies or antibody has bound.

In inflammatory myopathy with abundant macrophages the membrane attack complex lies on necrotic fibres only [imamreview2025]: debris
activates complement by itself. Where antibody binds decides the neighbours: on capillaries in dermatomyositis, on the membrane of living
fibres in necrotising myopathy.
"""

from __future__ import annotations

from imam_sim.model.fields import read
from imam_sim.model.jit import jit
from imam_sim.model.maths import hill, relax
from imam_sim.model.params import Antibody, Complement
from imam_sim.model.quantity import LN2
from imam_sim.model.state import Compartment, Fibres, Floats, Now, Signal, VesselKind, Vessels


@jit
def antibody_target(b_cells: float, p: Antibody) -> float:
    """Level of autoantibody in blood, 0-1, that is headed for: elsewhere + (1 - elsewhere) B/(B + b_cell_half), B cells per mm3."""
    return p.elsewhere + (1.0 - p.elsewhere) * hill(b_cells, p.b_cell_half)


@jit
def deposition_on_debris(debris: float, complement: float, p: Complement) -> float:
    """Rate of deposition on the debris of a fibre [1/h]: deposition_rate complement debris, the share of its territory."""
    return p.deposition_rate * complement * debris


@jit
def deposition_on_membrane(living: float, antibody: float, complement: float, binding: float, p: Complement) -> float:
    """Rate of deposition on the membrane of a fibre [1/h]: deposition_rate complement binding antibody living, a share of its territory."""
    return p.deposition_rate * complement * binding * antibody * living


@jit
def deposition_on_vessel(antibody: float, ifn: float, complement: float, binding: float, p: Complement) -> float:
    """Rate of deposition on a vessel [1/h]: deposition_rate complement binding antibody (1 + ifn_gain IFN/(IFN + ifn_half))."""
    return p.deposition_rate * complement * binding * antibody * (1.0 + p.ifn_gain * hill(ifn, p.ifn_half))


@jit
def coated(before: float, deposition: float, p: Complement, dt: float) -> float:
    """The deposit m after a step: dm/dt = deposition (1 - m) - loss_rate m, solved exactly."""
    turnover = deposition + p.loss_rate
    if turnover == 0.0:
        return before
    return relax(before, deposition / turnover, 1.0 / turnover, dt)


@jit
def coat_fibres(fibres: Fibres, debris: Floats, blood: Floats, antibody: Antibody, p: Complement, now: Now) -> None:
    """Let complement settle on fibres; `debris` is the share of each territory (writes complement, opsonised)."""
    working, level = antibody.share * blood[Compartment.AUTOANTIBODY], blood[Compartment.COMPLEMENT]
    for f in range(fibres.x.size):
        alive = fibres.living[f] / fibres.territory[f]
        on_membrane = deposition_on_membrane(alive, working, level, antibody.fibre_binding, p)
        if on_membrane > 0.0 or fibres.complement[f] > 0.0:
            fibres.complement[f] = coated(fibres.complement[f], on_membrane, p, now.dt)
        on_debris = deposition_on_debris(debris[f], level, p)
        if on_debris > 0.0 or fibres.opsonised[f] > 0.0:
            fibres.opsonised[f] = coated(fibres.opsonised[f], on_debris, p, now.dt)


@jit
def coat_vessels(vessels: Vessels, level: Floats, blood: Floats, antibody: Antibody, p: Complement, now: Now) -> None:
    """Let complement settle on capillaries and venules to which antibody binds (writes complement)."""
    working = antibody.share * blood[Compartment.AUTOANTIBODY]
    for i in range(vessels.x.size):
        if vessels.kind[i] == VesselKind.SPROUT:
            continue
        ifn = read(level, Signal.IFN_GAMMA, vessels.x[i], vessels.y[i])
        gain = deposition_on_vessel(working, ifn, blood[Compartment.COMPLEMENT], antibody.capillary_binding, p)
        if gain > 0.0 or vessels.complement[i] > 0.0:
            vessels.complement[i] = coated(vessels.complement[i], gain, p, now.dt)


@jit
def circulate_antibody(blood: Floats, b_cells: float, antibody: Antibody, p: Complement, now: Now) -> None:
    """Move autoantibody and complement in blood towards their targets; `b_cells` per mm3 (writes blood)."""
    made = antibody_target(b_cells, antibody)
    blood[Compartment.AUTOANTIBODY] = relax(blood[Compartment.AUTOANTIBODY], made, antibody.half_life / LN2, now.dt)
    blood[Compartment.COMPLEMENT] = relax(blood[Compartment.COMPLEMENT], p.level, p.half_life / LN2, now.dt)
