"""A quiz: simulated sections to be graded by their macrophages, as pathologists do, and the marking of the answers.

The sections come from a pool of runs on a small tissue, which is kept and makes the next quiz quick. Which sections a quiz asks for, in
which order and which way round, follows from its seed.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from imam_sim.model.observe import GRADE_CUTS, MM, grade
from imam_sim.model.state import Tissue
from imam_sim.study import agreement, workers
from imam_sim.study.language import MAX_BYTES, ScenarioError, nearest, printable
from imam_sim.study.scenario import Injure, Record, Scenario, Treat
from imam_sim.study.scenario_file import load
from imam_sim.study.simulate import MAX_SEED, prepare_kernels, shortened
from imam_sim.study.store import RECORD, model_digest, read_outcomes, read_record, read_sections, run_in_folder, write_whole

DAY = 24.0  # h
MARKS = ("-/+", "+", "++", "+++")  # of the grades 0 to 3
N_GRADES = len(MARKS)
FEWEST = 4
WAYS_ROUND = 8  # in which a square picture can lie
POOL_FOLDER = "runs"
GRADES_READ = {**{str(number): number for number in range(N_GRADES)}, **{mark: number for number, mark in enumerate(MARKS)}, "-": 0}
COLUMNS = ("quiz", "student", "question", "grade")


class Source(NamedTuple):
    """One run of the pool: a shipped scenario with some changes, its seed, and the days whose sections may be asked for."""

    scenario: str
    sets: tuple[str, ...]
    seed: int
    days: tuple[int, ...]


class Pool(NamedTuple):
    """Runs whose sections may be asked for, all on a square tissue `edge` um wide."""

    edge: float
    sources: tuple[Source, ...]


_WAVE = (0, 1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 14)
_DISEASE = (0, 1, 3, 5, 7, 9, 11, 13, 15)
POOL = Pool(
    500.0,
    (
        Source("acute_injury", (), 11, _WAVE),
        Source("acute_injury", (), 12, _WAVE),
        Source("acute_clodronate_depletion", (), 13, _WAVE),
        Source("acute_ccr2_antagonist", (), 14, _WAVE),
        Source("imam_untreated", (), 21, (*_DISEASE, 21, 28)),
        Source("imam_untreated", (), 22, _DISEASE),
        Source("imam_untreated", (), 23, (*_DISEASE, 18, 21)),
        Source("imam_early_treatment", ("event.course.start=3 d",), 31, (*_DISEASE, 18, 21)),
        Source("imam_early_treatment", ("event.course.start=5 d",), 32, _DISEASE),
        Source("imam_csf1r_inhibitor", ("event.course.start=2 d",), 33, (*_DISEASE, 18, 21)),
    ),
)


class Specimen(NamedTuple):
    """A section of the pool and what the model knows of it: `density` and `healthy` in macrophages per mm2."""

    run: str
    hours: float
    story: str
    density: float
    healthy: float
    per_fibre: float

    @property
    def grade(self) -> int:
        """0 to 3, as the outcome macrophage_grade."""
        return grade(self.density, self.healthy)


class Question(NamedTuple):
    """A specimen and which of the eight ways round its picture lies."""

    specimen: Specimen
    way_round: int


class Quiz(NamedTuple):
    """What is asked, in order. The code names the quiz: the same seed, number, stain and model give the same code and the same quiz."""

    code: str
    stain: str
    questions: tuple[Question, ...]

    @property
    def grades(self) -> list[int]:
        """The grade of each question by the model."""
        return [question.specimen.grade for question in self.questions]


def seed_of_name(name: str) -> int:
    """A seed from the name of a group or a person; capitals and spaces around and between words make no difference."""
    told = " ".join(name.casefold().split())
    return int.from_bytes(hashlib.sha256(told.encode()).digest()[:8], "big") % (MAX_SEED + 1)


def scenario_of(source: Source, edge: float) -> Scenario:
    """The scenario of a run of the pool, on a square tissue `edge` um wide and no longer than its last day."""
    whole = load(source.scenario, (*source.sets, f"tissue.width={edge:g} um", f"tissue.height={edge:g} um"))
    ended = shortened(whole, source.days[-1] * DAY)
    return ended.model_copy(update={"record": Record(every=DAY, sections=tuple(day * DAY for day in source.days))})


def name_of(source: Source) -> str:
    """The name of the folder of a run; it says nothing of any grade."""
    return f"{source.scenario}-seed{source.seed}"


def missing(folder: Path, pool: Pool) -> list[Source]:
    """The runs of the pool that a folder does not hold to their end. StoreDamaged, OSError."""
    return [source for source in pool.sources if not _finished(folder / POOL_FOLDER / name_of(source))]


def _finished(run: Path) -> bool:
    return (run / RECORD).is_file() and bool(read_record(run)["finished"])


def fill(folder: Path, pool: Pool, jobs: int, progress: Callable[[int], None] | None = None) -> None:
    """Run what is missing of the pool, `progress` being told how many runs are done.

    Runs that are there are verified. What was cut goes on. StoreRefused where the folder holds runs of another model; StoreDamaged,
    StoreInUse, OSError.
    """
    lacking = missing(folder, pool)
    for source in pool.sources:
        if source not in lacking:
            _run((folder, source, pool.edge))
    lacking.sort(key=lambda source: -source.days[-1])  # the longest first, so that no process waits for it at the end
    if lacking:
        prepare_kernels()
    for count, _ in enumerate(workers.done(_run, {source: (folder, source, pool.edge) for source in lacking}, jobs), start=1):
        if progress:
            progress(count)


def _run(work: tuple[Path, Source, float]) -> None:
    folder, source, edge = work
    run_in_folder(folder / POOL_FOLDER / name_of(source), scenario_of(source, edge), source.seed)


def specimens(folder: Path, pool: Pool) -> list[Specimen]:
    """Every section of the pool of a folder, in the order of runs and days. StoreDamaged, OSError."""
    found = []
    for source in pool.sources:
        scenario = scenario_of(source, pool.edge)
        geometry = scenario.base_params().geometry
        times, outcomes = read_outcomes(folder / POOL_FOLDER / name_of(source))
        for day in source.days:
            row = int(np.flatnonzero(times == day * DAY)[0])
            found.append(
                Specimen(
                    run=name_of(source),
                    hours=day * DAY,
                    story=story(scenario, day * DAY),
                    density=float(outcomes["macrophages"][row]),
                    healthy=geometry.macrophages * geometry.depth / MM,
                    per_fibre=float(outcomes["macrophages_per_fibre"][row]),
                )
            )
    return found


def story(scenario: Scenario, hours: float) -> str:
    """What had happened to the tissue at a time [h], for those who have answered."""
    injuries = [event for event in scenario.events if isinstance(event, Injure) and event.at < hours]
    if not injuries:
        return f"healthy {scenario.tissue.preset} muscle, before any injury"
    told = f"{scenario.title}; {scenario.tissue.preset} muscle, day {hours / DAY:g}"
    for event in scenario.events:
        if isinstance(event, Treat):
            day = f"day {event.start / DAY:g}"
            told += f"; treated from {day}" if event.start < hours else f"; before its treatment, which begins on {day}"
    return told


def draw(offered: Sequence[Specimen], n_questions: int, seed: int, stain: str) -> Quiz:
    """Choose sections, spread over the grades as evenly as the pool allows, of as many stories and runs as possible, and shuffle them.

    ScenarioError where fewer than 4 or more than the pool holds are asked for.
    """
    if not FEWEST <= n_questions <= len(offered):
        raise ScenarioError([f"--questions: got {n_questions}, must be {FEWEST} to {len(offered)}, the sections of the pool"])
    lots = random.Random(seed)
    left = {number: [specimen for specimen in offered if specimen.grade == number] for number in range(N_GRADES)}
    for candidates in left.values():
        lots.shuffle(candidates)
    chosen: list[Specimen] = []
    runs: Counter[str] = Counter()
    sets: Counter[str] = Counter()
    while len(chosen) < n_questions:
        order = list(left)
        lots.shuffle(order)
        for number in order:
            if left[number] and len(chosen) < n_questions:
                pick = min(left[number], key=lambda one: (sets[one.run.rpartition("-")[0]], runs[one.run]))
                left[number].remove(pick)
                chosen.append(pick)
                runs[pick.run] += 1
                sets[pick.run.rpartition("-")[0]] += 1
    lots.shuffle(chosen)
    asked = tuple(Question(specimen, lots.randrange(WAYS_ROUND)) for specimen in chosen)
    told = json.dumps([model_digest(), seed, stain, [[*question.specimen, question.way_round] for question in asked]])
    return Quiz(hashlib.sha256(told.encode()).hexdigest()[:8], stain, asked)


def tissues(folder: Path, quiz: Quiz) -> list[Tissue]:
    """The tissue of each question, from the runs of a folder. StoreDamaged, OSError."""
    found: dict[tuple[str, float], Tissue] = {}
    for run in {question.specimen.run for question in quiz.questions}:
        found |= {(run, hours): tissue for hours, tissue in read_sections(folder / POOL_FOLDER / run)}
    return [found[question.specimen.run, question.specimen.hours] for question in quiz.questions]


def veiled(data: Any) -> str:
    """Data as text that nobody reads at a glance; anybody can decode it."""
    return base64.b64encode(json.dumps(data, ensure_ascii=True, separators=(",", ":")).encode()).decode()


def solution(quiz: Quiz) -> dict[str, Any]:
    """What is revealed of each question, ready for JSON."""
    told = [
        {"grade": one.grade, "density": one.density, "times": one.density / one.healthy, "per_fibre": one.per_fibre, "story": one.story}
        for one in (question.specimen for question in quiz.questions)
    ]
    return {"quiz": quiz.code, "questions": told}


def key_path(folder: Path, code: str) -> Path:
    """The file with the answers of a quiz."""
    return folder / f"quiz-{code}.key"


def write_key(folder: Path, quiz: Quiz) -> Path:
    """Write what marking needs, not readable at a glance. OSError."""
    path = key_path(folder, quiz.code)
    write_whole(path, (veiled(solution(quiz)) + "\n").encode())
    return path


def keys(folder: Path) -> dict[str, list[int]]:
    """The true grades of every quiz of a folder by its code. ScenarioError where there is none or one cannot be read."""
    found = {}
    for path in sorted(folder.glob("quiz-*.key")):
        try:
            told = json.loads(base64.b64decode(path.read_bytes()))
            found[str(told["quiz"])] = [int(question["grade"]) for question in told["questions"]]
        except (ValueError, KeyError, TypeError):
            raise ScenarioError([f"{path}: is damaged; make the quiz again with the same command as before"]) from None
    if not found:
        raise ScenarioError([f"{printable(str(folder))}: holds no quiz, must be a folder that `imam-sim quiz --out` made"])
    return found


class Answers(NamedTuple):
    """The grades that one student gave in one quiz, by the number of the question from 1."""

    student: str
    quiz: str
    grades: dict[int, int]


def read_answers(path: Path, solutions: dict[str, list[int]]) -> Answers:
    """An answer file: CSV with the columns question and grade, and quiz and student if they are known.

    Without a student the name of the file stands for one; without a quiz there must be only one to choose from. A grade is 0 to 3 or
    -/+, +, ++, +++; an empty one is no answer. ScenarioError with every fault of the file.
    """
    shown = printable(str(path))
    lines = _rows(path, shown)
    faults: list[str] = []
    codes = {row["quiz"] for _, row in lines if row.get("quiz")} or (set(solutions) if len(solutions) == 1 else set())
    if len(codes) != 1 or not codes <= set(solutions):
        got = " and ".join(sorted(printable(code) for code in codes)) if codes else "none"
        near = nearest(next(iter(codes)), solutions) if len(codes) == 1 else ""
        raise ScenarioError([f"{shown}: quiz: got {got}, must be one of {', '.join(solutions)}{near}"])
    code = codes.pop()
    students = {row["student"] for _, row in lines if row.get("student")} or {path.stem}
    if len(students) > 1:
        faults.append(f"{shown}: student: got {len(students)} names, must be one a file")
    grades: dict[int, int] = {}
    for line, row in lines:
        number, mark = row["question"], row["grade"]
        if not (number.isascii() and number.isdigit() and 1 <= int(number) <= len(solutions[code])):
            faults.append(f"{shown}:{line}: question: got {printable(number) or 'nothing'}, must be 1 to {len(solutions[code])}")
        elif mark and mark not in GRADES_READ:
            faults.append(f"{shown}:{line}: grade: got {printable(mark)}, must be 0, 1, 2 or 3, or {', '.join(MARKS)}")
        elif int(number) in grades:
            faults.append(f"{shown}:{line}: question: got {int(number)} a second time, must be answered once")
        elif mark:
            grades[int(number)] = GRADES_READ[mark]
    if not faults and not grades:
        faults.append(f"{shown}: holds no grade, must hold one at least")
    if faults:
        raise ScenarioError(faults)
    return Answers(printable(students.pop()), code, grades)


def _rows(path: Path, shown: str) -> list[tuple[int, dict[str, str]]]:
    """The rows of an answer file with their lines, spaces around values cut off."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ScenarioError([f"{shown}: larger than 1 MiB, which no answer file is"])
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ScenarioError([f"{shown}: is not UTF-8 text"]) from None
    except OSError as error:
        raise ScenarioError([f"{shown}: cannot be read: {error.strerror}"]) from None
    reader = csv.DictReader(text.splitlines(), delimiter=";" if ";" in text.partition("\n")[0] else ",")
    header = [name.strip().lower() for name in reader.fieldnames or ()]
    lacking = [name for name in ("question", "grade") if name not in header]
    if lacking:
        raise ScenarioError([f"{shown}:1: got no column {' and '.join(lacking)}, must have question and grade"])
    reader.fieldnames = header
    try:
        return [
            (reader.line_num, {name: (row.get(name) or "").strip() for name in COLUMNS if name in header})
            for row in reader
            if any(row.values())
        ]
    except csv.Error as error:
        raise ScenarioError([f"{shown}:{reader.line_num}: {error}"]) from None


