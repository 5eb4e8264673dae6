"""Scenario files: what is refused and how it is said, what a file means, and that nothing strange gets through."""

import contextlib
import math
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imam_sim.model.params import PRESETS, Parameters
from imam_sim.model.quantity import declared, get
from imam_sim.model.state import bytes_needed
from imam_sim.study import scenario_file, toml_text
from imam_sim.study.language import MAX_BYTES, MAX_HOURS, ScenarioError, nearest
from imam_sim.study.scenario import MIN_EDGE, Injure, Scenario, Set, resolved, schema
from imam_sim.study.scenario_file import TooBig, find, load, loads, names

DECLARED = declared(Parameters())
HEAD = 'schema = 1\nduration = "28 d"\n'
SET_TOLERANCE = '[[event]]\nkind = "set"\nparameter = "cd4.tolerance"\n'


def errors_of(text: str, sets: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        loads(text, "x.toml", sets)
    return caught.value.errors


# one bad input each: the text after HEAD, the line and key that must be named, and words of the message
BAD: list[tuple[str, int, str, str]] = [
    ("titel = 'x'", 3, "titel", "did you mean title?"),
    ("[tisue]\nwidth = '1 mm'", 3, "tisue", "did you mean tissue?"),
    ("[tissue]\nhight = '1 mm'", 4, "tissue.hight", "did you mean height?"),
    ("[tissue]\npreset = 'humn'", 4, "tissue.preset", 'got "humn", must be one of human, mouse; did you mean human?'),
    ("[tissue]\nwidth = '1 cm'", 4, "tissue.width", "the unit must be one of um, mm"),
    ("[tissue]\nwidth = '90 um'", 4, "tissue.width", "at least 100 um"),
    ("[tissue]\nwidth = '1e300 mm'", 4, "tissue.width", "at most 1e+06 mm"),
    ("[tissue]\nwidth = '105 um'", 4, "tissue.width", "a multiple of 10 um"),
    ("[tissue]\nwidth = 1000", 4, "tissue.width", "must be text with a number and a unit"),
    ("[tissue]\nwidth = '1e999 mm'", 4, "tissue.width", "got"),
    ("[tissue]\nwidth = '-1 mm'", 4, "tissue.width", 'got "-1 mm"'),
    ("tissue = 3", 3, "tissue", "must be a table"),
    ("[numerics]\nstep = '2 h'", 4, "numerics.step", "must be 1 s to 1 h"),
    ("[numerics]\nstep = '7 min'", 4, "numerics.step", "divide an hour"),
    ("[numerics]\nstep = '1e-320 s'", 4, "numerics.step", "must be 1 s to 1 h"),
    ("[numerics]\nstepp = '5 min'", 4, "numerics.stepp", "did you mean step?"),
    ("[parameters]\n'cd4.tolerence' = 0.3", 4, "cd4.tolerence", "did you mean cd4.tolerance?"),
    ("[parameters]\ntolerance = 0.3", 4, "tolerance", "did you mean cd4.tolerance?"),
    ("[parameters]\n'cd4.tolerance' = 3", 4, "cd4.tolerance", "got 3, must be a number from 0 to 1"),
    ("[parameters]\n'cd4.lifetime' = 0.5", 4, "cd4.lifetime", "must be a number from 1 to 10000 h"),
    ("[parameters]\ncd4.tolerance = true", 4, "cd4.tolerance", "got true"),
    ("[parameters]\ncd4.tolerance = nan", 4, "cd4.tolerance", "got nan"),
    ("[parameters]\ncd4.tolerance = -inf", 4, "cd4.tolerance", "got -inf"),
    ("[parameters]\ncd4.tolerance = '0.3'", 4, "cd4.tolerance", 'got "0.3"'),
    ("[parameters]\ncd4.tolerance = 1" + "0" * 400, 4, "cd4.tolerance", "too many digits"),
    ("[parameters]\ncd4 = 1", 4, "cd4", "must be a table of parameters, such as cd4.tolerance"),
    ("[parameters]\ncd4.tolerance = 0.3\n'cd4.tolerance' = 0.4", 5, "cd4.tolerance", "written twice, first on line 4"),
    ("[parameters.cd4.tolerance]", 3, "cd4.tolerance", "got a table"),
    ("parameters = 1", 3, "parameters", "must be a table"),
    ("duration = '3 d'", 3, "duration", "written twice, first on line 2"),
    ("[record]\n[record]", 4, "record", "written twice, first on line 3"),
    ("[record]\nevery = '6 hours'", 4, "record.every", "did you mean h?"),
    ("[record]\nevery = '15 min'", 4, "record.every", "must be a multiple of the step, 10 min"),
    ("[record]\nevery = '0 h'", 4, "record.every", "longer than nothing"),
    ("[record]\nsections = ['0 d', '29 d']", 4, "record.sections", "got 29 d, must be at most the end, 28 d"),
    ("[record]\nsections = ['1 d', '24 h']", 4, "record.sections", "more than once"),
    ("[record]\nsections = ['-1 d']", 4, "record.sections", 'got "-1 d"'),
    ("[record]\nsections = ['5 min']", 4, "record.sections", "multiple of the step"),
    ("[record]\nsections = '1 d'", 4, "record.sections", "must be a list"),
    ("[record]\nevery = 6 h", 4, "record.every", 'did you mean "6 h"?'),
    ("[record]\nevery =", 4, "record.every", "got nothing"),
    ("title = 'a\tb'", 3, "title", "one line of text"),
    ("title = 3", 3, "title", "got 3"),
    ("extends = 'imam_untreted'", 3, "extends", "did you mean imam_untreated?"),
    ("extends = 'nowhere.toml'", 3, "extends", "no such file"),
    ("extends = ['imam_untreated']", 3, "extends", "must be one name"),
    ("extends = 'x.toml'", 3, "extends", "a circle"),
    ("extends = \"a\\u0000.toml\"", 3, "extends", "no usable path"),
    ("[record]\nevery = '1 h'\nevery = '2 h'", 5, "record.every", "written twice, first on line 4"),
    ("[parameters]\ncd4.tolerance = 1 1", 4, "cd4.tolerance", "got 1 1"),
    ("duration.x = 1", 3, "duration.x", "below a value that was written on line 2"),
    ("event = 3", 3, "event", "[[event]]"),
    ("[event]\nkind = 'injure'", 3, "event", "[[event]]"),
    ("[[event]]\nat = '0 d'", 3, "event.kind", "missing"),
    ("[[event]]\nkind = 'injur'", 4, "event.kind", "did you mean injure?"),
    ("[[event]]\nkind = 3", 4, "event.kind", "got 3"),
    ("[[event]]\nkind = 'injure'\nat = '28 d'\npattern = 'diffuse'\nfraction = 1", 5, "event.at", "must be before the end, 28 d"),
    ("[[event]]\nkind = 'injure'\nat = '1 d'\npattern = 'difuse'\nfraction = 1", 6, "event.pattern", "did you mean diffuse?"),
    ("[[event]]\nkind = 'injure'\nat = '1 d'\npattern = 'diffuse'\nfraction = 1.5", 7, "event.fraction", "from 0 to 1"),
    ("[[event]]\nkind = 'injure'\nat = '1 d'\npattern = 'diffuse'", 3, "event.fraction", "missing"),
    (SET_TOLERANCE + "value = 2\nfrom = '0 d'", 6, "event.value", "from 0 to 1"),
    (SET_TOLERANCE + "value = 1\nfrom = '3 d'\nto = '2 d'", 8, "event.to", "must be later than `from`, 3 d"),
    (SET_TOLERANCE + "value = 1\nfrom = '3 d'\nto = '29 d'", 8, "event.to", "at most the end, 28 d"),
    (SET_TOLERANCE + "value = 1\nstart = '3 d'\nfrom = '0 d'", 7, "event.start", "unknown key"),
    ("[[event]]\nkind = 'set'\nparameter = 'cd4.tolernce'\nvalue = 1\nfrom = '3 d'", 5, "event.parameter", "did you mean cd4.tolerance?"),
    (SET_TOLERANCE.replace("cd4.tolerance", "geometry.depth") + "value = 9\nfrom = '3 d'", 5, "event.parameter", "time 0 only"),
    (f"{SET_TOLERANCE}value = 1\nfrom = '3 d'\n{SET_TOLERANCE}value = 0\nfrom = '0 d'\nto = '73 h'", 7, "event.from", "another event"),
    ("\"a\\u001b\\nb\" = 1", 3, '"a\\u001b\\nb"', "unknown key"),
    ("[bad", 3, "", "Expected"),
    ("x = [" + "[" * 50, 3, "", "nested too deeply"),
    ("x" + ".x" * 60 + " = 1", 3, "", "nested too deeply"),
    ("x = {" + "x." * 60 + "x = 1}", 3, "", "nested too deeply"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "key", "words"), BAD, ids=[f"{row[2] or 'text'}-{number}" for number, row in enumerate(BAD)])
def test_a_bad_input_is_named_with_file_line_key_and_what_is_legal(text: str, line: int, key: str, words: str) -> None:
    errors = errors_of(HEAD + text)
    front = f"x.toml:{line}: {key}: " if key else f"x.toml:{line}: "
    assert [error for error in errors if error.startswith(front) and words in error], errors
    assert all("\n" not in error and error.isprintable() for error in errors)


def test_every_bad_input_of_the_table_is_the_only_error_of_its_file() -> None:
    counts = {row[0]: len(errors_of(HEAD + row[0])) for row in BAD if "extends = 'x.toml'" not in row[0]}
    assert {text: count for text, count in counts.items() if count != 1} == {}


def test_all_errors_come_at_once_in_the_order_of_the_lines() -> None:
    text = (
        'schema = 2\nduration = 28 d\n[tissue]\nhight = "1 mm"\nwidth = "15 um"\n[parameters]\ncd4.tolerence = 1\ncd4.lifetime = nan\n'
        '[record]\nsections = ["0 d", 3]\n[[event]]\nkind = "injure"\nat = "1 min"\npattern = "x"\nfraction = 2\n[[event]]\nkind = "heal"\n'
    )
    lines = [int(error.split(":")[1]) for error in errors_of(text)]
    assert lines == [1, 2, 4, 5, 7, 8, 10, 13, 14, 15, 17]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("duration = '1 d'", "x.toml:1: schema: missing, the file must say schema = 1"),
        ("schema = 1", "x.toml:1: duration: missing, must be given"),
    ],
)
def test_a_missing_key_is_named(text: str, error: str) -> None:
    assert errors_of(text) == [error]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("cd4.tolerence=0.3", "--set: cd4.tolerence: unknown path"),
        ("cd4.tolerence=0.3", "did you mean cd4.tolerance?"),
        ("cd4.tolerance=3", "--set: cd4.tolerance: got 3, must be a number from 0 to 1"),
        ("cd4.tolerance=much", '--set: cd4.tolerance: got "much"'),
        ("cd4.tolerance", "must be PATH=VALUE"),
        ("duration=28", "--set: duration: got 28"),
        ("duration=28 days", "did you mean d?"),
        ("duration=1 d\nschema = 2", "--set: duration:"),
        ("tissue.widht=1 mm", "did you mean tissue.width?"),
        ("event=1", "--set: event: unknown path"),
        ("cd4.tolerance=" + "[" * 5000, "--set: cd4.tolerance: got"),
    ],
)
def test_a_bad_change_from_the_command_line_is_named_so(change: str, words: str) -> None:
    errors = errors_of(HEAD, (change,))
    assert len(errors) == 1
    assert words in errors[0]


