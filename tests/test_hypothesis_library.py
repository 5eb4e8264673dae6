"""The shipped hypotheses: whole, with their reasons, and each in the table of docs/hypotheses.md."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from imam_sim.study.hypothesis import Hypothesis, load_hypothesis, names

ROOT = Path(__file__).parents[1]
VERDICTS = ("supported", "direction supported, size not reached", "no effect of interest", "contradicted", "undecided", "not run yet")


@cache
def loaded(name: str) -> Hypothesis:
    return load_hypothesis(name)


@cache
def table() -> dict[str, list[str]]:
    """The cells of the library's table by the name of the hypothesis."""
    text = (ROOT / "docs" / "hypotheses.md").read_text(encoding="utf-8")
    library = text.partition("## The verdicts of this version")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z0-9_]+)` \|(.+)\|$", library, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split(" | ")] for name, rest in rows}


def test_there_are_at_least_twelve() -> None:
    assert len(names()) >= 12


@pytest.mark.parametrize("name", names())
def test_a_shipped_hypothesis_tells_its_sources_its_reason_and_where_it_should_hold(name: str) -> None:
    claim = loaded(name)
    assert claim.sources
    assert len(claim.because.split()) >= 10
    assert claim.robustness.draws >= 6


@pytest.mark.parametrize("name", names())
def test_a_shipped_hypothesis_says_in_its_file_what_to_look_at(name: str) -> None:
    for heading in ("# What is it", "# Things to notice", "# Things to try"):
        assert f"{heading}\n" in loaded(name).text


def test_every_shipped_hypothesis_stands_in_the_table_of_the_library() -> None:
    assert sorted(table()) == names()


@pytest.mark.parametrize("name", names())
def test_the_table_tells_one_verdict_of_each(name: str) -> None:
    _, _, _, verdict, _, _ = table()[name]
    assert verdict.strip("*") in VERDICTS


@pytest.mark.parametrize("name", names())
def test_the_table_tells_the_claim_of_the_file(name: str) -> None:
    claim, told = loaded(name), table()[name][0]
    assert f"`{claim.outcome}`" in told
    assert str(claim.summary) in told
    assert f"{claim.prediction.size:g}" in told
