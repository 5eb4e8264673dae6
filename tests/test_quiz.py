"""The quiz: which sections are asked for, that nothing gives a grade away, and how answers are marked."""

from __future__ import annotations

import base64
import io
import json
import math
import random
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from imam_sim.cli import Exit, main
from imam_sim.model.observe import grade
from imam_sim.show.quiz import HERE, page
from imam_sim.study import quiz as quizzes
from imam_sim.study.agreement import band, fleiss, interval, kappa, plain, quadratic, table
from imam_sim.study.language import ScenarioError
from imam_sim.study.quiz import POOL, Pool, Quiz, Source, Specimen, agree, draw, fill, mark, rule, scenario_of, seed_of_name, specimens

SMALL = Pool(200.0, (Source("acute_injury", (), 1, (0, 1, 2)), Source("imam_untreated", (), 2, (0, 1))))
COHEN_1960 = np.array([[88, 14, 18], [10, 40, 10], [2, 6, 12]])  # 200 cases of two judges
DRAWN = random.Random(20).choices(range(4), k=2 * 400)


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def invented(per_grade: tuple[int, ...] = (8, 8, 8, 8)) -> list[Specimen]:
    """Sections of two scenarios with two runs each; as many of each grade as is said."""
    density = (10.0, 60.0, 150.0, 900.0)
    return [
        Specimen(f"{('wound', 'disease')[i % 2]}-seed{i % 4}", 24.0 * i, f"day {i}", density[number], 30.0, 0.1 * number)
        for number, n in enumerate(per_grade)
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small pool and one quiz of five sections, made by the command."""
    made = tmp_path_factory.mktemp("quiz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quizzes, "POOL", SMALL)
        result = run("quiz", "--out", made, "--questions", 5, "--name", "Group 7", "--jobs", 1)
    assert result.exit_code == Exit.OK, result.output
    return made


@pytest.fixture(scope="module")
def shown(folder: Path) -> str:
    """The page of that quiz."""
    (path,) = folder.glob("*.html")
    return path.read_text(encoding="utf-8")


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    """A folder with the key of a quiz, whose sixteen sections have each grade four times."""
    quizzes.write_key(tmp_path, QUIZ)
    return tmp_path


QUIZ = draw(invented(), 16, 1, "cd68")


def answers(folder: Path, student: str, grades: list[int], quiz: str = QUIZ.code) -> Path:
    path = folder / f"{student}.csv"
    rows = [f"{quiz},{student},{number},{given}" for number, given in enumerate(grades, start=1)]
    path.write_text("\n".join(["quiz,student,question,grade", *rows]) + "\n")
    return path


def test_kappa_is_that_of_the_worked_example_of_cohen() -> None:
    assert kappa(COHEN_1960, plain(3)) == pytest.approx(0.492, abs=5e-4)


def test_weighted_kappa_is_that_of_the_worked_example_of_cohen() -> None:
    assert kappa(COHEN_1960, np.array([[0.0, 1, 3], [1, 0, 6], [3, 6, 0]])) == pytest.approx(0.348, abs=5e-4)


def test_kappa_with_quadratic_weights_is_the_concordance_of_the_grades() -> None:
    first, second = DRAWN[:50], [min(3, one + (i % 3 == 0)) for i, one in enumerate(DRAWN[:50])]
    covariance = np.cov(first, second, bias=True)[0, 1]
    concordance = 2 * covariance / (np.var(first) + np.var(second) + (np.mean(first) - np.mean(second)) ** 2)
    assert kappa(table(first, second, 4), quadratic(4)) == pytest.approx(concordance, abs=1e-12)


@pytest.mark.parametrize("weights", [plain(4), quadratic(4)])
def test_kappa_of_full_agreement_is_one(weights: np.ndarray) -> None:
    assert kappa(table(DRAWN[:20], DRAWN[:20], 4), weights) == 1.0


@pytest.mark.parametrize("weights", [plain(4), quadratic(4)])
def test_kappa_of_lots_is_zero_within_its_error(weights: np.ndarray) -> None:
    found = [kappa(table(DRAWN[i : i + 20], DRAWN[400 + i : 420 + i], 4), weights) for i in range(0, 400, 20)]
    assert abs(np.mean(found)) <= 4 * np.std(found, ddof=1) / math.sqrt(len(found))


def test_kappa_is_not_defined_where_all_grades_are_the_same() -> None:
    assert math.isnan(kappa(table([2, 2], [2, 2], 4), plain(4)))


def test_fleiss_kappa_of_fourteen_judges_is_that_of_the_worked_example() -> None:
    rows = "0000e 02642 00356 03920 22811 77000 32630 25322 65210 02237".replace("e", "E").split()
    counts = np.array([[14 if mark == "E" else int(mark) for mark in row] for row in rows])
    assert fleiss(counts) == pytest.approx(0.210, abs=5e-4)


def test_fleiss_kappa_of_two_judges_with_equal_margins_is_that_of_cohen() -> None:
    first, second = [0, 1, 2, 3, 0, 1, 2, 3], [0, 1, 2, 3, 1, 0, 3, 2]
    counts = np.array([np.bincount(pair, minlength=4) for pair in zip(first, second, strict=True)])
    assert fleiss(counts) == pytest.approx(kappa(table(first, second, 4), plain(4)))


def test_the_interval_of_kappa_holds_the_truth_as_often_as_it_says() -> None:
    lots, truth, held = random.Random(4), 0.6, 0  # a judge who repeats the truth in 60 % and guesses else has a plain kappa of 0.6
    for seed in range(40):
        first = lots.choices(range(4), k=80)
        second = [one if lots.random() < truth else lots.randrange(4) for one in first]
        found = interval(first, second, plain(4), seed)
        held += found.low <= truth <= found.high
    assert abs(held - 0.95 * 40) <= 4 * math.sqrt(40 * 0.95 * 0.05)


def test_resamples_without_a_kappa_are_told() -> None:
    assert interval([0, 0, 0, 1], [0, 0, 0, 1], plain(4), 1).defined == pytest.approx(1 - (3**4 + 1) / 4**4, abs=0.05)


@pytest.mark.parametrize(
    ("value", "name"), [(1.0, "almost perfect"), (0.61, "substantial"), (0.5, "moderate"), (0.0, "slight"), (-1, "poor")]
)
def test_a_kappa_has_its_word(value: float, name: str) -> None:
    assert band(value) == name


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_page_counts_the_same_kappas_as_the_command() -> None:
    script = re.search(r'<script id="agreement">(.*?)</script>', (HERE / "quiz.html").read_text(encoding="utf-8"), re.DOTALL)
    assert script
    pairs = [(DRAWN[i : i + 12], [min(3, one + i % 2) for one in DRAWN[i : i + 12]]) for i in range(20)] + [([1, 1], [1, 1])]
    asked = "".join(
        f"const t{i} = tableOf({first}, {second}, 4); told.push([t{i}, kappa(t{i}, plain), kappa(t{i}, quadratic)]);"
        for i, (first, second) in enumerate(pairs)
    )
    code = f"{script[1].replace('$$', '$')} const told = []; {asked} console.log(JSON.stringify(told));"
    found = json.loads(subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True).stdout)
    ours = [agree(first, second) for first, second in pairs]
    assert [one[0] for one in found] == [one.table for one in ours]
    for (_, same, weighted), one in zip(found, ours, strict=True):
        assert (math.nan if same is None else same) == pytest.approx(one.plain, abs=1e-12, nan_ok=True)
        assert (math.nan if weighted is None else weighted) == pytest.approx(one.weighted, abs=1e-12, nan_ok=True)


def test_a_quiz_has_each_grade_as_often() -> None:
    assert np.bincount(draw(invented(), 12, 3, "cd68").grades).tolist() == [3, 3, 3, 3]


def test_other_grades_stand_in_for_one_that_the_pool_lacks() -> None:
    assert np.bincount(draw(invented((9, 1, 9, 9)), 13, 3, "cd68").grades).tolist() == [4, 1, 4, 4]


def test_no_section_is_asked_for_twice() -> None:
    asked = [question.specimen for question in draw(invented(), 32, 3, "cd68").questions]
    assert len(set(asked)) == 32


def test_a_quiz_is_of_as_many_runs_as_possible() -> None:
    runs = [question.specimen.run for question in draw(invented(), 12, 5, "cd68").questions]
    assert sorted(runs.count(run) for run in set(runs)) == [3, 3, 3, 3]


def test_a_seed_is_a_quiz() -> None:
    assert draw(invented(), 12, 3, "cd68") == draw(invented(), 12, 3, "cd68")
    assert draw(invented(), 12, 3, "cd68").grades != draw(invented(), 12, 4, "cd68").grades


def test_the_order_of_grades_is_shuffled_evenly() -> None:
    firsts = np.bincount([draw(invented(), 8, seed, "cd68").grades[0] for seed in range(200)], minlength=4)
    assert np.abs(firsts - 50).max() <= 4 * math.sqrt(200 * 0.25 * 0.75)


def test_the_grades_of_the_first_sections_do_not_give_away_that_of_the_next() -> None:
    all_four = sum(len(set(draw(invented(), 8, seed, "cd68").grades[:4])) == 4 for seed in range(200))
    chance = 384 / 1680  # of four different grades in a shuffled row of two each
    assert abs(all_four - 200 * chance) <= 4 * math.sqrt(200 * chance * (1 - chance))


def test_more_sections_than_there_are_cannot_be_asked_for() -> None:
    with pytest.raises(ScenarioError, match="--questions: got 33, must be 4 to 32"):
        draw(invented(), 33, 1, "cd68")


def test_a_name_is_a_seed_whatever_its_capitals_and_spaces() -> None:
    assert seed_of_name(" Group  SEVEN ") == seed_of_name("group seven") != seed_of_name("group eight")


def test_the_counts_of_the_rule_are_graded_as_the_model_grades() -> None:
    ranges = [[int(number) for number in re.findall(r"\d+", count)] for _, count in rule(30.0, 0.25)]
    assert [[grade(count / 0.25, 30.0) for count in ends] for ends in ranges] == [[0, 0], [1, 1], [2, 2], [3]]
    assert ranges[1:] == [[ranges[0][1] + 1, ranges[1][1]], [ranges[1][1] + 1, ranges[2][1]], [ranges[2][1] + 1]]


@pytest.mark.parametrize("source", POOL.sources, ids=quizzes.name_of)
def test_every_run_of_the_pool_is_a_scenario_that_records_its_days(source: Source) -> None:
    scenario = scenario_of(source, POOL.edge)
    assert scenario.record.sections == tuple(24.0 * day for day in source.days)
    assert scenario.duration == 24.0 * source.days[-1]


def test_the_pool_has_no_two_runs_of_one_name() -> None:
    assert len({quizzes.name_of(source) for source in POOL.sources}) == len(POOL.sources)


def test_a_specimen_has_the_grade_that_the_model_measured(folder: Path) -> None:
    offered = specimens(folder, SMALL)
    _, outcomes = quizzes.read_outcomes(folder / "runs" / "acute_injury-seed1")
    assert [one.grade for one in offered[:3]] == outcomes["macrophage_grade"].tolist()


def test_the_story_says_whether_the_tissue_was_hurt_and_treated() -> None:
    scenario = scenario_of(POOL.sources[-1], 200.0)
    assert quizzes.story(scenario, 0.0) == "healthy human muscle, before any injury"
    assert quizzes.story(scenario, 24.0) == "IMAM, CSF1R inhibitor; human muscle, day 1; before its treatment, which begins on day 2"
    assert quizzes.story(scenario, 72.0) == "IMAM, CSF1R inhibitor; human muscle, day 3; treated from day 2"


def test_the_second_quiz_of_a_folder_simulates_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quizzes, "prepare_kernels", lambda: pytest.fail("something was simulated"))
    fill(folder, SMALL, 1)


def test_the_same_command_makes_the_same_page(folder: Path, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quizzes, "POOL", SMALL)
    told = json.loads(run("quiz", "--out", folder, "--questions", 5, "--name", "group 7", "--json").stdout)
    assert Path(told["page"]).read_text(encoding="utf-8").replace("group 7", "Group 7") == shown


def test_the_page_asks_the_network_for_nothing(shown: str) -> None:
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:)[a-z]+:""", shown)


