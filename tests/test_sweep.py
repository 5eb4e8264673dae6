"""Sweeps: a row is the same however it is made, nothing is made twice, and no row takes another one along."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imam_sim.model.observe import NAMES
from imam_sim.study import branch, results
from imam_sim.study import sweep as sweeping
from imam_sim.study.branch import NEVER, courses, fork, past
from imam_sim.study.ledger import PARKED, PLAN, STUDY, RunLedger
from imam_sim.study.plan import Plan, Row, load_plan
from imam_sim.study.results import Study, merge
from imam_sim.study.scenario_file import loads
from imam_sim.study.simulate import Simulation, prepare_kernels, simulate
from imam_sim.study.store import LOCK, StoreInUse, StoreRefused
from imam_sim.study.sweep import Shard, Told, Work, open_sweep, packed, run_batch
from imam_sim.study.workers import Here, Lanes, leaving_off

WOUND = """\
schema = 1
title = "a small wound"
duration = "12 h"
[numerics]
step = "1 h"
[tissue]
width = "200 um"
height = "200 um"
[record]
every = "4 h"
[[event]]
kind = "injure"
name = "wound"
at = "0 h"
pattern = "diffuse"
fraction = 0.4
"""
PLAN_TEXT = """\
schema = 1
title = "wounds"
scenario = "wound.toml"
replicates = 3
seed = 1
outcomes = ["macrophages", "necrosis"]
[[arm]]
name = "control"
[[arm]]
name = "depleted"
[[arm.event]]
kind = "deplete"
cell = "monocyte"
fraction = 0.8
from = "6 h"
[grid]
"cd4.tolerance" = [0.2, 0.4]
"""


@pytest.fixture(autouse=True, scope="module")
def _kernels_once() -> Iterator[None]:
    prepare_kernels()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "prepare_kernels", lambda: None)
        yield


def plan_at(folder: Path, text: str = PLAN_TEXT, name: str = "plan") -> Plan:
    (folder / "wound.toml").write_text(WOUND)
    (folder / f"{name}.toml").write_text(text)
    return load_plan(folder / f"{name}.toml")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Two arms, two points, three replicates: twelve rows of a fraction of a second."""
    return plan_at(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The state of the study that nobody cut."""
    folder = tmp_path_factory.mktemp("whole")
    swept(folder / "s", plan_at(folder))
    return status(folder / "s")


def swept(folder: Path, plan: Plan, work: Work = sweeping.EVERYTHING, executor: Executor | None = None, **more: Any) -> Told:
    with open_sweep(folder, plan) as ledger:
        return sweeping.sweep(ledger, plan, work, executor, **more)


def status(folder: Path) -> dict[str, Any]:
    with Study.open(folder) as study:
        return study.status()


def contents(folder: Path) -> dict[str, str]:
    """The checksum of what every run measured, by key."""
    with Study.open(folder) as study:
        return {run.key: run.outcomes for run in study.rows()}


class Wrapped(Executor):
    """Work is done here, after something else."""

    def __init__(self, before: Callable[[list[Row]], None]) -> None:
        self.before = before
        self.sent: list[list[Row]] = []

    def submit(self, work: Any, /, *args: Any, **named: Any) -> Future[Any]:
        def both(plan_text: str, rows: list[Any]) -> Any:
            self.sent.append([Row(*row) for row in rows])
            self.before(self.sent[-1])
            return work(plan_text, rows)

        return Here().submit(both, *args, **named)


def until_told() -> bool:
    """Work that goes on until it is told to leave off, a minute at most."""
    end = time.monotonic() + 60.0
    while not leaving_off() and time.monotonic() < end:
        time.sleep(0.01)
    return leaving_off()


def deadly(keys: tuple[str, ...], work: Any, plan_text: str, rows: list[Any]) -> Any:
    """A process that dies of some rows."""
    if any(row[0] in keys for row in rows):
        os._exit(1)
    return work(plan_text, rows)


class Deadly(Lanes):
    """Processes that die of some rows."""

    def __init__(self, jobs: int, *keys: str) -> None:
        super().__init__(jobs)
        self.keys = keys

    def submit(self, work: Any, /, *args: Any, **named: Any) -> Future[Any]:
        return super().submit(deadly, self.keys, work, *args, **named)


# a shared past

EVENTS = {
    "nothing": "",
    "depletion": '[[event]]\nkind = "deplete"\ncell = "monocyte"\nfraction = 0.8\nfrom = "5 h"\nto = "9 h"\n',
    "another depletion": '[[event]]\nkind = "deplete"\ncell = "monocyte"\nfraction = 0.8\nfrom = "5 h"\n',
    "knock-out": '[[event]]\nkind = "knock_out"\nsignal = "tnf"\nfrom = "8 h"\n',
    "set": '[[event]]\nkind = "set"\nparameter = "neutrophil.lifetime"\nvalue = 3\nfrom = "3 h"\nto = "6 h"\n',
    "transplant": '[[event]]\nkind = "transplant"\ncell = "macrophage"\nnumber = 20\nat = "5 h"\n',
    "second wound": '[[event]]\nkind = "injure"\npattern = "localised"\nfraction = 0.3\nat = "9 h"\n',
    "drug": '[[event]]\nkind = "treat"\ndrug = "prednisolone"\nstart = "4 h"\n',
    "drug at once": '[[event]]\nkind = "treat"\ndrug = "prednisolone"\nstart = "0 h"\n',
    "two drugs": '[[event]]\nkind = "treat"\ndrug = "ivig"\nstart = "8 h"\n'
    '[[event]]\nkind = "treat"\ndrug = "prednisolone"\nstart = "4 h"\n',
}
SCENARIOS = {name: loads(WOUND + text) for name, text in EVENTS.items()}
SHORTER = WOUND.replace('duration = "12 h"', 'duration = "7 h"') + EVENTS["drug"]


@pytest.fixture(scope="module")
def branched() -> dict[str, branch.Course]:
    """The courses of all those scenarios, run together; one of them records at other times."""
    together = [*SCENARIOS.values(), loads(WOUND.replace('every = "4 h"', 'every = "5 h"')), loads(SHORTER)]
    found = {}
    for ended in courses(together, 7):
        assert isinstance(ended.course, branch.Course)
        found[[*SCENARIOS, "other times", "shorter"][ended.place]] = ended.course
    return found


@pytest.mark.parametrize("name", EVENTS)
def test_a_branch_has_the_bytes_of_a_run_of_its_own(name: str, branched: dict[str, branch.Course]) -> None:
    alone = simulate(SCENARIOS[name], 7)
    assert branched[name].times.tobytes() == alone.times.tobytes()
    assert branched[name].values.tobytes() == np.column_stack([alone.outcomes[key] for key in NAMES]).tobytes()


def test_one_that_ends_earlier_leaves_the_others(branched: dict[str, branch.Course]) -> None:
    alone = simulate(loads(SHORTER), 7)
    assert branched["shorter"].times.tolist() == [0.0, 4.0, 7.0]
    assert branched["shorter"].values.tobytes() == np.column_stack([alone.outcomes[key] for key in NAMES]).tobytes()


def test_scenarios_that_record_at_other_times_share_their_past(branched: dict[str, branch.Course]) -> None:
    assert branched["other times"].times.tolist() == [0.0, 5.0, 10.0, 12.0]
    assert np.array_equal(branched["other times"].values[-1], branched["nothing"].values[-1])


def test_a_shared_past_is_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    advance = Simulation.advance

    def counted(self: Simulation) -> None:
        steps.append(self.step)
        advance(self)

    monkeypatch.setattr(Simulation, "advance", counted)
    assert len(list(courses([SCENARIOS["nothing"], SCENARIOS["knock-out"], SCENARIOS["nothing"]], 1))) == 3
    assert sorted(steps) == sorted([*range(12), *range(8, 12)])


def test_scenarios_part_where_the_first_event_begins_that_one_has_alone() -> None:
    assert fork([SCENARIOS["nothing"], SCENARIOS["knock-out"], SCENARIOS["transplant"]]) == 5
    assert fork([SCENARIOS["drug at once"], SCENARIOS["nothing"]]) == 0
    assert fork([SCENARIOS["nothing"], SCENARIOS["nothing"].model_copy(update={"title": "other"})]) == NEVER


def test_scenarios_with_other_parameters_have_another_past() -> None:
    assert past(SCENARIOS["nothing"]) == past(SCENARIOS["drug"])
    assert past(SCENARIOS["nothing"]) != past(loads(WOUND, sets=["cd4.tolerance=0.9"]))


def test_a_branch_that_fails_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    advance = Simulation.advance

    def failing(self: Simulation) -> None:
        if self.step == 10 and self.scenario is SCENARIOS["transplant"]:
            raise FloatingPointError("too hot")
        advance(self)

    monkeypatch.setattr(Simulation, "advance", failing)
    ended = {end.place: end.course for end in courses([SCENARIOS["nothing"], SCENARIOS["transplant"]], 1)}
    assert isinstance(ended[0], branch.Course)
    assert isinstance(ended[1], FloatingPointError)


# the digest


def test_the_digest_does_not_depend_on_how_many_work(tmp_path: Path, plan: Plan, whole: dict[str, Any]) -> None:
    with Lanes(2) as executor:
        swept(tmp_path / "s", plan, executor=executor, jobs=2)
    assert status(tmp_path / "s")["digest"] == whole["digest"]


def test_the_digest_does_not_depend_on_cuts(tmp_path: Path, plan: Plan, whole: dict[str, Any]) -> None:
    for _ in range(3):
        told = swept(tmp_path / "s", plan, Work(max_rows=4))
    assert (told.stopped, told.done) == ("", 12)
    assert status(tmp_path / "s")["digest"] == whole["digest"]


def test_one_row_alone_has_the_bytes_that_it_has_among_others(tmp_path: Path, plan: Plan) -> None:
    swept(tmp_path / "all", plan)
    swept(tmp_path / "one", plan, Work(max_rows=1))
    one = contents(tmp_path / "one")
    assert len(one) == 1
    assert one.items() <= contents(tmp_path / "all").items()


def test_another_number_changes_the_digest(tmp_path: Path, whole: dict[str, Any]) -> None:
    swept(tmp_path / "s", plan_at(tmp_path, PLAN_TEXT.replace("0.8", "0.7")))
    assert status(tmp_path / "s")["digest"] != whole["digest"]


# what is kept


def test_nothing_that_is_done_is_made_again(tmp_path: Path, plan: Plan) -> None:
    swept(tmp_path / "s", plan, Work(max_rows=5))
    before = contents(tmp_path / "s")
    executor = Wrapped(lambda rows: None)
    assert swept(tmp_path / "s", plan, executor=executor).made == 7
    assert not {row.key for rows in executor.sent for row in rows} & set(before)


def test_a_finished_sweep_leaves_three_files(tmp_path: Path, plan: Plan) -> None:
    swept(tmp_path / "s", plan)
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == sorted([LOCK, PLAN, STUDY])


def test_more_replicates_are_added_and_nothing_is_made_twice(tmp_path: Path, plan: Plan) -> None:
    swept(tmp_path / "s", plan.part(replicates=2))
    assert swept(tmp_path / "s", plan).made == 4
    assert status(tmp_path / "s")["replicates"] == 3


def test_a_point_that_comes_between_others_leaves_every_run_at_its_own(tmp_path: Path, plan: Plan) -> None:
    swept(tmp_path / "s", plan)
    before = {
        row.factors["cd4.tolerance"]: row.key for row in Study.open(tmp_path / "s").rows() if (row.arm, row.replicate) == ("control", 1)
    }
    swept(tmp_path / "s", plan_at(tmp_path, PLAN_TEXT.replace("[0.2, 0.4]", "[0.2, 0.3, 0.4]"), "finer"))
    rows = [row for row in Study.open(tmp_path / "s").rows() if (row.arm, row.replicate) == ("control", 1)]
    assert [(row.point, row.factors["cd4.tolerance"]) for row in rows] == [(1, 0.2), (2, 0.3), (3, 0.4)]
    assert {row.factors["cd4.tolerance"]: row.key for row in rows if row.key in before.values()} == before
    assert results.verify(tmp_path / "s") == []


def test_an_arm_that_is_called_otherwise_is_called_so_in_its_runs_too(tmp_path: Path, plan: Plan) -> None:
    swept(tmp_path / "s", plan)
    assert swept(tmp_path / "s", plan_at(tmp_path, PLAN_TEXT.replace('"depleted"', '"fewer_monocytes"'), "renamed")).made == 0
    assert {row.arm for row in Study.open(tmp_path / "s").rows()} == {"control", "fewer_monocytes"}


def test_fewer_replicates_than_there_are_make_nothing_and_forget_nothing(tmp_path: Path, plan: Plan) -> None:
    swept(tmp_path / "s", plan)
    told = swept(tmp_path / "s", plan.part(replicates=1))
    assert (told.rows, told.done, told.made) == (4, 4, 0)
    assert status(tmp_path / "s")["replicates"] == 3


def test_another_plan_is_refused(tmp_path: Path, plan: Plan) -> None:
    swept(tmp_path / "s", plan, Work(max_rows=1))
    with pytest.raises(StoreRefused, match="another plan, 'wounds'"):
        open_sweep(tmp_path / "s", plan_at(tmp_path, PLAN_TEXT.replace("seed = 1", "seed = 2"), "other"))


def test_another_version_of_the_model_is_refused(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    swept(tmp_path / "s", plan, Work(max_rows=1))
    monkeypatch.setattr(sweeping, "model_digest", lambda: "another")
    with pytest.raises(StoreRefused, match="another version of the model"):
        open_sweep(tmp_path / "s", plan)


def test_two_cannot_sweep_into_one_folder(tmp_path: Path, plan: Plan) -> None:
    with open_sweep(tmp_path / "s", plan), pytest.raises(StoreInUse):
        open_sweep(tmp_path / "s", plan)


def test_a_study_can_be_read_while_it_goes_on(tmp_path: Path, plan: Plan) -> None:
    with open_sweep(tmp_path / "s", plan) as ledger:
        sweeping.sweep(ledger, plan, Work(max_rows=3))
        assert status(tmp_path / "s")["done"] == 3
    assert status(tmp_path / "s")["done"] == 3


def test_where_somebody_wants_to_stop_what_runs_is_kept(tmp_path: Path, plan: Plan) -> None:
    executor = Wrapped(lambda rows: None)
    told = swept(tmp_path / "s", plan, Work(max_rows=11), executor, stop=lambda: len(executor.sent) == 1)
    assert told.stopped == "interrupted"
    assert len(contents(tmp_path / "s")) == len(executor.sent[0]) == told.made


def test_in_one_process_a_batch_ends_with_the_run_that_is_under_way(tmp_path: Path, plan: Plan, whole: dict[str, Any]) -> None:
    asked = iter([False] * 2)
    assert swept(tmp_path / "s", plan, stop=lambda: next(asked, True))[3::2] == (2, "interrupted")
    assert len(contents(tmp_path / "s")) == 2
    swept(tmp_path / "s", plan)
    assert status(tmp_path / "s")["digest"] == whole["digest"]


def test_a_batch_that_is_under_way_at_the_time_limit_ends_with_its_run(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(sweeping.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sweeping, "packed", lambda course: (now.__setitem__(0, now[0] + 1.0), packed(course))[1])
    told = swept(tmp_path / "s", plan, Work(seconds=2.5))
    assert (told.stopped, told.made) == ("time", 3)


def test_processes_leave_off_where_they_are_told_to() -> None:
    with Lanes(2) as lanes:
        waiting = [lanes.submit(until_told) for _ in range(2)]
        lanes.leave_off()
        assert [future.result() for future in waiting] == [True, True]


def test_nothing_new_is_begun_after_the_time_limit(tmp_path: Path, plan: Plan) -> None:
    told = swept(tmp_path / "s", plan, Work(seconds=0.0))
    assert (told.stopped, told.made) == ("time", 0)


# parts


def test_shards_are_the_whole_plan_and_each_row_is_in_one(tmp_path: Path, plan: Plan, whole: dict[str, Any]) -> None:
    folders = [tmp_path / str(number) for number in (1, 2, 3)]
    made = [swept(folder, plan, Work(shard=Shard(number, 3))).made for number, folder in enumerate(folders, start=1)]
    assert made == [4, 4, 4]
    assert merge(tmp_path / "all", folders) == (12, 0)
    assert status(tmp_path / "all")["digest"] == whole["digest"]
    assert merge(tmp_path / "all", folders[:1]) == (0, 4)


def test_only_the_arms_that_are_asked_for_are_run(tmp_path: Path, plan: Plan) -> None:
    assert swept(tmp_path / "s", plan, Work(arms=("depleted",))).made == 6
    with Study.open(tmp_path / "s") as study:
        assert {run.arm for run in study.rows()} == {"depleted"}
    assert status(tmp_path / "s")["missing"] == 6


def test_two_studies_with_other_numbers_for_one_row_are_not_merged(tmp_path: Path, plan: Plan) -> None:
    swept(tmp_path / "a", plan, Work(max_rows=2))
    swept(tmp_path / "b", plan, Work(max_rows=2))
    with RunLedger.taken(tmp_path / "b", {}) as ledger:
        _, run = next(ledger.runs())
        block, outcomes = sweeping.packed(branch.Course(np.zeros(1), np.zeros((1, 2))))
        ledger.add([(run._replace(outcomes=outcomes), block)])
    with pytest.raises(FloatingPointError, match="has other numbers than"):
        merge(tmp_path / "a", [tmp_path / "b"])


def test_rows_that_may_share_their_past_are_sent_together(tmp_path: Path, plan: Plan) -> None:
    executor = Wrapped(lambda rows: None)
    swept(tmp_path / "s", plan, executor=executor, jobs=3)
    for rows in executor.sent:
        assert {(row.replicate, row.point) for row in rows if row.arm == "control"} == {
            (row.replicate, row.point) for row in rows if row.arm == "depleted"
        }


# rows that fail


def test_a_row_that_cannot_be_run_is_parked_with_its_reason(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = list(plan.rows())[4]
    scenario_of = Plan.scenario_of

    def failing(self: Plan, row: Row) -> Any:
        if row.key == bad.key:
            raise ValueError("no such\nthing")
        return scenario_of(self, row)

    monkeypatch.setattr(Plan, "scenario_of", failing)
    told = swept(tmp_path / "s", plan)
    assert (told.done, told.parked, told.stopped) == (11, 1, "")
    assert [failure["note"] for failure in status(tmp_path / "s")["failures"]] == ["ValueError: no such thing"]
    assert swept(tmp_path / "s", plan)[:4] == (12, 11, 1, 0), "parked rows are left alone"


def test_failed_rows_are_made_again_where_that_is_wanted(tmp_path: Path, plan: Plan, whole: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Simulation, "advance", lambda self: (_ for _ in ()).throw(FloatingPointError("too hot")))
        assert swept(tmp_path / "s", plan).parked == 12
    assert swept(tmp_path / "s", plan, Work(retry_failed=True)).done == 12
    assert status(tmp_path / "s")["digest"] == whole["digest"]


def test_a_row_that_kills_its_process_is_parked_after_three_tries_and_no_other_is_lost(tmp_path: Path, plan: Plan) -> None:
    bad = list(plan.rows())[1].key
    with Deadly(2, bad) as executor:
        told = swept(tmp_path / "s", plan, executor=executor, jobs=2)
    assert (told.done, told.parked) == (11, 1)
    with Study.open(tmp_path / "s") as study:
        assert [(run.key, run.attempts) for run in study.rows() if run.status == PARKED] == [(bad, 3)]


def test_a_row_whose_memory_was_short_once_is_done_at_the_second_try(tmp_path: Path, plan: Plan, whole: dict[str, Any]) -> None:
    deaths = iter([MemoryError()])

    def short_once(rows: list[Row]) -> None:
        for error in deaths:
            raise error

    executor = Wrapped(short_once)
    assert swept(tmp_path / "s", plan, executor=executor).done == 12
    assert [len(rows) for rows in executor.sent[1:]][: len(executor.sent[0])] == [1] * len(executor.sent[0])
    assert status(tmp_path / "s")["digest"] == whole["digest"]


def test_a_sweep_gives_up_where_every_process_dies(tmp_path: Path, plan: Plan) -> None:
    def dying(rows: list[Row]) -> None:
        raise BrokenProcessPool

    with pytest.raises(MemoryError):
        swept(tmp_path / "s", plan, executor=Wrapped(dying))
    assert status(tmp_path / "s")["failed"] == sweeping.HOPELESS - 1


def test_the_last_try_of_a_row_has_nothing_else_beside_it(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "PATIENCE", 0.01)
    bad = next(plan.rows()).key
    under_way: list[Future[Any]] = []
    beside: list[int] = []

    class Slow(Executor):
        """Work ends only when it is asked for."""

        def submit(self, work: Any, /, plan_text: str, rows: list[Any]) -> Future[Any]:  # type: ignore[override]
            if [row[0] for row in rows] == [bad]:
                beside.append(sum(not future.done() for future in under_way))
            future: Future[Any] = Future()
            future.done_with = lambda: end(future, work, plan_text, rows)  # type: ignore[attr-defined]
            under_way.append(future)
            return future

    def end(future: Future[Any], work: Any, plan_text: str, rows: list[Any]) -> None:
        if any(row[0] == bad for row in rows):
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result(work(plan_text, rows))

    def one_ends(*_: int) -> None:
        waiting = [future for future in under_way if not future.done()]
        if waiting:
            waiting[0].done_with()  # type: ignore[attr-defined]

    told = swept(tmp_path / "s", plan, executor=Slow(), jobs=3, progress=one_ends)
    assert (told.done, told.parked) == (11, 1)
    assert len(beside) == 2
    assert beside[0] > beside[1] == 0


def test_the_death_of_one_process_leaves_the_work_of_others_alone() -> None:
    with Lanes(2) as lanes:
        good, bad = lanes.submit(sum, [1, 2]), lanes.submit(os._exit, 1)
        assert isinstance(bad.exception(), BrokenProcessPool)
        assert good.result() == 3
        assert [lanes.submit(sum, [n, 1]).result() for n in range(4)] == [1, 2, 3, 4]


# reading


@pytest.fixture
def study(tmp_path: Path, plan: Plan) -> Iterator[Study]:
    swept(tmp_path / "s", plan)
    with Study.open(tmp_path / "s") as opened:
        yield opened


def test_courses_are_those_of_the_scenarios(study: Study, plan: Plan) -> None:
    row = list(plan.rows())[3]
    alone = simulate(plan.scenario_of(row), row.seed)
    course = next(course for run, course in study.courses() if run.key == row.key)
    assert np.array_equal(course.values, np.column_stack([alone.outcomes["macrophages"], alone.outcomes["necrosis"]]))


def test_rows_come_in_the_order_of_arm_point_and_replicate(study: Study) -> None:
    order = [(run.arm, run.point, run.replicate) for run in study.rows()]
    assert order == [(arm, point, replicate) for arm in ("control", "depleted") for point in (1, 2) for replicate in (1, 2, 3)]


def test_the_table_has_a_line_for_each_row_and_time(study: Study) -> None:
    table = study.table()
    assert list(table) == ["arm", "point", "replicate", "seed", "cd4.tolerance", "hours", "macrophages", "necrosis"]
    assert {len(column) for column in table.values()} == {12 * 4}
    assert table["hours"][:5].tolist() == [0.0, 4.0, 8.0, 12.0, 0.0]
    assert set(table["cd4.tolerance"][table["point"] == 2]) == {0.4}


def test_csv_holds_the_table(study: Study, tmp_path: Path) -> None:
    import csv

    study.write_csv_file(tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        header, *lines = list(csv.reader(file))
    table = study.table()
    assert header == list(table)
    assert [float(line[-1]) for line in lines] == table["necrosis"].tolist()


def test_parquet_holds_the_table(study: Study, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    study.write_parquet(tmp_path / "t.parquet")
    read = parquet.read_table(tmp_path / "t.parquet").to_pydict()
    assert read == {name: column.tolist() for name, column in study.table().items()}


def test_pandas_has_the_table(study: Study) -> None:
    pytest.importorskip("pandas")
    frame = study.to_pandas()
    assert frame.groupby("arm")["necrosis"].count().to_dict() == {"control": 24, "depleted": 24}


def test_xarray_has_every_course_in_its_place(study: Study) -> None:
    pytest.importorskip("xarray")
    data = study.to_xarray()
    run, course = list(study.courses())[7]
    place = {"arm": run.arm, "point": run.point, "replicate": run.replicate}
    assert np.array_equal(data["macrophages"].sel(place).values, course.values[:, 0])
    assert data["cd4.tolerance"].values.tolist() == [0.2, 0.4]


def test_a_block_is_read_back_to_the_bit() -> None:
    course = branch.Course(np.array([0.0, 0.1]), np.array([[1.0, -0.0], [np.nextafter(1.0, 2.0), 1e300]]))
    block, outcomes = sweeping.packed(course)
    again = sweeping.unpacked(block, outcomes, 2)
    assert again is not None
    assert again.values.tobytes() == course.values.tobytes()
    assert sweeping.unpacked(block, "0" * 64, 2) is None


# damage


def test_a_sound_study_has_nothing_wrong(study: Study) -> None:
    assert results.verify(study.folder) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE run SET seconds = seconds + 1 WHERE id = 3", "checksum differs"),
        ("UPDATE course SET block = substr(block, 1, 20) WHERE id = 3", "what was measured in the run of arm"),
        ("DELETE FROM course WHERE id = 3", "what was measured in the run of arm"),
    ],
)
def test_a_changed_row_is_told_and_mended(tmp_path: Path, plan: Plan, whole: dict[str, Any], change: str, told: str) -> None:
    folder = tmp_path / "s"
    swept(folder, plan)
    with sqlite3.connect(folder / STUDY) as file:
        file.execute(change)
    file.close()
    (line,) = results.verify(folder)
    assert told in line
    assert STUDY in line
    assert results.repair(folder)[:2] == (11, 1)
    assert results.verify(folder) == []
    assert swept(folder, plan).made == 1
    assert status(folder)["digest"] == whole["digest"]


def test_a_changed_plan_is_told(tmp_path: Path, plan: Plan) -> None:
    swept(tmp_path / "s", plan)
    (tmp_path / "s" / PLAN).write_text("schema = 1\n")
    assert results.verify(tmp_path / "s") == [f"{tmp_path / 's' / PLAN}: is not the plan of this study"]


def test_what_a_worker_is_sent_holds_no_design_points(tmp_path: Path, plan: Plan) -> None:
    sent = []

    class Seen(Executor):
        def submit(self, work: Any, /, plan_text: str, rows: list[Any]) -> Future[Any]:  # type: ignore[override]
            sent.append(plan_text)
            return Here().submit(run_batch, plan_text, rows)

    swept(tmp_path / "s", plan, executor=Seen())
    assert {tuple(json.loads(text)["points"]) for text in sent} == {()}