class Agreement(NamedTuple):
    """How far two sets of grades agree: kappa with quadratic weights and without, each with its 95 % interval; NaN where undefined."""

    n: int
    agreed: int
    weighted: float
    weighted_interval: agreement.Interval
    plain: float
    plain_interval: agreement.Interval
    table: list[list[int]]  # first by second


def agree(first: Sequence[int], second: Sequence[int], seed: int = 1) -> Agreement:
    """The agreement of two sets of grades of the same sections; `seed` is that of the bootstrap."""
    counts = agreement.table(first, second, N_GRADES)
    weights, same = agreement.quadratic(N_GRADES), agreement.plain(N_GRADES)
    return Agreement(
        n=len(first),
        agreed=int(np.trace(counts)),
        weighted=agreement.kappa(counts, weights),
        weighted_interval=agreement.interval(first, second, weights, seed),
        plain=agreement.kappa(counts, same),
        plain_interval=agreement.interval(first, second, same, seed),
        table=counts.tolist(),
    )


class Class(NamedTuple):
    """Those who answered one quiz: each against the model, each pair, and all together on the sections that all of them graded."""

    quiz: str
    n_questions: int
    against_model: dict[str, Agreement]  # the table: student by model
    between: dict[tuple[str, str], Agreement]
    together: float | None  # Fleiss' kappa; None for one student, or no section that all graded
    n_together: int