def test_the_page_has_a_picture_for_each_section_that_can_be_read(shown: str) -> None:
    pictures = [Image.open(io.BytesIO(base64.b64decode(text))) for text in re.findall(r'src="data:image/png;base64,([^"]+)"', shown)]
    assert [picture.size for picture in pictures] == [(280, 280)] * 5


def test_the_page_says_no_grade_and_no_story_in_plain_text(folder: Path, shown: str) -> None:
    bare = re.sub(r"data:image/png;base64,[^\"]+", "", shown)
    (code,) = quizzes.keys(folder)
    told = json.loads(base64.b64decode(quizzes.key_path(folder, code).read_bytes()))["questions"]
    assert not [one["story"] for one in told if one["story"] in bare]
    assert not re.findall(r"acute|untreated|seed\d", bare)


def test_cards_differ_in_nothing_but_their_number_and_picture(shown: str) -> None:
    cards = re.findall(r'<section class="card".*?</section>', shown, re.DOTALL)
    bare = {re.sub(r'data:image/png;base64,[^"]+|(?<=section)\d|(?<=heading)\d|(?<=ection )\d|(?<=question)\d', "", card) for card in cards}
    assert (len(cards), len(bare)) == (5, 1)


def test_files_are_named_by_the_code_alone(folder: Path) -> None:
    (code,) = quizzes.keys(folder)
    assert sorted(path.name for path in folder.iterdir()) == [f"quiz-{code}.html", f"quiz-{code}.key", "runs"]