def test_a_change_given_twice_is_refused() -> None:
    assert errors_of(HEAD, ("cd4.tolerance=0.1", "parameters.cd4.tolerance=0.2")) == ["--set: parameters.cd4.tolerance: given twice"]


def test_changes_reach_parameters_and_scenario_keys() -> None:
    got = loads(
        HEAD, sets=("cd4.tolerance = 0.25", "duration=36 h", "tissue.width='600 um'", 'record.sections=["1 h"]', "record.every=2 h")
    )
    assert (got.parameters, got.duration, got.tissue.width) == ({"cd4.tolerance": 0.25}, 36.0, 600.0)
    assert (got.record.sections, got.record.every) == ((1.0,), 2.0)


def test_a_plain_file_means_what_it_says() -> None:
    got = loads(
        HEAD + "[numerics]\nstep = '5 min'\n[tissue]\npreset = 'mouse'\nwidth = '0.6 mm'\n[parameters.cd4]\ntolerance = 0\n"
        f"{SET_TOLERANCE}value = 1\nfrom = '36 h'\nto = '3 d'\n"
        "[[event]]\nkind = 'injure'\nat = '10 min'\npattern = 'scattered'\nfraction = 0.5\n"
    )
    assert got.step == 1.0 / 12.0
    assert (got.tissue.preset, got.tissue.width, got.tissue.height) == ("mouse", 600.0, 1000.0)
    assert got.events == (
        Set(parameter="cd4.tolerance", value=1.0, start=36.0, stop=72.0),
        Injure(at=10.0 / 60.0, pattern="scattered", fraction=0.5),
    )
    assert got.record.sections == (0.0, 672.0)