def mark(folder: Path, paths: Sequence[Path]) -> list[Class]:
    """Mark answer files against the quizzes of a folder, quiz by quiz. ScenarioError with every fault of every file."""
    solutions = keys(folder)
    handed_in: dict[str, dict[str, Answers]] = {}
    owners: dict[tuple[str, str], Path] = {}
    faults: list[str] = []
    for path in paths:
        try:
            answers = read_answers(path, solutions)
        except ScenarioError as error:
            faults += error.errors
            continue
        owner = owners.setdefault((answers.quiz, answers.student), path)
        if owner is not path:
            shown = printable(str(path))
            faults.append(f"{shown}: student: got {answers.student}, whose answers are also in {printable(str(owner))}; leave one out")
        handed_in.setdefault(answers.quiz, {})[answers.student] = answers
    if faults:
        raise ScenarioError(faults)
    return [_class(code, solutions[code], group) for code, group in handed_in.items()]


def _class(code: str, truth: list[int], group: dict[str, Answers]) -> Class:
    between = {}
    for (name, one), (other_name, other) in combinations(group.items(), 2):
        if both := sorted(set(one.grades) & set(other.grades)):
            between[name, other_name] = agree([one.grades[i] for i in both], [other.grades[i] for i in both])
    by_all = sorted(set.intersection(*(set(one.grades) for one in group.values())))
    together = None
    if len(group) > 1 and by_all:
        counts = [np.bincount([one.grades[i] for one in group.values()], minlength=N_GRADES) for i in by_all]
        together = agreement.fleiss(np.array(counts))
    return Class(
        quiz=code,
        n_questions=len(truth),
        against_model={name: agree(list(one.grades.values()), [truth[i - 1] for i in one.grades]) for name, one in group.items()},
        between=between,
        together=together,
        n_together=len(by_all),
    )


def rule(healthy: float, area: float) -> list[tuple[str, str]]:
    """Each grade as it is marked, and how many macrophages it means in a section of this area [mm2]; `healthy` per mm2.

    The cuts are those of the outcome macrophage_grade, which are assumed.
    """
    least = [int(np.ceil(round(cut * healthy * area, 9))) for cut in GRADE_CUTS]
    counts = [f"0 to {least[0] - 1}", f"{least[0]} to {least[1] - 1}", f"{least[1]} to {least[2] - 1}", f"{least[2]} or more"]
    return list(zip(MARKS, counts, strict=True))