def test_the_page_is_marked_as_the_key_is(folder: Path, shown: str) -> None:
    hidden = re.search(r'<script id="hidden" type="text/plain">([^<]+)<', shown)
    (code,) = quizzes.keys(folder)
    assert hidden
    assert hidden[1] == quizzes.key_path(folder, code).read_text().strip()


def test_a_title_cannot_break_the_page(folder: Path) -> None:
    quiz = draw(specimens(folder, SMALL), 4, 1, "he")
    assert "<script>alert" not in page(Quiz(quiz.code, "he", quiz.questions), quizzes.tissues(folder, quiz), "</title><script>alert(1)")


def test_a_picture_lies_in_eight_ways() -> None:
    from imam_sim.show.quiz import _turned

    picture = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    assert len({_turned(picture, way).tobytes() for way in range(8)}) == 8


def test_a_perfect_student_agrees_with_the_model(sheet: Path) -> None:
    (group,) = mark(sheet, [answers(sheet, "Ann", QUIZ.grades)])
    told = group.against_model["Ann"]
    assert (told.weighted, told.plain, told.agreed, told.n) == (1.0, 1.0, 16, 16)


def test_students_are_marked_and_compared_with_each_other(sheet: Path) -> None:
    low = [max(0, given - 1) for given in QUIZ.grades]
    (group,) = mark(sheet, [answers(sheet, "Ann", QUIZ.grades), answers(sheet, "Bo", low)])
    assert group.between["Ann", "Bo"].table == agree(QUIZ.grades, low).table
    assert group.between["Ann", "Bo"].weighted == group.against_model["Bo"].weighted
    assert group.together is not None
    assert group.together < 1.0


