"""The experiments of a class, from verdicts that are written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from imam_sim.cli import Exit, main
from imam_sim.show import pool as picture
from imam_sim.study.hypothesis import load_hypothesis
from imam_sim.study.paired import Verdict, interval
from imam_sim.study.pool import as_data, as_text, handed_in, pool
from imam_sim.study.store import StoreDamaged, StoreRefused

TOLD: dict[str, Any] = {
    "title": "Fewer monocytes, less repair",
    "claim": "fibre_area (day 14) is less with fewer than with control, by 0.1 at least",
    "control": "control",
    "treated": "fewer",
    "outcome": "fibre_area",
    "summary": "day 14",
    "unit": "1",
    "contrast": "difference",
    "direction": "less",
    "size": 0.1,
    "sha256": "0123456789abcdef" * 4,
    "version": "0.1.0",
    "model": "0123456789abcdef",
}


def group(folder: Path, name: str, seed: int, mean: float = -0.3, n: int = 12, **other: Any) -> Path:
    """The folder of a group whose differences have exactly this mean; its pairs have seeds from `seed` on."""
    noise = np.random.default_rng(seed).normal(0.0, 0.05, n)
    control = 0.8 + np.random.default_rng(seed + 1).normal(0.0, 0.05, n)
    treated = control + mean + noise - noise.mean()
    pairs = [{"replicate": k + 1, "seed": seed + k, "control": float(control[k]), "treated": float(treated[k])} for k in range(n)]
    place = folder / name.strip(" <&>")
    place.mkdir(parents=True)
    (place / "verdict.json").write_text(json.dumps(TOLD | {"group": name, "differences": pairs} | other))
    return place


def differences(*folders: Path) -> np.ndarray:
    told = [pair for folder in folders for pair in json.loads((folder / "verdict.json").read_text())["differences"]]
    return np.array([pair["treated"] - pair["control"] for pair in sorted(told, key=lambda pair: pair["seed"])])


def test_the_pooled_effect_is_that_of_all_pairs_together(tmp_path: Path) -> None:
    small, large = group(tmp_path, "small", 100, -0.5, n=4), group(tmp_path, "large", 200, -0.2, n=16)
    found = pool([small, large]).effect
    assert found.n == 20
    assert found.estimate == pytest.approx((4 * -0.5 + 16 * -0.2) / 20)
    assert (found.low, found.high) == interval(differences(small, large), 100)


def test_the_order_of_the_groups_changes_no_number(tmp_path: Path) -> None:
    folders = [group(tmp_path, name, seed) for name, seed in (("one", 300), ("two", 100), ("three", 200))]
    assert pool(folders).effect == pool(folders[::-1]).effect


def test_pairs_of_all_groups_decide_what_none_decides_alone(tmp_path: Path) -> None:
    folders = [group(tmp_path, f"group{k}", 100 * k, -0.125, n=6) for k in range(1, 9)]
    pooled = pool(folders)
    assert pooled.effect.verdict == Verdict.SUPPORTED
    assert sum(one.effect.verdict == Verdict.SUPPORTED for one in pooled.groups) < 8


def test_a_group_whose_interval_misses_the_pooled_mean_is_counted_as_missing(tmp_path: Path) -> None:
    folders = [group(tmp_path, f"group{k}", 100 * k, -0.3, n=20) for k in range(1, 5)] + [group(tmp_path, "odd", 900, -0.5, n=4)]
    pooled = pool(folders)
    assert [one.holds for one in pooled.groups] == [True, True, True, True, False]
    assert pooled.holding == 4
    assert "4 of 5 groups hold the pooled mean" in " ".join(as_text(pooled).split())


@pytest.mark.parametrize(("n", "told"), [(4, True), (5, False)])
def test_intervals_of_few_pairs_are_said_to_miss_more_often(tmp_path: Path, n: int, told: bool) -> None:
    folders = [group(tmp_path, "one", 100), group(tmp_path, "two", 200, n=n)]
    assert ("misses, more often with fewer than 5 pairs." in " ".join(as_text(pool(folders)).split())) == told


def test_groups_that_tested_another_text_are_refused(tmp_path: Path) -> None:
    folders = [group(tmp_path, "one", 100), group(tmp_path, "two", 200, sha256="f" * 64)]
    with pytest.raises(StoreRefused, match=r"two/verdict.json: tests another text .* must test the same file"):
        pool(folders)


def test_groups_with_another_version_are_refused(tmp_path: Path) -> None:
    folders = [group(tmp_path, "one", 100), group(tmp_path, "two", 200, version="0.2.0")]
    with pytest.raises(StoreRefused, match=r"another version .*0.2.0, not 0.1.0"):
        pool(folders)


def test_groups_with_another_model_are_refused(tmp_path: Path) -> None:
    folders = [group(tmp_path, "one", 100), group(tmp_path, "two", 200, model="fedcba9876543210")]
    with pytest.raises(StoreRefused, match=r"two/verdict.json: was made with another model than .*\(fedcba98, not 01234567\)"):
        pool(folders)


@pytest.mark.parametrize(("seed", "common"), [(100, 12), (111, 1)])
def test_no_pair_counts_twice(tmp_path: Path, seed: int, common: int) -> None:
    folders = [group(tmp_path, "one", 100), group(tmp_path, "two", seed)]
    with pytest.raises(StoreRefused, match=rf"two/verdict.json: {common} of 12 pairs are those of .*one/verdict.json"):
        pool(folders)


def test_one_group_is_no_class(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="two at least"):
        pool([group(tmp_path, "one", 100)])


def test_groups_of_the_program_have_no_pair_in_common() -> None:
    claim = load_hypothesis("early_depletion")
    seeds = [{plan.seed_of(n) for n in range(1, 1001)} for plan in (claim.of_group("North").plan, claim.of_group("South").plan, claim.plan)]
    assert len(set.union(*seeds)) == 3000


def test_the_mean_of_ratios_is_geometric(tmp_path: Path) -> None:
    other: dict[str, Any] = {"contrast": "ratio", "size": 0.8}
    folders = [group(tmp_path, "one", 100, **other), group(tmp_path, "two", 200, **other)]
    pairs = [pair for folder in folders for pair in json.loads((folder / "verdict.json").read_text())["differences"]]
    ratios = np.array([pair["treated"] / pair["control"] for pair in pairs])
    assert pool(folders).effect.estimate == pytest.approx(float(np.exp(np.log(ratios).mean())))


def test_a_verdict_alone_is_enough_to_hand_in(tmp_path: Path) -> None:
    folder = group(tmp_path, "one", 100)
    assert handed_in(folder / "verdict.json").seeds == handed_in(folder).seeds


def test_a_group_without_a_name_goes_by_its_folder(tmp_path: Path) -> None:
    assert handed_in(group(tmp_path, "the_folder", 100, group="")).name == "the_folder"


def test_a_group_that_was_cut_is_said_to_be_not_finished(tmp_path: Path) -> None:
    assert handed_in(group(tmp_path, "north", 1, missing=3)).name == "north (not finished)"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"differences": [{"seed": 1}]}', '{"differences": [{"seed": 1, "control": NaN, "treated": 1}]}']
)
def test_a_file_that_is_no_verdict_is_called_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "verdict.json").write_text(text)
    with pytest.raises(StoreDamaged, match=r"verdict.json: is damaged or no verdict"):
        handed_in(tmp_path)


def test_a_group_without_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="no pair was measured"):
        handed_in(group(tmp_path, "one", 100, differences=[]))


def test_the_table_fits_into_80_columns(tmp_path: Path) -> None:
    other: dict[str, Any] = {"unit": "cells/mm2", "size": 1e5}
    folders = [group(tmp_path, f"a name that is much too long {k}", 100 * k, -123456.789, **other) for k in range(1, 4)]
    lines = as_text(pool(folders)).splitlines()
    assert max(map(len, lines)) <= 80


def test_numbers_of_all_groups_are_json(tmp_path: Path) -> None:
    told = as_data(pool([group(tmp_path, "one", 100, n=2), group(tmp_path, "two", 200)]))
    assert json.loads(json.dumps(told, allow_nan=False))["groups"][1]["group"] == "two"


def test_the_page_has_every_group_and_its_names_are_text(tmp_path: Path) -> None:
    path = picture.write(pool([group(tmp_path, "<North & West>", 100), group(tmp_path, "South", 200)]), tmp_path / "out" / "class.html")
    page = path.read_text()
    assert "<td>&lt;North &amp; West&gt;</td>" in page
    assert "<North" not in page
    assert "<td>all 2 groups</td>" in page
    assert "<svg" in page


def test_the_forest_has_a_line_for_each_group_and_one_for_all(tmp_path: Path) -> None:
    figure = picture.forest(pool([group(tmp_path, name, seed) for name, seed in (("one", 100), ("two", 200), ("three", 300))]))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["one", "two", "three", "all 3 groups"]


def test_pool_prints_the_table_and_draws_where_it_is_told(tmp_path: Path) -> None:
    folders = [str(group(tmp_path, "one", 100)), str(group(tmp_path, "two", 200))]
    result = CliRunner().invoke(main, ["pool", *folders, "--out", str(tmp_path / "class.png")])
    assert result.exit_code == Exit.OK
    assert result.stdout.startswith("Fewer monocytes, less repair\n")
    assert (tmp_path / "class.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "code"), [(["two", "--out", "class.pdf"], Exit.BAD_INPUT), (["one"], Exit.BAD_INPUT), (["nowhere"], Exit.DAMAGED)]
)
def test_what_pool_cannot_do_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: Exit) -> None:
    monkeypatch.chdir(tmp_path)
    group(tmp_path, "one", 100)
    group(tmp_path, "two", 200)
    result = CliRunner().invoke(main, ["pool", "one", *words])
    assert result.exit_code == code
    assert "Traceback" not in result.output
