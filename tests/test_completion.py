"""What the shell completes, and which kind a file is."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imam_sim.cli import main
from imam_sim.study import shelf


def completed(words: str) -> list[str]:
    """What bash is told for the last word of a command line."""
    count = len(words.split(" ")) - 1
    env = {"COMP_WORDS": words, "COMP_CWORD": str(count), "_IMAM_SIM_COMPLETE": "bash_complete"}
    got = CliRunner(env=env).invoke(main, prog_name="imam-sim")
    return [line.partition(",")[2] for line in got.stdout.splitlines()]


def called(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_names_of_what_ships_are_completed() -> None:
    assert completed("imam-sim run acute_inj") == ["acute_injury"]
    assert completed("imam-sim sweep toler") == ["tolerance"]
    assert completed("imam-sim test early_dep") == ["early_depletion"]


def test_dotted_paths_are_completed_part_by_part() -> None:
    assert completed("imam-sim run acute_injury --set macrophage.engulfment.r") == ["macrophage.engulfment.rate"]
    assert "macrophage." in completed("imam-sim params macro")
    assert all(word.count(".") <= 1 for word in completed("imam-sim params macro"))


def test_outcomes_are_completed() -> None:
    assert completed("imam-sim plot study --outcome creatine") == ["creatine_kinase"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_script_for_each_shell_is_printed(shell: str) -> None:
    assert "_IMAM_SIM_COMPLETE" in called("completion", shell).stdout


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("acute_injury", "scenario"),
        ("tolerance", "plan"),
        ("early_depletion", "hypothesis"),
        ("imam", "cohort"),
        ("nobody", "scenario"),
        ("no/such.toml", "scenario"),
    ],
)
def test_the_kind_of_what_ships_is_known(name: str, kind: str) -> None:
    assert shelf.kind_of(name) == kind


@pytest.mark.parametrize("kind", ["scenario", "plan", "hypothesis", "cohort"])
def test_files_of_every_kind_are_told_apart_and_checked(kind: str) -> None:
    root = Path(shelf.shipped_folder("scenarios"))
    folder = root / shelf.FOLDERS[kind] if kind in shelf.FOLDERS else root
    files = sorted(folder.glob("*.toml"))
    assert files
    assert {shelf.kind_of(str(path)) for path in files} == {kind}
    shelf.check(str(files[0]))


@pytest.mark.parametrize(
    ("words", "file"), [(("--hypothesis",), "my_hypothesis"), (("--from", "early_depletion", "mine"), "mine"), ((), "my_scenario")]
)
def test_a_new_file_can_be_used_at_once(words: tuple[str, ...], file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = called("new", *words)
    assert made.stdout == f"{file}.toml\n"
    assert called("check", f"{file}.toml").exit_code == 0


def test_a_new_file_starts_from_scenarios_and_hypotheses_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused = called("new", "mine", "--from", "tolerance")
    assert refused.exit_code == 2
    assert "is a plan, must be a scenario or a hypothesis" in " ".join(refused.output.split())
    assert not list(tmp_path.iterdir())
