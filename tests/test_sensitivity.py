"""Sensitivity: designs that plans draw, indices against closed forms and other code, and the command.

Studies are made without the model: each row gets what a function of its design point gives, as a flat course of one outcome.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from imam_sim.cli import Exit, main
from imam_sim.study import sensitivity
from imam_sim.study.branch import Course
from imam_sim.study.language import ScenarioError
from imam_sim.study.ledger import DONE, PARKED, Run
from imam_sim.study.plan import Plan, from_plain, load_plan, plain, sampled
from imam_sim.study.results import Study
from imam_sim.study.sensitivity import Analysis, analysed, chance, elementary_effects, partial_rank_correlations
from imam_sim.study.space_filling import latin_hypercube, whole_box
from imam_sim.study.summary import summary_of
from imam_sim.study.sweep import open_sweep, packed

Numbers = NDArray[np.float64]

HEAD = 'schema = 1\ntitle = "A plan"\nscenario = "acute_injury"\noutcomes = ["macrophages", "fibre_area"]\n'
PATHS = ("cd4.tolerance", "macrophage.engulfment.inflammatory_share", "satellite.injury_death", "fibre.injury.tnf_free_share")  # 0 to 1 all


def plan_text(sample: str, k: int = 3, replicates: int = 1) -> str:
    ranges = "\n".join(f'"{path}" = [0, 1]' for path in PATHS[:k])
    return f"{HEAD}replicates = {replicates}\n[sample]\n{sample}\n[sample.ranges]\n{ranges}\n"


def plan_of(folder: Path, text: str) -> Plan:
    (folder / "p.toml").write_text(text, encoding="utf-8")
    return load_plan(folder / "p.toml")


def errors_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        plan_of(folder, text)
    return [error.removeprefix(f"{folder / 'p.toml'}:") for error in caught.value.errors]


def study_of(plan: Plan, folder: Path, told: Callable[[Numbers, int], float], parked: int = 0, left_out: int = 0) -> Path:
    """A study whose macrophages are what a function gives of the values of a point and the number of a replicate; fibre area is 1."""
    runs = []
    for row in plan.rows():
        value = told(np.array([float(v) for v in row.factors.values()]), row.replicate)
        block, seal = packed(Course(np.array([0.0, 240.0]), np.array([[value, 1.0], [value, 1.0]])))
        runs.append((Run(*row, DONE, 1, "", 1.0, seal), block))
    runs = runs[: len(runs) - left_out]
    runs[:parked] = [(run._replace(status=PARKED, note="ill", outcomes=""), b"") for run, _ in runs[:parked]]
    with open_sweep(folder / "study", plan) as ledger:
        ledger.add(runs)
    return folder / "study"


def analysis_of(folder: Path, sample: str, told: Callable[[Numbers, int], float], k: int = 3, replicates: int = 1) -> Analysis:
    with Study.open(study_of(plan_of(folder, plan_text(sample, k, replicates)), folder, told)) as study:
        (found,) = analysed(study, ["macrophages"])
    return found


def ishigami(place: Numbers, replicate: int = 1) -> float:
    x = math.pi * (2.0 * place - 1.0)
    return float(math.sin(x[0]) + 7.0 * math.sin(x[1]) ** 2 + 0.1 * x[2] ** 4 * math.sin(x[0]))


def sobol_g(place: Numbers, replicate: int = 1) -> float:
    return float(np.prod((np.abs(4.0 * place - 2.0) + G) / (1.0 + G)))


G = np.array([0.0, 1.0, 4.5, 99.0])


# designs


def test_a_walk_moves_each_range_once_by_half_the_levels(tmp_path: Path) -> None:
    design = sampled(plan_of(tmp_path, plan_text('method = "morris"\ntrajectories = 8\nlevels = 6', 4)))
    assert design is not None
    steps = np.diff(design.places.reshape(8, 5, 4), axis=1)
    assert np.allclose(np.sort(np.abs(steps), axis=1), np.array([0, 0, 0, 0.6])[np.newaxis, :, np.newaxis])
    assert np.allclose(np.round(5 * design.places), 5 * design.places)
    assert (design.places.min(), design.places.max()) == (0.0, 1.0)


def test_every_level_is_as_likely_as_any_other(tmp_path: Path) -> None:
    design = sampled(plan_of(tmp_path, plan_text('method = "morris"\ntrajectories = 900', 1)))
    assert design is not None
    counts = np.unique(np.round(3 * design.places[::2]), return_counts=True)[1]
    assert len(counts) == 4
    assert np.abs(counts - 225).max() <= 4 * math.sqrt(900 * 0.25 * 0.75)


def test_a_saltelli_sample_crosses_two_points_at_a_time(tmp_path: Path) -> None:
    design = sampled(plan_of(tmp_path, plan_text('method = "saltelli"\nsize = 4\nsecond_order = true')))
    assert design is not None
    for a, *mixed, b in design.places.reshape(4, 8, 3):
        for p in range(3):
            assert mixed[p].tolist() == [b[q] if q == p else a[q] for q in range(3)]
            assert mixed[3 + p].tolist() == [a[q] if q == p else b[q] for q in range(3)]


def test_points_that_are_drawn_twice_are_run_once(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, plan_text('method = "morris"\ntrajectories = 12\nlevels = 2', 2))
    design = sampled(plan)
    assert design is not None
    assert len(plan.points) == 4
    assert len({row.key for row in plan.rows()}) == 4
    assert [[plan.points[n][path] for path in PATHS[:2]] for n in design.which] == design.places.tolist()


@pytest.mark.parametrize("sample", ['method = "morris"\ntrajectories = 5', 'method = "saltelli"\nsize = 8'])
def test_points_follow_from_the_plan_and_its_seed_alone(tmp_path: Path, sample: str) -> None:
    plan = plan_of(tmp_path, plan_text(sample))
    again, stored = plan_of(tmp_path, plan_text(sample)), from_plain(json.loads(json.dumps(plain(plan))))
    other = plan_of(tmp_path, plan_text(f"{sample}\nseed = 2"))
    assert plan.points == again.points != other.points
    first, second = sampled(plan), sampled(stored)
    assert first is not None
    assert second is not None
    assert (first.places == second.places).all()
    assert (first.which == second.which).all()


def test_a_logarithmic_range_is_walked_by_its_logarithm(tmp_path: Path) -> None:
    text = f'{HEAD}[sample]\nmethod = "morris"\ntrajectories = 9\nlog = ["cd4.ifn_rate"]\nranges = {{ "cd4.ifn_rate" = [0.001, 1] }}\n'
    assert sorted(float(point["cd4.ifn_rate"]) for point in plan_of(tmp_path, text).points) == [0.001, 0.01, 0.1, 1.0]


@pytest.mark.parametrize(
    ("sample", "told"),
    [
        ('method = "morris"', "sample.trajectories: missing, must be given for morris"),
        ('method = "morris"\nsize = 8\ntrajectories = 8', "sample.size: is of no use for morris, only for lhs and sobol and saltelli"),
        ('method = "morris"\ntrajectories = 3', "sample.trajectories: got 3, must be a whole number, 4 to 1000000"),
        ('method = "morris"\ntrajectories = 8\nlevels = 5', "sample.levels: got 5, must be an even number"),
        ('method = "saltelli"\nsize = 12', "sample.size: got 12, must be a power of 2 for saltelli: 16"),
        ('method = "saltelli"\nsize = 524288', "sample: 2621440 design points, must be at most 1000000"),
        ('method = "lhs"', "sample.size: missing, must be given for lhs"),
        ("size = 8\nsecond_order = true", "sample.second_order: is of no use for lhs, only for saltelli"),
    ],
)
def test_a_sample_that_cannot_be_drawn_is_refused_with_what_is_legal(tmp_path: Path, sample: str, told: str) -> None:
    assert [error.partition(": ")[2] for error in errors_of(tmp_path, plan_text(sample))] == [told]


@pytest.mark.parametrize("name", ["sensitivity_morris", "sensitivity_prcc", "sensitivity_sobol"])
def test_shipped_plans_can_be_analysed(name: str) -> None:
    design = sampled(load_plan(name))
    assert design is not None
    assert len(design.which) == len(design.places)


# indices


def test_sobol_indices_of_the_ishigami_function_are_those_of_its_formula(tmp_path: Path) -> None:
    found = analysis_of(tmp_path, 'method = "saltelli"\nsize = 512\nsecond_order = true', ishigami)
    alone, together = (0.3139, 0.4424, 0.0), (0.5576, 0.4424, 0.2437)
    for factor in found.indices.factors:
        p = PATHS.index(factor.path)
        for name, true in (("s1", alone[p]), ("st", together[p])):
            estimate, low, high = factor.indices[name]
            assert abs(estimate - true) <= (high - low)  # four standard errors
            assert high - low < 0.25
    pairs = {frozenset((pair.path, pair.other)): pair.s2 for pair in found.indices.pairs}
    estimate, low, high = pairs[frozenset((PATHS[0], PATHS[2]))]
    assert abs(estimate - 0.2437) <= high - low < 0.35
    assert found.indices.pairs[0].s2[0] == estimate


def test_sobol_indices_of_the_g_function_are_those_of_its_formula(tmp_path: Path) -> None:
    found = analysis_of(tmp_path, 'method = "saltelli"\nsize = 512', sobol_g, k=4)
    parts = 1.0 / 3.0 / (1.0 + G) ** 2
    variance = float(np.prod(1.0 + parts)) - 1.0
    for factor in found.indices.factors:
        p = PATHS.index(factor.path)
        rest = float(np.prod(1.0 + np.delete(parts, p)))
        for name, true in (("s1", parts[p] / variance), ("st", parts[p] * rest / variance)):
            estimate, low, high = factor.indices[name]
            assert abs(estimate - true) <= max(high - low, 1e-4)
    assert [factor.path for factor in found.indices.factors] == list(PATHS)


def test_walks_rank_the_numbers_of_the_g_function(tmp_path: Path) -> None:
    found = analysis_of(tmp_path, 'method = "morris"\ntrajectories = 40\nlevels = 4', sobol_g, k=4)
    assert [factor.path for factor in found.indices.factors] == list(PATHS)


def test_a_straight_function_has_its_slopes_as_elementary_effects_everywhere(tmp_path: Path) -> None:
    found = analysis_of(tmp_path, 'method = "morris"\ntrajectories = 6\nlevels = 2', lambda x, _: float(x @ [2.0, -3.0, 0.0]))
    assert [factor.path for factor in found.indices.factors] == [PATHS[1], PATHS[0], PATHS[2]]
    for factor, slope in zip(found.indices.factors, (-3.0, 2.0, 0.0), strict=True):
        assert factor.indices["mu"][0] == pytest.approx(slope, abs=1e-5)  # values have six digits
        assert factor.indices["mu_star"][0] == pytest.approx(abs(slope), abs=1e-5)
        assert factor.indices["sigma"][0] == pytest.approx(0.0, abs=1e-5)


def test_elementary_effects_are_those_of_salib(tmp_path: Path) -> None:
    from SALib.analyze import morris

    design = sampled(plan_of(tmp_path, plan_text('method = "morris"\ntrajectories = 15')))
    assert design is not None
    values = np.array([sobol_g(0.9 * place, 1) for place in np.pad(design.places, ((0, 0), (0, 1)))])
    problem = {"num_vars": 3, "names": list(PATHS[:3]), "bounds": [[0.0, 1.0]] * 3, "groups": None}
    theirs = morris.analyze(problem, design.places, values, num_levels=4, seed=1)
    for factor in elementary_effects(PATHS[:3], design.places, values[:, np.newaxis]).factors:
        p = PATHS.index(factor.path)
        assert [factor.indices[name][0] for name in ("mu", "mu_star", "sigma")] == pytest.approx(
            [theirs[name][p] for name in ("mu", "mu_star", "sigma")], rel=1e-10
        )
        _, low, high = factor.indices["mu_star"]
        assert (high - low) / 2.0 == pytest.approx(theirs["mu_star_conf"][p], rel=0.35)


def correlated(n: int, seed: int, slopes: Numbers) -> tuple[Numbers, Numbers]:
    """Normal factors and a straight sum of them with normal noise of variance 1."""
    places = latin_hypercube(whole_box(len(slopes)), n, (seed,))
    x = norm.ppf(np.clip(places, 1e-9, 1.0 - 1e-9))
    return x, x @ slopes + np.random.default_rng(seed).normal(size=n)


def true_correlations(slopes: Numbers) -> Numbers:
    """Partial rank correlations of jointly normal numbers: Spearman's is 6/pi asin(r/2), the rest is algebra of free factors."""
    ranked = 6.0 / math.pi * np.arcsin(slopes / math.sqrt(1.0 + float(slopes @ slopes)) / 2.0)
    return ranked / np.sqrt(1.0 - (ranked**2).sum() + ranked**2)


