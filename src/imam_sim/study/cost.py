"""About how long a run takes and how much room its outcomes take."""

from __future__ import annotations

import math

from imam_sim.study.scenario import Scenario

SECONDS_A_STEP = 3.5e-3  # of a core whose neighbours are busy, whatever the size; all three measured on acute_injury and imam_untreated
SECONDS_A_STEP_AND_MM2 = 4e-3
SECONDS_AN_HOUR_AND_MM2 = 14e-3  # of simulated time, however it is cut into steps
COMPRESSED = 0.42  # of eight bytes a number, measured on acute_injury
BYTES_A_ROW = 1500.0  # of a study, whatever was recorded: names, keys and indexes


def seconds_of(scenario: Scenario) -> float:
    """About how long one core takes for a run; a slower machine takes longer."""
    tissue, hours = scenario.tissue, scenario.duration
    steps, mm2 = hours / scenario.step, tissue.width * tissue.height * 1e-6
    return steps * (SECONDS_A_STEP + SECONDS_A_STEP_AND_MM2 * mm2) + hours * SECONDS_AN_HOUR_AND_MM2 * mm2


def bytes_of(scenario: Scenario, n_outcomes: int) -> float:
    """About how much room so many outcomes of a run take in a study."""
    n_times = math.ceil(scenario.duration / scenario.record.every) + 1
    return BYTES_A_ROW + n_times * n_outcomes * 8.0 * COMPRESSED