def test_parameters_start_from_the_preset_and_end_with_the_file() -> None:
    params = loads(HEAD + "[tissue]\npreset = 'mouse'\n[parameters]\ncd4.tolerance = 0.25\n").base_params()
    assert get(params, "cd4.tolerance") == 0.25
    assert get(params, "geometry.fibre_area") == PRESETS["mouse"]["geometry.fibre_area"].value
    assert get(params, "geometry.depth") == DECLARED["geometry.depth"].default


def test_both_spellings_of_a_parameter_are_the_same() -> None:
    spellings = ("'cd4.tolerance' = 0.5", "cd4.tolerance = 0.5", "[parameters.cd4]\ntolerance = 0.5", "cd4 = {tolerance = 0.5}")
    read = [loads(f"{HEAD}[parameters]\n{spelling}\n") for spelling in spellings]
    assert all(one == read[0] for one in read)
    assert read[0].parameters == {"cd4.tolerance": 0.5}


def test_windows_that_touch_do_not_overlap() -> None:
    text = f"{SET_TOLERANCE}value = 1\nfrom = '0 d'\nto = '3 d'\n{SET_TOLERANCE}value = 0\nfrom = '3 d'\n"
    assert len(loads(HEAD + text).events) == 2


def test_a_child_changes_keys_and_adds_events_and_the_line_is_that_of_the_right_file(tmp_path: Path) -> None:
    event = "[[event]]\nkind = 'injure'\nat = '{}'\npattern = 'diffuse'\nfraction = 0.1\n"
    (tmp_path / "old.toml").write_text(HEAD + "[parameters]\ncd4.tolerance = 0.1\ncd4.lifetime = 100\n" + event.format("5 d"))
    (tmp_path / "mid.toml").write_text("schema = 1\nextends = 'old.toml'\n[parameters]\n'cd4.tolerance' = 0.2\n" + event.format("0 d"))
    young = tmp_path / "young.toml"
    young.write_text("schema = 1\nextends = 'mid.toml'\ntitle = 'young'\n")
    got = load(young)
    assert (got.title, got.duration, got.parameters) == ("young", 672.0, {"cd4.lifetime": 100.0, "cd4.tolerance": 0.2})
    assert [event.at for event in got.events if isinstance(event, Injure)] == [120.0, 0.0]
    young.write_text("schema = 1\nextends = 'mid.toml'\nduration = '1 d'\n")
    with pytest.raises(ScenarioError) as caught:
        load(young)
    assert caught.value.errors == [f"{tmp_path}/old.toml:8: event.at: got 5 d, must be before the end, 1 d"]