SLOPES = np.array([1.5, -0.8, 0.3, 0.0])


def test_partial_rank_correlations_of_normal_numbers_are_those_of_the_formula() -> None:
    x, y = correlated(2000, 3, SLOPES)
    found = {factor.path: factor for factor in partial_rank_correlations(PATHS, x, y).factors}
    for path, true in zip(PATHS, true_correlations(SLOPES), strict=True):
        estimate, low, high = found[path].indices["prcc"]
        assert abs(math.atanh(estimate) - math.atanh(true)) <= 4.0 * 1.03 / math.sqrt(2000 - 6)
        assert low < estimate < high


def test_partial_rank_correlations_are_those_of_residuals() -> None:
    x, y = correlated(40, 5, SLOPES)
    ranks = rankdata(np.column_stack([x, y]), axis=0)
    for factor in partial_rank_correlations(PATHS, x, y).factors:
        p = PATHS.index(factor.path)
        others = np.column_stack([np.ones(40), np.delete(ranks[:, :-1], p, axis=1)])
        left = [column - others @ np.linalg.lstsq(others, column)[0] for column in (ranks[:, p], ranks[:, -1])]
        assert factor.indices["prcc"][0] == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("n", [24, 60])
def test_95_percent_intervals_hold_the_truth_in_95_of_100_samples(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensitivity, "RESAMPLES", 1000)
    true, n_samples = dict(zip(PATHS, true_correlations(SLOPES), strict=True)), 200
    held = dict.fromkeys(PATHS, 0)
    for seed in range(n_samples):
        for factor in partial_rank_correlations(PATHS, *correlated(n, seed, SLOPES)).factors:
            _, low, high = factor.indices["prcc"]
            held[factor.path] += low <= true[factor.path] <= high
    for path, count in held.items():
        assert abs(count / n_samples - 0.95) <= 4.0 * math.sqrt(0.05 * 0.95 / n_samples), path


