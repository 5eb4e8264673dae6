"""Sealed scenarios: what they hide, how experiments are counted, and that a student sees only what was done."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from imam_sim.cli import Exit, main
from imam_sim.show.sealed import picture
from imam_sim.study import sealed as seals
from imam_sim.study.language import ScenarioError
from imam_sim.study.scenario import Set
from imam_sim.study.scenario_file import load
from imam_sim.study.sealed import Change, Sealed, as_text, experiment, load_sealed, make, scenarios
from imam_sim.study.simulate import simulate
from imam_sim.study.store import StoreDamaged, StoreRefused

PATH = "macrophage.engulfment.rate"
SMALL = ("tissue.width=200 um", "tissue.height=200 um", "numerics.step=1 h", "record.every=12 h", "duration=1 d")
ANSWER = "Macrophages eat slowly."
OTHERS = ("Vessels regrow slowly.", "Few monocytes come.")


def made(path: Path, change: str = f"{PATH}=140", answer: str = ANSWER, others: tuple[str, ...] = OTHERS, **other: Any) -> Sealed:
    usual: dict[str, Any] = {
        "outcomes": ("necrosis", "macrophages"),
        "experiments": 2,
        "muscles": 2,
        "seed": 5,
        "title": "A secret",
        "story": "What is it?",
        "told": "They ate a tenth.",
    }
    return make(path, "acute_injury", change, answer, others, SMALL, **usual | other)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def secret(here: Path) -> Sealed:
    return made(Path("secret.toml"))


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["sealed", *words])


def value(scenario: Any) -> float:
    return scenario.base_params().macrophage.engulfment.rate


def test_the_secret_is_not_readable_in_the_file(secret: Sealed) -> None:
    assert PATH not in secret.text
    assert "140" not in secret.text
    assert secret.secret.told not in secret.text
    assert secret.secret._replace(factor=0.0) == (PATH, 0.0, secret.choices.index(ANSWER), "They ate a tenth.")


def test_the_sealed_muscle_has_the_factor_of_whatever_the_usual_one_has(secret: Sealed) -> None:
    usual, changed = scenarios(secret, Change())
    assert (value(usual), value(changed)) == (1400.0, pytest.approx(140.0))
    usual, changed = scenarios(secret, Change((f"{PATH}=500",)))
    assert (value(usual), value(changed)) == (500.0, pytest.approx(50.0))


def test_a_parameter_that_a_student_sets_for_a_while_keeps_the_factor(secret: Sealed) -> None:
    both = scenarios(secret, Change(events=(f"kind=set, parameter={PATH}, value=700, from=0 d",)))
    values = [event.value for scenario in both for event in scenario.events if isinstance(event, Set)]
    assert values == [700.0, pytest.approx(70.0)]


def test_nothing_but_the_secret_differs_between_the_muscles(secret: Sealed) -> None:
    usual, changed = scenarios(secret, Change((), ("kind=treat, drug=prednisolone, dose=1 mg/kg/day, start=0 d",)))
    assert changed.model_copy(update={"parameters": usual.parameters}) == usual
    assert set(changed.parameters) - set(usual.parameters) == {PATH}


def test_an_experiment_shows_what_plain_runs_show(secret: Sealed) -> None:
    shown = experiment(secret, Change(("record.every=6 h",)))
    for muscle, seed in enumerate((5, 6)):
        for courses, rate in ((shown.usual, 1400.0), (shown.changed, 1400.0 * secret.secret.factor)):
            plain = simulate(
                load("acute_injury", (*(text for text in SMALL if "record" not in text), "record.every=6 h", f"{PATH}={rate!r}")), seed
            )
            assert np.array_equal(courses[muscle, :, 0], plain.outcomes["necrosis"])
            assert np.array_equal(shown.times, plain.times)


def test_experiments_are_counted_and_no_more_are_given_than_there_are(here: Path, secret: Sealed) -> None:
    assert [run("run", "secret.toml").exit_code for _ in range(2)] == [Exit.OK, Exit.OK]
    third = run("run", "secret.toml")
    assert third.exit_code == Exit.BAD_INPUT
    assert "all 2 experiments are spent" in third.stderr
    assert sorted(path.name for path in (here / "sealed" / "secret").iterdir()) == [
        "experiment-1.csv",
        "experiment-1.png",
        "experiment-2.csv",
        "experiment-2.png",
        "log.json",
    ]


def test_a_folder_tells_nothing_of_the_secret(here: Path, secret: Sealed) -> None:
    assert run("run", "secret.toml", "--set", "cd4.tolerance=0.5").exit_code == Exit.OK
    for path in (here / "sealed" / "secret").iterdir():
        content = path.read_bytes()
        assert b"engulf" not in content
        assert b"slowly" not in content


def test_what_is_refused_costs_no_experiment(here: Path, secret: Sealed) -> None:
    assert run("run", "secret.toml", "--set", "cd4.tolerance=-1").exit_code == Exit.BAD_INPUT
    assert run("run", "secret.toml", "--event", "kind=deplete, cell=unicorn, fraction=1, from=0 d").exit_code == Exit.BAD_INPUT
    assert not (here / "sealed").exists()


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ("deplete", "must be KEY=VALUE, KEY=VALUE"),
        ("kind=deplete, kind=deplete", "kind is given twice"),
        ("kind=deplete, cell=macrophage, fraction=2, from=0 d", "fraction: got 2"),
    ],
)
def test_a_wrong_event_is_told_as_it_was_typed(secret: Sealed, event: str, told: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        scenarios(secret, Change(events=("kind=infect, at=0 d, peak=1 ng/mL", event)))
    assert str(refused.value).startswith(f"--event: {event}: ")
    assert told in str(refused.value)


def test_a_place_in_an_event_keeps_its_commas(secret: Sealed) -> None:
    event = scenarios(secret, Change(events=("kind=inject, at=0 d, signal=vegf, amount=5 ng/mL, where=[50, 60, 20]",)))[0].events[-1]
    assert event.where == (50.0, 60.0, 20.0)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("words", "told"), [(ANSWER, "is right, after 0 experiments of 2."), (OTHERS[0], "is wrong, after 0 experiments of 2.")]
)
def test_a_guess_is_judged_and_reveals_the_secret(secret: Sealed, words: str, told: str) -> None:
    letter = seals.LETTERS[secret.choices.index(words)]
    result = run("guess", "secret.toml", letter.upper())
    assert result.exit_code == Exit.OK
    assert f"{letter} {told}" in result.stdout
    assert f"{PATH} (" in result.stdout
    assert "was 140 um3/h in the sealed muscle, 1400" in " ".join(result.stdout.split())


def test_one_guess_is_all_there_is(secret: Sealed) -> None:
    assert run("guess", "secret.toml", "a").exit_code == Exit.OK
    again = run("guess", "secret.toml", "b")
    assert again.exit_code == Exit.BAD_INPUT
    assert "the guess was made" in again.stderr


@pytest.mark.parametrize("letter", ["d", "", "ab", "1"])
def test_a_letter_that_no_choice_has_is_no_guess(here: Path, secret: Sealed, letter: str) -> None:
    result = run("guess", "secret.toml", letter)
    assert result.exit_code == Exit.BAD_INPUT
    assert "must be one of a, b, c" in result.stderr
    assert not (here / "sealed").exists()


def test_a_broken_seal_lets_one_go_on_trying(secret: Sealed) -> None:
    log = seals.Log((seals.Experiment(1, "", Change()),) * 2, seals.Guess("", 0, False, 2))
    seals.refuse_spent(secret, log)
    with pytest.raises(StoreRefused):
        seals.refuse_spent(secret, log._replace(guess=None))


def test_a_log_that_was_changed_by_hand_is_told(here: Path, secret: Sealed) -> None:
    run("guess", "secret.toml", "a")
    path = here / "sealed" / "secret" / "log.json"
    path.write_text(path.read_text().replace('"after": 0', '"after": 1'))
    with pytest.raises(StoreDamaged, match="changed by hand"):
        seals.read_log(path.parent, secret)


def test_the_log_of_another_file_is_not_gone_on_with(here: Path, secret: Sealed) -> None:
    run("guess", "secret.toml", "a")
    other = made(Path("other.toml"), seed=6)
    with pytest.raises(StoreRefused, match="another sealed scenario"):
        seals.read_log(here / "sealed" / "secret", other)


def test_show_tells_the_choices_and_what_was_done_but_not_the_secret(secret: Sealed) -> None:
    run("run", "secret.toml", "--set", "cd4.tolerance=0.5")
    told = run("show", "secret.toml")
    assert told.exit_code == Exit.OK
    assert "  1. cd4.tolerance=0.5" in told.stdout
    assert "1 of 2 experiments left." in told.stdout
    assert all(words in told.stdout for words in secret.choices)
    assert PATH not in told.output
    assert json.loads(run("show", "secret.toml", "--json").stdout)["revealed"] == []


def test_the_place_of_the_answer_follows_from_the_words_alone(secret: Sealed) -> None:
    other = made(Path("other.toml"), change="vessel.regrowth_rate=0.001", answer=OTHERS[0], others=(OTHERS[1], ANSWER))
    assert other.choices == secret.choices
    assert other.choices[other.secret.answer] == OTHERS[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (f"{PATH}=1400", "is 1400 there already"),
        ("signal.il10.systemic=3", "is 0 there, which no factor changes"),
        ("duration=9 d", "must be PARAMETER=VALUE"),
        ("macrophage.engulfment.rat=3", "did you mean macrophage.engulfment.rate?"),
        (f"{PATH}=-1", "must be a number from 0"),
    ],
)
def test_a_change_that_can_be_no_secret_is_refused(here: Path, change: str, told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        made(Path("bad.toml"), change=change)
    assert not (here / "bad.toml").exists()


def test_make_overwrites_nothing_and_leaves_nothing_that_is_wrong(here: Path, secret: Sealed) -> None:
    with pytest.raises(StoreRefused, match="is there already"):
        made(Path("secret.toml"))
    with pytest.raises(ScenarioError, match="did you mean necrosis"):
        made(Path("bad.toml"), outcomes=("necrossis",))
    assert not (here / "bad.toml").exists()


def test_make_from_the_command_line_gives_a_file_that_can_be_run(here: Path) -> None:
    (here / "mine.toml").write_text('schema = 1\nextends = "acute_injury"\n')
    sets = [word for text in SMALL for word in ("--set", text)]
    words = ["--from", "mine.toml", "--change", f"{PATH}=140", "--answer", ANSWER, "--choice", OTHERS[0], "--outcome", "necrosis"]
    assert run("make", "class/quiz.toml", *words, *sets, "--muscles", "1").exit_code == Exit.OK
    result = run("run", "class/quiz.toml")
    assert result.exit_code == Exit.OK
    assert "5 of 6 experiments left." in result.stdout


@pytest.mark.parametrize("damage", ["x", "", base64.b64encode(zlib.compress(b'{"path": "nothing"}')).decode(), "eNq=="])
def test_a_damaged_secret_is_told_at_its_line(here: Path, secret: Sealed, damage: str) -> None:
    text = "\n".join(f'secret = "{damage}"' if line.startswith("secret") else line for line in secret.text.splitlines())
    (here / "secret.toml").write_text(text)
    with pytest.raises(ScenarioError, match=r"secret.toml:\d+: sealed.secret: is damaged"):
        load_sealed("secret.toml")


@pytest.mark.parametrize("name", seals.names())
def test_a_shipped_one_is_whole_and_hides_its_answer(name: str) -> None:
    found = load_sealed(name)
    assert found.secret.path not in found.text
    assert len(found.choices) >= 4
    assert len(seals.revealed(found)) == 3
    assert all(path not in found.text for path in (found.secret.told, found.secret.path.rpartition(".")[0]))


def test_three_are_shipped_and_listed() -> None:
    assert len(run("show").stdout.splitlines()) == len(seals.names()) == 3


def test_the_table_fits_into_80_columns_and_tells_the_largest_difference() -> None:
    times = np.array([0.0, 24.0, 48.0])
    usual = np.array([[[1.0, 5e4], [2.0, 5e4], [3.0, 5e4]]])
    changed = usual + np.array([[[0.0, -1.0], [4.0, 0.0], [1.0, 0.0]]])
    lines = as_text(seals.Shown(("complement_capillaries", "creatine_kinase"), times, usual, changed)).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2].split() == ["complement_capillaries", "1", "2", "6", "3", "4"]
    assert lines[3].split()[:3] == ["creatine_kinase", "U/L", "0"]


def test_the_picture_has_a_panel_for_each_outcome_and_lines_for_each_muscle() -> None:
    shown = seals.Shown(("necrosis", "tnf"), np.array([0.0, 24.0]), np.ones((3, 2, 2)), np.zeros((3, 2, 2)))
    axes = picture(shown, "x").axes
    assert [len(one.lines) for one in axes] == [8, 8]