def test_what_a_student_left_out_is_not_counted(sheet: Path) -> None:
    path = answers(sheet, "Ann", QUIZ.grades)
    path.write_text(re.sub(r",\d$", ",", path.read_text(), count=2, flags=re.MULTILINE))
    assert mark(sheet, [path])[0].against_model["Ann"].n == 14


def test_grades_may_be_written_as_marks_and_the_name_of_the_file_is_the_student(sheet: Path) -> None:
    path = sheet / "Cleo.csv"
    path.write_text("question;grade\n" + "".join(f"{i};{quizzes.MARKS[given]}\n" for i, given in enumerate(QUIZ.grades, start=1)))
    assert mark(sheet, [path])[0].against_model["Cleo"].plain == 1.0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("question,grade\n1,4\n", ":2: grade: got 4, must be 0, 1, 2 or 3, or -/+, +, ++, +++"),
        ("question,grade\n17,1\n", ":2: question: got 17, must be 1 to 16"),
        ("question,grade\n1,1\n1,2\n", ":3: question: got 1 a second time, must be answered once"),
        ("question,mark\n1,1\n", ":1: got no column grade, must have question and grade"),
        ("quiz,question,grade\nffff,1,1\n", f": quiz: got ffff, must be one of {QUIZ.code}"),
        ("question,grade\n1,\n", ": holds no grade, must hold one at least"),
        ("", ":1: got no column question and grade, must have question and grade"),
    ],
)
def test_a_wrong_answer_file_is_refused_in_one_line(sheet: Path, text: str, told: str) -> None:
    path = sheet / "wrong.csv"
    path.write_text(text)
    result = run("quiz", "--mark", sheet, path)
    assert (result.exit_code, result.stderr) == (Exit.BAD_INPUT, f"{path}{told}\n")