def test_what_goes_up_and_down_is_told(tmp_path: Path) -> None:
    found = analysis_of(tmp_path, "size = 60", lambda x, _: float((x[0] - 0.4) ** 2 + 0.3 * math.exp(x[1]) + 0.05 * x[2]))
    assert {factor.path: factor.monotonic for factor in found.indices.factors} == {PATHS[0]: False, PATHS[1]: True, PATHS[2]: True}
    assert f"{PATHS[0]}: goes up and down, which a correlation does not show" in found.indices.notes


def test_what_goes_one_way_is_not_suspected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensitivity, "RESAMPLES", 20)  # intervals are not looked at
    curved = 0
    for seed in range(100):
        x, y = correlated(50, seed, SLOPES)
        curved += sum(not factor.monotonic for factor in partial_rank_correlations(PATHS, x, np.exp(y)).factors)
    assert curved <= 3  # 400 looks at one in a thousand


def test_fewer_points_than_a_correlation_needs_are_refused() -> None:
    x, y = correlated(7, 1, SLOPES)
    with pytest.raises(ScenarioError, match="got 7 points for 4 factors, must be at least 8"):
        partial_rank_correlations(PATHS, x, y)


@pytest.mark.parametrize("sample", ["size = 16", 'method = "morris"\ntrajectories = 4', 'method = "saltelli"\nsize = 8'])
def test_an_outcome_that_never_changes_has_no_indices(tmp_path: Path, sample: str) -> None:
    found = analysis_of(tmp_path, sample, lambda x, _: 5.0)
    assert all(math.isnan(index[0]) for factor in found.indices.factors for index in factor.indices.values())
    assert found.indices.notes == ("the same at every point: nothing has an effect",)