def test_a_circle_of_parents_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(HEAD + "extends = 'b.toml'\n")
    (tmp_path / "b.toml").write_text(HEAD + "extends = './a.toml'\n")
    with pytest.raises(ScenarioError, match=r"b\.toml:3: extends: got \"\./a\.toml\", which extends this file: a circle"):
        load(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"schema = 1\ntitle = '\xff'\n", r"\.toml:2: is not UTF-8"),
        (b"#" * (MAX_BYTES + 1), "larger than 1 MiB"),
        (b"schema = 1\n\x00", "Found invalid character|Invalid|Expected"),
    ],
)
def test_a_file_that_is_no_scenario_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(content)
    with pytest.raises(ScenarioError, match=words):
        load(file)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("acute_injry", "did you mean acute_injury?"),
        ("acute_injry", "must be one that `imam-sim scenarios` lists"),
        ("./acute_injry.toml", "no such file; did you mean acute_injury?"),
        ("x" * 300, "no shipped scenario"),
        ("x" * 300 + ".toml", "cannot be read"),
        ("", "no shipped scenario"),
        ("a\0.toml", "cannot be read"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_with_a_hint(name: str, words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(name)
    assert words in caught.value.errors[0]
    assert len(caught.value.errors) == 1


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="is a folder"):
        load(tmp_path)


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "x.toml").write_text(HEAD)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ScenarioError, match=r"x\.toml: cannot be read: Permission denied"):
        load(tmp_path / "x.toml")


