"""The experiments of the groups of a class, put together.

Each group tested one hypothesis with seeds of its own, so that pairs of different groups have nothing in common and all of them together
are one larger experiment. What a group needs to hand in is verdict.json.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from imam_sim.study.experiment import FEWEST, VERDICT
from imam_sim.study.paired import Effect, Numbers, Prediction, Verdict, effect
from imam_sim.study.store import StoreDamaged, StoreRefused, naming

MADE_BY = "a folder that `imam-sim test` filled, or its verdict.json"
COUNTED = "1"  # the unit of numbers and shares
NAME, TABLE = 18, 80  # letters of a name, and of a line, in a table


class Pairs(NamedTuple):
    """The pairs of a group as it handed them in; `seeds`, `control` and `treated` have an entry for each."""

    name: str
    file: Path
    told: dict[str, Any]
    seeds: tuple[int, ...]
    control: Numbers
    treated: Numbers


class Group(NamedTuple):
    """What the pairs of one group show, and whether its interval holds the pooled estimate."""

    name: str
    effect: Effect
    holds: bool


class Pooled(NamedTuple):
    """What all groups show together; `told` is what the hypothesis says, as in verdict.json."""

    told: dict[str, Any]
    prediction: Prediction
    groups: tuple[Group, ...]
    effect: Effect

    @property
    def holding(self) -> int:
        """How many intervals of groups hold the pooled estimate."""
        return sum(group.holds for group in self.groups)

    @property
    def unit(self) -> str:
        """The unit of the effect as it is written behind a number, with its space."""
        bare = self.prediction.contrast == "ratio" or self.told["unit"] == COUNTED
        return "" if bare else f" {self.told['unit']}"


def handed_in(path: Path) -> Pairs:
    """What a group handed in. StoreDamaged where it is no verdict of an experiment, StoreRefused where it has no pairs; OSError."""
    file = path / VERDICT if path.is_dir() else path
    try:
        with naming(file):
            told = json.loads(file.read_text(encoding="utf-8"))
        pairs = [(int(pair["seed"]), float(pair["control"]), float(pair["treated"])) for pair in told["differences"]]
        prediction = Prediction(told["direction"], told["contrast"], float(told["size"]))
        texts = [told[key] for key in ("group", "title", "claim", "outcome", "summary", "unit", "sha256", "version", "model")]
        whole = all(isinstance(text, str) for text in (*texts, prediction.direction, prediction.contrast))
    except FileNotFoundError:
        raise StoreDamaged(f"{file}: is missing, must be {MADE_BY}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole or not all(math.isfinite(value) for pair in pairs for value in pair):
        raise StoreDamaged(f"{file}: is damaged or no verdict, must be {MADE_BY}")
    if not pairs:
        raise StoreRefused(f"{file}: no pair was measured in both arms; give the same `imam-sim test` again")
    seeds, control, treated = zip(*pairs, strict=True)
    name = told["group"] or (path.name if path.is_dir() else file.resolve().parent.name)
    name += " (not finished)" if told.get("missing") else ""
    return Pairs(name, file, told, seeds, np.array(control), np.array(treated))


def pool(paths: Sequence[Path]) -> Pooled:
    """Put the experiments of groups together.

    StoreRefused where they tested different files, with different versions, or where two have a pair in common; StoreDamaged, OSError.
    """
    handed = [handed_in(path) for path in paths]
    if len(handed) < 2:
        raise StoreRefused("pool: got one group, must be two at least")
    _refuse_different(handed)
    _refuse_counted_twice(handed)
    told = handed[0].told
    prediction = Prediction(told["direction"], told["contrast"], float(told["size"]))
    whole = _effect(handed, prediction)
    found = [(pairs.name, _effect([pairs], prediction)) for pairs in handed]
    groups = tuple(Group(name, one, one.low <= whole.estimate <= one.high) for name, one in found)
    return Pooled(told, prediction, groups, whole)


def _refuse_different(handed: Sequence[Pairs]) -> None:
    first = handed[0]
    for other in handed[1:]:
        if other.told["sha256"] != first.told["sha256"]:
            raise StoreRefused(
                f"{other.file}: tests another text than {first.file} (hash {other.told['sha256'][:8]}, not {first.told['sha256'][:8]}); "
                "all groups must test the same file, every letter of it"
            )
        if other.told["version"] != first.told["version"]:
            versions = f"{other.told['version']}, not {first.told['version']}"
            raise StoreRefused(f"{other.file}: was made with another version of imam-sim than {first.file} ({versions}); test it again")
        if other.told["model"] != first.told["model"]:
            models = f"{other.told['model'][:8]}, not {first.told['model'][:8]}"
            raise StoreRefused(
                f"{other.file}: was made with another model than {first.file} ({models}); test it again with one installation"
            )


def _refuse_counted_twice(handed: Sequence[Pairs]) -> None:
    owners: dict[int, Pairs] = {}
    for pairs in handed:
        common = [seed for seed in pairs.seeds if seed in owners]
        if common:
            other = owners[common[0]]
            raise StoreRefused(
                f"{pairs.file}: {len(common)} of {len(pairs.seeds)} pairs are those of {other.file}, and none may count twice; "
                "each group must test with a name of its own, `imam-sim test FILE --group NAME`"
            )
        owners |= dict.fromkeys(pairs.seeds, pairs)


def _effect(handed: Sequence[Pairs], prediction: Prediction) -> Effect:
    """The effect of all pairs in the order of their seeds, so that the order of groups changes no number."""
    seeds = np.array([seed for pairs in handed for seed in pairs.seeds])
    order = np.argsort(seeds, kind="stable")
    control, treated = (np.concatenate([getattr(pairs, arm) for pairs in handed])[order] for arm in ("control", "treated"))
    try:
        return effect(control, treated, prediction, int(seeds.min()))
    except ValueError as error:
        raise StoreRefused(f"{handed[0].file}: {error}") from None


def as_data(pooled: Pooled) -> dict[str, Any]:
    """The pooled experiment as plain data for JSON; None stands for what is not known."""

    def known(found: Effect) -> dict[str, Any]:
        return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in found._asdict().items()}

    kept = ("title", "claim", "outcome", "summary", "unit", "contrast", "direction", "size", "sha256", "version", "model")
    return {
        **{name: pooled.told[name] for name in kept},
        "verdict": str(pooled.effect.verdict),
        "pooled": known(pooled.effect),
        "holding": pooled.holding,
        "groups": [{"group": group.name, "holds_pooled": group.holds, **known(group.effect)} for group in pooled.groups],
    }


def as_text(pooled: Pooled) -> str:
    """The pooled experiment in at most 80 columns."""
    import textwrap

    contrast = "ratio" if pooled.prediction.contrast == "ratio" else f"difference{f' [{pooled.unit.strip()}]' if pooled.unit else ''}"
    rows = [("group", "pairs", "mean", "95 % interval", "verdict")]
    rows += [(group.name, *numbers(pooled, group.effect), in_short(group.effect)) for group in pooled.groups]
    rows.append((f"all {len(pooled.groups)} groups", *numbers(pooled, pooled.effect), in_short(pooled.effect)))
    name, n, mean, span = (max(len(row[column]) for row in rows) for column in range(4))
    name = min(name, NAME)
    lines = [
        f"{row[0] if len(row[0]) <= name else row[0][: name - 1] + '…':{name}}  {row[1]:>{n}}  {row[2]:>{mean}}  {row[3]:>{span}}  {row[4]}"
        for row in rows
    ]
    rule = "-" * min(TABLE, max(map(len, lines)))
    head = [pooled.told["title"], "", *textwrap.wrap(f"Claim: {pooled.told['claim']}.", TABLE)]
    table = [f"{contrast}, treated against control", "", lines[0], rule, *lines[1:-1], rule, lines[-1]]
    return "\n".join([*head, "", *table, "", *textwrap.wrap(f"Verdict of all pairs: {pooled.effect.verdict}. {chance(pooled)}", TABLE)])


def numbers(pooled: Pooled, found: Effect) -> tuple[str, str, str]:
    """Pairs, mean and interval as texts."""
    sign = "" if pooled.prediction.contrast == "ratio" else "+"
    span = f"{found.low:{sign}.3g} to {found.high:{sign}.3g}" if math.isfinite(found.low) else "not known"
    return str(found.n), f"{found.estimate:{sign}.3g}", span


def in_short(found: Effect) -> str:
    """A verdict in few letters."""
    return "direction, too small" if found.verdict == Verdict.TOO_SMALL else str(found.verdict)


def chance(pooled: Pooled) -> str:
    """What chance alone does to groups that test one claim on one model, in words."""
    n, verdicts = len(pooled.groups), [str(group.effect.verdict) for group in pooled.groups]
    told = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
    few = f", more often with fewer than {FEWEST} pairs" if any(group.effect.n < FEWEST for group in pooled.groups) else ""
    return (
        f"The intervals of {pooled.holding} of {n} groups hold the pooled mean. All groups ran the same model, so they differ by chance "
        f"alone, and about 1 interval in 20 misses{few}. Groups said: {told}."
    )