# chance


def made_values(seed: int) -> Numbers:
    """Of 60 points with variance 4, 5 replicates whose shared luck has variance 9, and luck of each run of variance 1."""
    lots = np.random.default_rng(seed)
    return lots.normal(0, 2, (60, 1)) + lots.normal(0, 3, (1, 5)) + lots.normal(0, 1, (60, 5))


def test_the_share_of_chance_is_that_with_which_values_were_made() -> None:
    told = np.array([chance(made_values(seed)) for seed in range(400)])
    middle, error, true = told[:, 1].mean(), told[:, 1].std() / math.sqrt(400), 0.2 / 4.2
    assert abs(middle - true) <= 4.0 * error + 2.0 / 59.0 * true  # a ratio of variances is biased by two over its degrees of freedom
    assert abs(np.median(told[:, 0]) - 10.0 / 14.0) < 0.06


def test_luck_that_all_points_share_is_no_chance_between_them() -> None:
    values = made_values(1)
    shared = values + 100.0 * np.arange(5)
    assert chance(shared).of_means == pytest.approx(chance(values).of_means, rel=1e-9)


def test_one_replicate_tells_nothing_of_chance() -> None:
    assert all(math.isnan(part) for part in chance(made_values(1)[:, :1]))


@pytest.mark.parametrize(
    ("sample", "index"), [('method = "morris"\ntrajectories = 60', "mu_star"), ('method = "saltelli"\nsize = 256', "st")]
)
def test_a_factor_without_effect_has_the_index_that_chance_gives(tmp_path: Path, sample: str, index: str) -> None:
    lots = np.random.default_rng(7)
    found = analysis_of(tmp_path, sample, lambda x, _: 9.0 * x[0] + lots.normal(0, 2), k=2, replicates=4)
    strong, inert = found.indices.factors
    estimate, low, high = inert.indices[index]
    assert abs(estimate - inert.chance) <= high - low  # four standard errors
    assert strong.indices[index][0] > 3.0 * strong.chance