def test_a_tissue_larger_than_the_memory_is_refused_with_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TooBig, match=r"x\.toml:3: tissue: got 1e\+06 mm x 1e\+06 mm: needs about .* GB of memory, this machine has"):
        loads(HEAD + "[tissue]\nwidth = '1e6 mm'\nheight = '1e6 mm'\n", "x.toml")
    needed = bytes_needed(1000.0, 1000.0)
    monkeypatch.setattr(scenario_file, "_memory", lambda: needed - 1.0)
    with pytest.raises(TooBig) as caught:
        loads(HEAD)
    assert (caught.value.estimate, caught.value.available) == (needed, needed - 1.0)
    monkeypatch.setattr(scenario_file, "_memory", lambda: float(needed))
    assert loads(HEAD).tissue.width == 1000.0


def test_what_is_never_estimated_would_have_fitted() -> None:
    for edge in (MIN_EDGE, 300.0, 1000.0, 30000.0):
        assert bytes_needed(edge, edge) < scenario_file.AMPLE * edge * edge


def test_no_parameter_group_is_called_like_a_key_of_scenarios() -> None:
    groups = {path.partition(".")[0] for path in DECLARED}
    assert not groups & {field.validation_alias or name for name, field in Scenario.model_fields.items()}


@pytest.mark.parametrize("name", names())
def test_a_shipped_scenario_loads_and_says_what_it_is(name: str) -> None:
    assert load(name).title
    text = find(name).read_text(encoding="utf-8")
    assert [heading for heading in ("# What is it", "# Things to notice", "# Things to try") if heading not in text] == []
    for line in text.splitlines():
        if match := re.search(r"--set (\S+=\S+)", line):
            load(name, [match.group(1)])


def test_the_two_shipped_scenarios_are_there() -> None:
    assert {"acute_injury", "imam_untreated"} <= set(names())


# round trip

