"""Cohorts: who a patient is, and what a file of them may say."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from imam_sim.study.cohort import Cohort, from_plain, load_cohort, plain, usual_values
from imam_sim.study.language import ScenarioError
from imam_sim.study.robustness import load_sets

HEAD = 'schema = 1\ntitle = "A cohort"\nseed = 5\n'
TOLERANCE = '"cd4.tolerance" = { low = 0.2, high = 0.4, source = "assumed" }\n'
ENTRY = '"monocyte.entry.stimulated_rate" = { low = 0.5, high = 2.0, source = "assumed" }\n'


def cohort_of(folder: Path, text: str) -> Cohort:
    (folder / "some.toml").write_text(HEAD + text, encoding="utf-8")
    return load_cohort(str(folder / "some.toml"))


def errors_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        cohort_of(folder, text)
    return [error.removeprefix(f"{folder / 'some.toml'}:") for error in caught.value.errors]


def test_a_patient_is_the_same_each_time(tmp_path: Path) -> None:
    text = f"[range]\n{TOLERANCE}[factor]\n{ENTRY}"
    assert cohort_of(tmp_path, text).patient(3) == cohort_of(tmp_path, text).patient(3)


def test_what_else_is_drawn_changes_no_trait(tmp_path: Path) -> None:
    alone = cohort_of(tmp_path, f"[range]\n{TOLERANCE}")
    together = cohort_of(tmp_path, f'sets = "accepted_sets.csv"\n[range]\n{TOLERANCE}[factor]\n{ENTRY}')
    assert [alone.patient(n).values for n in range(1, 9)] == [together.patient(n).values for n in range(1, 9)]


def test_another_seed_is_other_people(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, f"[range]\n{TOLERANCE}")
    assert cohort.patient(1) != cohort._replace(seed=6).patient(1)


def test_values_are_spread_evenly_over_their_range(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, f"[range]\n{TOLERANCE}")
    n = 2000
    drawn = [float(cohort.patient(k).values["cd4.tolerance"]) for k in range(1, n + 1)]
    z = (sum(drawn) / n - 0.3) / (0.2 / math.sqrt(12.0 * n))
    assert abs(z) <= 4.0
    assert 0.2 <= min(drawn) < 0.202
    assert 0.398 < max(drawn) <= 0.4


def test_one_value_says_nothing_about_another(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, f"[range]\n{TOLERANCE}[factor]\n{ENTRY}")
    n = 2000
    drawn = np.array([list(cohort.traits(k).values()) for k in range(1, n + 1)])
    assert abs(np.corrcoef(drawn.T)[0, 1]) * math.sqrt(n) <= 4.0


def test_each_patient_has_one_of_the_sets_in_proportion_to_a_mouse(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, 'sets = "accepted_sets.csv"\n')
    mouse = usual_values("mouse")
    legal = [{path: value / mouse[path] for path, value in one.items()} for one in load_sets()]
    assert all(cohort.patient(n).factors in legal for n in range(1, 20))


def test_all_sets_are_drawn(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, 'sets = "accepted_sets.csv"\n')
    assert {cohort.draws(n)[2] for n in range(1, 1000)} == set(range(len(load_sets())))


def test_a_factor_multiplies_that_of_the_set(tmp_path: Path) -> None:
    path = "monocyte.entry.stimulated_rate"
    sets = cohort_of(tmp_path, 'sets = "accepted_sets.csv"\n')
    own = cohort_of(tmp_path, f"[factor]\n{ENTRY}")
    both = cohort_of(tmp_path, f'sets = "accepted_sets.csv"\n[factor]\n{ENTRY}')
    assert both.patient(4).factors[path] == own.patient(4).factors[path] * sets.patient(4).factors[path]


def test_a_range_counts_more_than_the_set(tmp_path: Path) -> None:
    path = "neutrophil.lifetime"
    cohort = cohort_of(tmp_path, f'sets = "accepted_sets.csv"\n[range]\n"{path}" = {{ low = 10, high = 12, source = "assumed" }}\n')
    patient = cohort.patient(1)
    assert path in patient.values
    assert path not in patient.factors


def test_a_value_with_a_unit_is_drawn_as_text(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, '[range]\n"patient.weight" = { low = "50 kg", high = "90 kg", source = "assumed" }\n')
    number, unit = str(cohort.patient(1).values["patient.weight"]).split()
    assert 50.0 <= float(number) <= 90.0
    assert unit == "kg"
    assert cohort.traits(1) == {"patient.weight": float(number)}


def test_nested_tables_say_the_same_as_dotted_paths(tmp_path: Path) -> None:
    nested = cohort_of(tmp_path, '[range]\ncd4.tolerance = { low = 0.2, high = 0.4, source = "assumed" }\n')
    assert nested == cohort_of(tmp_path, f"[range]\n{TOLERANCE}")


def test_plain_data_makes_the_same_cohort(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, f'sets = "accepted_sets.csv"\n[range]\n{TOLERANCE}[factor]\n{ENTRY}')
    assert from_plain(json.loads(json.dumps(plain(cohort)))) == cohort


def test_the_shipped_cohort_loads_by_its_name() -> None:
    assert len(load_cohort("imam").vectors) == len(load_sets())


def test_every_error_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    found = errors_of(
        tmp_path,
        '[range]\n"cd4.tolerence" = { low = 0.2, high = 0.4, source = "x" }\n"cd4.tolerance" = { low = 0.2, high = 1.4, source = "x" }\n'
        '"event.a.at" = { low = "1 d", high = "2 d", source = "x" }\n[factor]\n"cd4.tolerance" = { low = 2, high = 1, source = "x" }\n'
        '"cd4.ifn_rate" = { low = 1, high = 2 }\n',
    )
    assert found == [
        "5: range.cd4.tolerence: unknown parameter; `imam-sim params` lists all; did you mean cd4.tolerance?",
        "6: range.cd4.tolerance: got 1.4, must be a number from 0 to 1",
        '7: range.event.a.at: got "1 d", must be a number, or text with a number and a unit that is no time, such as "70 kg"',
        "9: factor.cd4.tolerance: got 2 to 1, must be the lower end first",
        '10: factor.cd4.ifn_rate: must be a table such as { low = 0.2, high = 0.4, source = "assumed" }',
    ]


def test_a_path_is_under_one_of_range_and_factor(tmp_path: Path) -> None:
    assert errors_of(tmp_path, f"[range]\n{TOLERANCE}[factor]\n{TOLERANCE}") == [
        "7: factor.cd4.tolerance: is also under [range]; a patient has one or the other"
    ]


def test_an_unknown_key_is_told_with_the_nearest(tmp_path: Path) -> None:
    (found,) = errors_of(tmp_path, f"[ranges]\n{TOLERANCE}")
    assert found.endswith("did you mean range?")


def test_a_cohort_of_equal_patients_is_refused(tmp_path: Path) -> None:
    assert errors_of(tmp_path, "") == ["1: nothing differs between patients; must have sets, [range] or [factor]"]


def test_a_name_that_does_not_ship_is_told_with_the_nearest() -> None:
    with pytest.raises(ScenarioError, match="did you mean imam"):
        load_cohort("iman")