def test_a_number_that_changes_no_run_has_no_chance(tmp_path: Path) -> None:
    luck = [0.0, 2.0, 5.0]
    found = analysis_of(tmp_path, 'method = "morris"\ntrajectories = 5', lambda x, n: x[0] * luck[n - 1], k=2, replicates=3)
    assert [factor.chance > 0.0 for factor in found.indices.factors] == [True, False]


# studies


def test_rows_that_failed_cost_correlations_a_point_and_walks_a_replicate(tmp_path: Path) -> None:
    for sample, counted in (("size = 16", (15, 2)), ('method = "morris"\ntrajectories = 5', (None, 1))):
        folder = tmp_path / str(counted[1])
        folder.mkdir()
        plan = plan_of(folder, plan_text(sample, replicates=2))
        with Study.open(study_of(plan, folder, ishigami, parked=1)) as study:
            found = analysed(study, ["macrophages"])[0]
        assert (found.n_points, found.replicates) == (counted[0] or len(plan.points), counted[1])
        assert found.indices.notes[-1].endswith(f"{counted[1]} of 2 replicates: not all runs are done")


def test_a_design_without_ranges_is_refused(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f'{HEAD}[grid]\n"cd4.tolerance" = [0.1, 0.2]\n')
    with Study.open(study_of(plan, tmp_path, lambda x, _: 1.0)) as study, pytest.raises(ScenarioError, match=r"must have a \[sample\]"):
        analysed(study)


def test_a_table_of_numbers_is_correlated(tmp_path: Path) -> None:
    lines = "\n".join(f'{{ "{PATHS[0]}" = {n / 20}, "{PATHS[1]}" = {n * 7 % 20 / 20}, duration = "10 d" }},' for n in range(20))
    plan = plan_of(tmp_path, f"{HEAD}[table]\nrows = [\n{lines}\n]\n")
    folder = tmp_path / "study"
    with open_sweep(folder, plan) as ledger:
        for row in plan.rows():
            value = float(row.factors[PATHS[0]])
            block, seal = packed(Course(np.array([0.0, 24.0]), np.full((2, 2), value)))
            ledger.add([(Run(*row, DONE, 1, "", 1.0, seal), block)])
    with Study.open(folder) as study:
        found = analysed(study, ["macrophages"])[0].indices
    assert (found.factors[0].path, found.factors[0].indices["prcc"][0]) == (PATHS[0], pytest.approx(1.0))