MINUTES = st.integers(min_value=0, max_value=int(MAX_HOURS * 6)).map(lambda tens: 10.0 * tens / 60.0)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Any legal scenario, times on the step."""
    per_hour = draw(st.sampled_from([1, 2, 6, 7, 12, 60]))
    steps = draw(st.integers(min_value=2, max_value=5000))

    def moment(most: int = steps) -> float:
        return draw(st.integers(min_value=0, max_value=most)) / per_hour

    def value(path: str) -> float:
        quantity = DECLARED[path].quantity
        return draw(st.floats(quantity.low, quantity.high, allow_nan=False, allow_infinity=False))

    paths = st.sampled_from(sorted(DECLARED))
    chosen = draw(st.lists(paths, unique=True, max_size=5))
    changeable = draw(
        st.lists(paths.filter(lambda path: not path.startswith("geometry.") and not path.endswith(".bound_ratio")), unique=True, max_size=3)
    )
    patterns = st.sampled_from(["localised", "scattered", "diffuse"])
    injuries = [
        {"kind": "injure", "at": moment(steps - 1), "pattern": draw(patterns), "fraction": draw(st.floats(0, 1))}
        for _ in range(draw(st.integers(0, 2)))
    ]
    windows = [
        {"kind": "set", "parameter": path, "value": value(path), "start": 0.0, "stop": draw(st.sampled_from([None, 1.0 / per_hour]))}
        for path in changeable
    ]
    return Scenario.model_validate(
        {
            "title": draw(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=30)),
            "duration": steps / per_hour,
            "numerics": {"step": 1.0 / per_hour},
            "tissue": {"preset": draw(st.sampled_from(sorted(PRESETS))), "width": 10.0 * draw(st.integers(10, 500)), "height": 250.0 + 250},
            "parameters": {path: value(path) for path in chosen},
            "record": {"every": 1.0 / per_hour, "sections": sorted({moment() for _ in range(3)})},
            "events": [*injuries, *windows],
        }
    )


@settings(max_examples=40)
@given(scenarios())
def test_the_resolved_text_loads_as_an_equal_scenario_and_resolves_to_itself(made: Scenario) -> None:
    text = resolved(made)
    again = loads(text)
    assert again == made
    assert again.base_params() == made.base_params()
    assert resolved(again) == text


def test_the_resolved_text_names_every_parameter_once_in_order() -> None:
    written = tomllib.loads(resolved(load("acute_injury")))
    assert list(written["parameters"]) == sorted(DECLARED)
    assert list(written) == [*sorted(["duration", "schema", "title"]), "numerics", "parameters", "record", "tissue", "event"]
    assert written["parameters"]["geometry.fibre_area"] == PRESETS["mouse"]["geometry.fibre_area"].value


@given(st.sampled_from(sorted(DECLARED)), st.floats(allow_nan=True, allow_infinity=True))
def test_a_number_is_taken_exactly_when_it_lies_in_its_range(path: str, value: float) -> None:
    quantity = DECLARED[path].quantity
    text = f"{HEAD}[parameters]\n'{path}' = {value!r}\n"
    if quantity.low <= value <= quantity.high:
        assert get(loads(text).base_params(), path) == value
    else:
        assert [error.split(": ")[:2] for error in errors_of(text)] == [["x.toml:4", path]]


@given(st.sampled_from(sorted(DECLARED)), st.booleans(), st.sampled_from([1.0, 2.0, 1e3]))
def test_a_number_beyond_its_range_is_always_refused(path: str, below: bool, factor: float) -> None:
    quantity = DECLARED[path].quantity
    beyond = math.nextafter(quantity.low, -math.inf) - (factor - 1.0) if below else math.nextafter(quantity.high, math.inf) * factor
    assert len(errors_of(f"{HEAD}[parameters]\n'{path}' = {beyond!r}\n")) == 1


# nothing but ScenarioError


def refusal(text: str, sets: tuple[str, ...] = ()) -> ScenarioError | TooBig | None:
    """Why a text is refused, None where it loads; any other exception is let through."""
    try:
        loads(text, "x.toml", sets)
    except (ScenarioError, TooBig) as error:
        return error
    return None


def survives(text: str, sets: tuple[str, ...] = ()) -> None:
    """Loads, or is refused in lines that can be printed."""
    lines = getattr(refusal(text, sets), "errors", ["fits or not"])
    assert lines
    assert all(line.isprintable() for line in lines)


@given(st.text(max_size=60))
def test_any_text_loads_or_is_refused(text: str) -> None:
    survives(text)


@given(st.binary(max_size=60))
def test_any_bytes_load_or_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(content)
    with contextlib.suppress(ScenarioError):
        assert load(file).duration > 0.0


WORDS = """
    schema title extends duration numerics step tissue preset width height parameters cd4 tolerance cd4.tolerance record every sections
    event kind at pattern fraction parameter value from to x y
"""
KEYS = st.sampled_from(re.findall(r"\S+", WORDS))
NUMBERS = ["1", "0.3", "true", "nan", "-inf", "0x" + "f" * 400, "1e400", "1979-05-27", "07:32:00"]
QUOTED = [
    "''",
    "'28 d'",
    "'1 mm'",
    "'1e300 mm'",
    "'1e-300 s'",
    "'injure'",
    "'set'",
    "'diffuse'",
    "'cd4.tolerance'",
    "'acute_injury'",
    "'x.toml'",
]
BROKEN = ["28 d", "{", "[1", '"""', ""]
SCALARS = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(QUOTED), st.sampled_from(BROKEN), st.floats().map(repr))


def containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Lists and inline tables."""
    lists = st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
    return lists | st.tuples(KEYS, inner).map(lambda pair: f"{{{pair[0]} = {pair[1]}}}")


VALUES = st.recursive(SCALARS, containers, max_leaves=4)
STATEMENTS = st.one_of(
    st.tuples(KEYS, VALUES).map(" = ".join),
    st.tuples(KEYS, KEYS, VALUES).map(lambda three: f"{three[0]}.{three[1]} = {three[2]}"),
    KEYS.map(lambda key: f"[{key}]"),
    KEYS.map(lambda key: f"[[{key}]]"),
    st.tuples(KEYS, KEYS).map(lambda pair: f"[{pair[0]}.{pair[1]}]"),
    st.sampled_from(["[[event]]\nkind = 'set'", "[[event]]\nkind = 'injure'", HEAD, "# x", '"""', "'''", "[a", "]"]),
)
TEXTS = st.lists(STATEMENTS, max_size=12).map("\n".join)


@given(TEXTS, st.lists(st.tuples(KEYS, VALUES).map("=".join), max_size=2).map(tuple))
def test_any_toml_of_our_words_loads_or_is_refused(text: str, sets: tuple[str, ...]) -> None:
    survives(text, sets)


@given(TEXTS)
def test_the_reader_finds_a_fault_exactly_when_the_language_has_one(text: str) -> None:
    located = toml_text.parse(text)
    try:
        meaning = tomllib.loads(text)
    except ValueError:
        assert located.faults
    else:
        assert (located.faults, repr(located.data)) == ([], repr(meaning))


@given(st.lists(st.sampled_from(["a", "b", "c", "'d.e'"]), unique=True, min_size=1), st.data())
def test_the_line_of_a_key_is_where_it_was_written(keys: list[str], data: st.DataObject) -> None:
    text, expected = "", {}
    for key in keys:
        text += data.draw(st.sampled_from(["", "\n", "# 'a\n", "\r\n"]))
        expected[(key.strip("'"),)] = text.count("\n") + 1
        text += (
            f"{key} = " + data.draw(st.sampled_from(["1", "'#'", '"""\n\\"""" # "', "[\n1,\n# ]\n2]", "'''\n'''''", "{x = ']'}"])) + "\n"
        )
    lines = toml_text.parse(text).lines
    assert {path: line for path, line in lines.items() if len(path) == 1} == expected


def test_two_faults_of_the_text_are_both_found() -> None:
    faults = toml_text.parse("a = 1 1\n[b\nc = 2\nd = 'x\n").faults
    assert [fault.line for fault in faults] == [1, 2, 4]


# the schema for editors


def test_the_schema_takes_its_ranges_from_the_declarations() -> None:
    document = schema()
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    numbers = document["properties"]["parameters"]["properties"]
    for path, parameter in DECLARED.items():
        assert (numbers[path]["minimum"], numbers[path]["maximum"]) == (parameter.quantity.low, parameter.quantity.high)
    assert set(document["properties"]) == {
        "schema",
        "title",
        "extends",
        "duration",
        "numerics",
        "tissue",
        "parameters",
        "record",
        "patient",
        "treatment",
        "event",
    }


@pytest.mark.parametrize("name", names())
def test_the_schema_accepts_what_is_shipped_and_what_is_resolved(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(schema())
    assert list(validator.iter_errors(tomllib.loads(find(name).read_text(encoding="utf-8")))) == []
    assert list(validator.iter_errors(tomllib.loads(resolved(load(name))))) == []


@pytest.mark.parametrize(
    "text",
    ["schema = 2", "schema = 1", HEAD + "x = 1", HEAD + "[parameters]\ncd4.tolerance = 2", "schema = 1\nduration = 28"],
)  # fmt: skip
def test_the_schema_refuses_what_the_loader_refuses(text: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    assert errors_of(text)
    assert list(jsonschema.Draft202012Validator(schema()).iter_errors(tomllib.loads(text)))


def test_a_hint_is_given_only_where_one_word_is_close() -> None:
    assert nearest("widht", ["width", "height"]) == "; did you mean width?"
    assert nearest("zzz", ["width", "height"]) == ""


def test_a_shorter_duration_on_the_command_line_leaves_out_later_sections() -> None:
    scenario = loads('schema = 1\nduration = "28 d"\n[record]\nsections = ["0 d", "2 d", "28 d"]\n', sets=("duration=3 d",))
    assert scenario.record.sections == (0.0, 48.0)


def test_a_section_after_the_end_in_a_file_is_refused() -> None:
    with pytest.raises(ScenarioError, match="sections"):
        loads('schema = 1\nduration = "3 d"\n[record]\nsections = ["0 d", "28 d"]\n')
