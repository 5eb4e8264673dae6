"""Groups of rows: what shares a past stays together where that pays, and the forecast counts a shared past once."""

from __future__ import annotations

from pathlib import Path

import pytest

from imam_sim.study.cost import seconds_of
from imam_sim.study.groups import BATCH, DEAR, MOST_IN_A_BATCH, Forecast, groups, pieces_at_least
from imam_sim.study.plan import Plan, load_plan

HEAD = 'schema = 1\ntitle = "A plan"\nscenario = "imam_untreated"\n'
LATE = '[[arm]]\nname = "control"\n[[arm]]\nname = "late"\n[[arm.event]]\nkind = "treat"\ndrug = "prednisolone"\nstart = "{start}"\n'
COURSE = '[[arm]]\nname = "treated"\n[[arm.event]]\nkind = "treat"\nname = "course"\ndrug = "prednisolone"\nstart = "1 d"\n'


def plan_of(folder: Path, text: str) -> Plan:
    (folder / "p.toml").write_text(HEAD + text, encoding="utf-8")
    return load_plan(folder / "p.toml")


def alone(plan: Plan) -> float:
    """Seconds of all rows one by one."""
    return sum(seconds_of(plan.scenario_of(row)) for row in plan.rows())


def test_a_past_that_two_arms_share_counts_once(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, '[set]\nduration = "40 d"\n' + LATE.format(start="30 d"))
    assert Forecast(plan).seconds(list(plan.rows())) == pytest.approx(alone(plan) * (30 + 10 + 10) / 80)


def test_arms_that_part_at_the_start_count_as_runs_of_their_own(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, '[set]\nduration = "40 d"\n' + LATE.format(start="0 d"))
    assert Forecast(plan).seconds(list(plan.rows())) == pytest.approx(alone(plan))


def test_a_forecast_of_a_plan_is_that_of_its_rows_where_nothing_is_shared(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, 'replicates = 2\n[grid]\nduration = ["10 d", "20 d"]\n"cd4.ifn_rate" = [0, 1]\n')
    needed = Forecast(plan).needed(groups(plan), 1)
    assert (needed.n_rows, needed.seconds) == (8, pytest.approx(alone(plan)))


def test_no_number_of_processes_is_faster_than_the_longest_batch(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, '[grid]\nduration = ["10 d", "20 d"]\n')
    assert Forecast(plan).needed(groups(plan), 50).seconds == max(seconds_of(plan.scenario_of(row)) for row in plan.rows())


def test_of_many_groups_their_mean_stands_for_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imam_sim.study.groups.MOST_ALIKE", 5)
    text = ", ".join(f"{0.1 + n / 1000}" for n in range(20))
    plan = plan_of(tmp_path, f'[grid]\n"cd4.tolerance" = [0.2, 0.3]\n"event.trigger.fraction" = [{text}]\n')
    assert Forecast(plan).needed(groups(plan), 1).seconds == pytest.approx(alone(plan))


def test_rows_that_share_nothing_are_cut_into_batches(tmp_path: Path) -> None:
    values = ", ".join(f"{n / 1000}" for n in range(1, 51))
    plan = plan_of(tmp_path, f'[grid]\n"event.trigger.fraction" = [{values}]\n')
    (group,) = groups(plan)
    parts = list(Forecast(plan).cut(group, 1))
    assert [row for part in parts for row in part] == group
    assert Forecast(plan).seconds(parts[0][:1]) > BATCH
    assert {len(part) for part in parts} == {1}


def test_rows_that_share_most_are_not_cut(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, LATE.format(start="80 d") + '[set]\nduration = "90 d"\n')
    (group,) = groups(plan)
    assert list(Forecast(plan).cut(group, 1)) == [group]


def test_cutting_costs_next_to_nothing(tmp_path: Path) -> None:
    days = ", ".join(f'"{n} d"' for n in range(1, 80))
    plan = plan_of(tmp_path, f'{COURSE}[set]\nduration = "90 d"\n[grid]\n"event.course.start" = [{days}]\n')
    (group,) = groups(plan)
    forecast = Forecast(plan)
    assert sum(map(forecast.seconds, forecast.cut(group, 1))) <= DEAR * forecast.seconds(group)


def test_no_batch_has_more_rows_than_it_may(tmp_path: Path) -> None:
    values = ", ".join(f"{n / 10000}" for n in range(1, 2502))
    plan = plan_of(tmp_path, f'[set]\nduration = "1 h"\n[grid]\n"event.trigger.fraction" = [{values}]\n')
    (group,) = groups(plan)
    assert max(len(part) for part in Forecast(plan).cut(group, 1)) <= MOST_IN_A_BATCH


def test_few_groups_are_cut_so_that_every_process_has_work() -> None:
    assert [pieces_at_least(n, 4) for n in (1, 3, 8, 100)] == [8, 3, 1, 1]
