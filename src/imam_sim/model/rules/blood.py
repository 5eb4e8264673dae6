"""The blood: monocytes that the marrow sends, creatine kinase that dying fibres set free, interferon of an infection."""

from __future__ import annotations

from imam_sim.model.jit import jit
from imam_sim.model.maths import exp, expm1, hill, relax
from imam_sim.model.params import Blood
from imam_sim.model.quantity import LN2
from imam_sim.model.state import Compartment, Fibres, Floats, Now


@jit
def monocyte_target(ccl2: float, p: Blood) -> float:
    """Blood monocytes relative to health that the marrow heads for: 1 + mobilisation CCL2/(CCL2 + half), CCL2 the mean of the muscle."""
    return 1.0 + p.monocyte_mobilisation * hill(ccl2, p.monocyte_ccl2_half)


@jit
def creatine_kinase_target(leaking: float, p: Blood) -> float:
    """Level at which release and clearance of creatine kinase [U/L] balance: rest + release x leaking half_life/ln 2.

    `leaking` is the share of all fibre that sets its enzyme free per hour; the half-life is some 36 h.
    """
    return p.creatine_kinase_rest + p.creatine_kinase_release * leaking * p.creatine_kinase_half_life / LN2


@jit
def leaking_share(fibres: Fibres, alarm_time: float, dt: float) -> float:
    """Share of all fibre territory that sets its enzyme free per hour [1/h], the mean of the step that ends now.

    Each death empties with the time constant T of its alarm; the alarm has faded by the end of the step, so the mean rate over it is
    (exp(dt/T) - 1)/dt times what is left.
    """
    fresh, whole = 0.0, 0.0
    for f in range(fibres.x.size):
        fresh += fibres.alarm[f] * fibres.territory[f]
        whole += fibres.territory[f]
    return fresh / whole * expm1(dt / alarm_time) / dt if whole > 0.0 else 0.0


@jit
def circulate(blood: Floats, fibres: Fibres, ccl2: float, alarm_time: float, p: Blood, now: Now) -> None:
    """Move monocytes and creatine kinase towards their targets, let interferon decay with its half-life (writes blood)."""
    monocytes = monocyte_target(ccl2, p)
    creatine_kinase = creatine_kinase_target(leaking_share(fibres, alarm_time, now.dt), p)
    blood[Compartment.INTERFERON] *= exp(-now.dt * LN2 / p.interferon_half_life)
    blood[Compartment.MONOCYTES] = relax(blood[Compartment.MONOCYTES], monocytes, p.monocyte_time, now.dt)
    blood[Compartment.CREATINE_KINASE] = relax(
        blood[Compartment.CREATINE_KINASE], creatine_kinase, p.creatine_kinase_half_life / LN2, now.dt
    )