def test_one_student_cannot_hand_in_twice(sheet: Path) -> None:
    first = answers(sheet, "Ann", QUIZ.grades)
    second = first.rename(sheet / "again.csv")
    with pytest.raises(ScenarioError, match="got Ann, whose answers are also in"):
        mark(sheet, [answers(sheet, "Ann", QUIZ.grades), second])


def test_a_folder_without_a_quiz_is_said_to_be_so(tmp_path: Path) -> None:
    result = run("quiz", "--mark", tmp_path, answers(tmp_path, "Ann", [1]))
    assert (result.exit_code, result.stderr) == (
        Exit.BAD_INPUT,
        f"{tmp_path}: holds no quiz, must be a folder that `imam-sim quiz --out` made\n",
    )


def test_marks_are_told_in_words_and_as_data(sheet: Path) -> None:
    low = answers(sheet, "Bo", [max(0, given - 1) for given in QUIZ.grades])
    words = ("quiz", "--mark", sheet, answers(sheet, "Ann", QUIZ.grades), low)
    (told,) = json.loads(run(*words, "--json").stdout)
    lines = run(*words).stdout.splitlines()
    assert [one["student"] for one in told["students"]] == ["Ann", "Bo"]
    assert (
        lines[1]
        == "Ann and the model: weighted kappa 1.00 (1.00 to 1.00), almost perfect; plain 1.00 (1.00 to 1.00); same grade in 16 of 16"
    )
    assert lines[-1] == f"all 2 students: Fleiss' kappa {told['fleiss_kappa']:.2f} (unweighted; 16 sections graded by all)"


@pytest.mark.parametrize(
    "words", [("--mark", "here"), ("answers.csv",), ("--seed", "1", "--name", "x"), ("--mark", "here", "--seed", "2", "a.csv")]
)
def test_options_that_contradict_each_other_are_refused(words: tuple[str, ...]) -> None:
    assert run("quiz", *words).exit_code == Exit.BAD_INPUT


def test_a_quiz_that_is_stopped_says_that_the_same_command_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(quizzes, "fill", stopped)
    result = run("quiz", "--out", tmp_path / "class")
    assert result.exit_code == Exit.INTERRUPTED
    assert "the same command goes on" in result.stderr