def test_a_value_that_is_not_there_is_told(tmp_path: Path) -> None:
    study = study_of(plan_of(tmp_path, plan_text("size = 16")), tmp_path, ishigami)
    with Study.open(study) as opened, pytest.raises(ScenarioError, match=r"time to half of peak: has no value in \d+ of 16 runs"):
        analysed(opened, ["macrophages"], [summary_of("time to half of peak")])


# the command


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["sensitivity", *map(str, words)])


@pytest.fixture
def made(tmp_path: Path) -> Path:
    plan = plan_of(tmp_path, plan_text('method = "morris"\ntrajectories = 6', replicates=2))
    return study_of(plan, tmp_path, lambda x, n: ishigami(x) + n)


def test_the_table_fits_a_terminal_and_has_the_strongest_number_first(made: Path) -> None:
    result = run(made, "--outcome", "macrophages", "--summary", "day 3", "--summary", "peak")
    assert result.exit_code == Exit.OK, result.stderr
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("macrophages, ") for line in lines) == 2
    strongest = json.loads(run(made, "--outcome", "macrophages", "--json").stdout)["analyses"][0]["factors"][0]
    assert lines[lines.index(next(line for line in lines if "mu*  " in line)) + 1].startswith(strongest["path"])


def test_json_has_every_interval(made: Path) -> None:
    told = json.loads(run(made, "--json").stdout)["analyses"]
    assert [(each["outcome"], each["summary"], each["method"]) for each in told] == [
        ("macrophages", "mean", "morris"),
        ("fibre_area", "mean", "morris"),
    ]
    first = told[0]["factors"][0]
    assert all(first[name]["low"] <= first[name]["estimate"] <= first[name]["high"] for name in ("mu_star", "mu", "sigma"))
    assert told[1]["factors"][0]["mu"]["estimate"] is None


def test_pictures_are_written_for_each_result(made: Path, tmp_path: Path) -> None:
    assert run(made, "--pictures", tmp_path / "drawn", "--outcome", "macrophages").exit_code == Exit.OK
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["plane_macrophages_mean.png", "tornado_macrophages_mean.png"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--outcome", "macrophage"), '--outcome: got "macrophage", must be one of macrophages, fibre_area; did you mean macrophages?'),
        (("--arm", "none"), '--arm: got "none", must be one of all'),
        (("--summary", "day 30"), "--summary: day 30: the course ends on day 10, must be day 30 at least"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(made: Path, words: tuple[str, str], told: str) -> None:
    result = run(made, *words)
    assert (result.exit_code, result.stderr) == (Exit.BAD_INPUT, f"{told}\n")


def test_an_unfinished_study_says_how_to_go_on(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, plan_text('method = "morris"\ntrajectories = 6'))
    study = study_of(plan, tmp_path, ishigami, left_out=1)
    result = run(study)
    assert result.exit_code == Exit.BAD_INPUT
    assert result.stderr.endswith(f"go on with: imam-sim extend {study}\n")


def test_a_plan_in_place_of_a_study_says_what_to_run_first() -> None:
    result = run("sensitivity_prcc")
    assert result.exit_code == Exit.BAD_INPUT
    assert "imam-sim sweep sensitivity_prcc --out sensitivity_prcc, then: imam-sim sensitivity sensitivity_prcc" in result.stderr


def test_without_salib_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of(plan_of(tmp_path, plan_text('method = "saltelli"\nsize = 4')), tmp_path, ishigami)
    monkeypatch.setitem(sys.modules, "SALib.analyze", None)
    result = run(study, "--outcome", "macrophages")
    assert result.exit_code == Exit.BAD_INPUT
    assert result.stderr == "sensitivity: SALib is missing, which a saltelli sample needs; pip install 'imam-sim[sense]'\n"
