"""Scenario files: TOML in, a checked Scenario out, and every error at once with its line.

A file states only what differs from the model's defaults, or from its parent (`extends`). Times and lengths carry their unit as text;
every parameter has the one unit that `imam-sim params` shows. Nothing here imports numba.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import math
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    create_model,
    field_validator,
    model_validator,
)

from imam_sim.model.params import PRESETS, Parameters
from imam_sim.model.quantity import Quantity, put
from imam_sim.study import toml_text
from imam_sim.study.language import (
    CELLS,
    HOURS,
    MAX_BYTES,
    MAX_HOURS,
    SIGNALS,
    Frozen,
    ScenarioError,
    amount_of,
    amount_schema,
    changeable_parameter,
    fraction_of,
    from_python,
    hours_of,
    hours_text,
    in_words,
    legal_value,
    nearest,
    parameters,
    printable,
    quoted,
    shipped_folder,
    time_field,
)
from imam_sim.study.toml_text import KeyPath
from imam_sim.study.treatment import (
    FOLDER,
    MAX_CELLS,
    MAX_DOSES,
    SECOND,
    Course,
    DoseText,
    Given,
    Stage,
    Treatment,
    amount,
    unknown_drug,
    wrong_unit,
)
from imam_sim.study.treatment import names as drugs
from imam_sim.study.treatment import part_at as treatment_part
from imam_sim.study.treatment import text_of as treatment_lines

MAX_TITLE = 200
MAX_EVENTS = 1000
MAX_SECTIONS = 1000
MAX_STEP = 1.0  # h
MAX_STEPS_AN_HOUR = 3600
MAX_PARENTS = 20
MIN_EDGE = 100.0  # um
MAX_EDGE = 1e9  # um; below it every estimate of memory is a finite number
EDGE_UNIT = 10.0  # um, a signal voxel
MICROMETRES = {"um": (1.0, 1.0), "mm": (1000.0, 1.0)}
AMPLE = 60.0  # bytes per um2, several times what a tissue takes
KILOGRAMS = {"g": (1.0, 1000.0), "kg": (1.0, 1.0)}
WEIGHTS = {"human": 70.0, "mouse": 0.025}  # kg
SMALL_BODY = 5.0  # kg, below which nobody takes the usual dose of people
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
EVENT_PATH = "event."  # --set event.NAME.KEY changes the event of that name
LEVELS = {"pg/mL": (1.0, 1000.0), "ng/mL": (1.0, 1.0), "ug/mL": (1000.0, 1.0)}
RECEPTORS = {name: f"signal.{name}.reception_share" for name in SIGNALS} | {
    "ccr2": "monocyte.entry.ccr2",
    "csf1r": "signal.mcsf.reception_share",
    "tnfr": "signal.tnf.reception_share",
}
ENTRIES = {
    "neutrophil": ("neutrophil.entry_rate",),
    "monocyte": ("monocyte.entry.stimulated_rate", "monocyte.entry.basal_rate"),
    "cd4": ("cd4.entry_rate", "cd4.reactivation_rate"),
    "regulatory_t": ("regulatory_t.entry_rate",),
    "cd8": ("cd8.entry_rate",),
    "b_cell": ("antibody.b_cell_entry_rate",),
}  # cell: the parameters by which it enters
MAX_LEVEL = 1e6  # ng/mL
WHERE = "everywhere; injury: dead, open or regenerating fibre; or [x, y, radius] in um"
Place = str | tuple[float, float, float]
COMMAND_LINE = "--set"
BARE_KEY = re.compile(r"[A-Za-z0-9_.-]+")
ROUNDING = 1e-6  # share of a step that may be lost when a time is written in decimals

Listed = TypeVar("Listed")


class TooBig(Exception):
    """A tissue that needs more memory than the machine has; `estimate` and `available` in bytes."""

    def __init__(self, where: str, estimate: float, available: float) -> None:
        super().__init__(
            f"{where}: needs about {estimate / 1e9:.3g} GB of memory, this machine has {available / 1e9:.3g} GB; choose a smaller tissue"
        )
        self.estimate = estimate
        self.available = available


def _step(got: Any, info: ValidationInfo) -> float:
    hours = hours_of(got, info)
    per_hour = round(1.0 / hours) if 0.5 / MAX_STEPS_AN_HOUR < hours <= MAX_STEP else MAX_STEPS_AN_HOUR + 1
    if per_hour > MAX_STEPS_AN_HOUR or abs(per_hour * hours - 1.0) > 1e-9:
        raise ValueError(f'got {in_words(got)}, must be 1 s to 1 h and divide an hour into whole steps, such as "10 min" or "5 min"')
    return 1.0 / per_hour


def _edge(got: Any, info: ValidationInfo) -> float:
    length = float(got) if from_python(got, info) else amount_of(got, MICROMETRES, "600 um")
    whole = math.isfinite(length) and abs(length / EDGE_UNIT - round(length / EDGE_UNIT)) < 1e-9 * max(length, 1.0)
    if not whole or not MIN_EDGE <= length <= MAX_EDGE:
        highest = "" if length <= MAX_EDGE else f", at most {MAX_EDGE / 1000:g} mm"
        raise ValueError(f"got {in_words(got)}, must be at least {MIN_EDGE:g} um{highest} and a multiple of {EDGE_UNIT:g} um")
    return round(length / EDGE_UNIT) * EDGE_UNIT


def _title(got: Any) -> str:
    if not isinstance(got, str) or not got.isprintable() or len(got) > MAX_TITLE:
        raise ValueError(f"got {in_words(got)}, must be one line of text of at most {MAX_TITLE} characters")
    return got


def _one(got: Any) -> int:
    if isinstance(got, bool) or got != 1:
        raise ValueError(f"got {in_words(got)}, must be 1, the version of the scenario language")
    return 1


def _values(got: Any) -> dict[str, float]:
    if not isinstance(got, Mapping):
        raise ValueError(f"got {in_words(got)}, must be a table of parameters")
    problems = dict(_wrong_parameters(got))
    if problems:
        raise ValueError("; ".join(f"{path}: {message}" for path, message in problems.items()))
    return {path: float(value) for path, value in got.items()}


def _length(meaning: str) -> tuple[BeforeValidator, WithJsonSchema]:
    return BeforeValidator(_edge), amount_schema(MICROMETRES, "1 mm", meaning)


def _nanograms(got: Any, info: ValidationInfo) -> float:
    level = float(got) if from_python(got, info) else amount_of(got, LEVELS, "5 ng/mL")
    if not 0.0 <= level <= MAX_LEVEL:
        raise ValueError(f"got {in_words(got)}, must be 0 to {MAX_LEVEL:g} ng/mL")
    return level


def _level(example: str, meaning: str) -> tuple[BeforeValidator, WithJsonSchema]:
    return BeforeValidator(_nanograms), amount_schema(LEVELS, example, meaning)


def _kilograms(got: Any, info: ValidationInfo) -> float:
    weight = float(got) if from_python(got, info) else amount_of(got, KILOGRAMS, "70 kg")
    if not 0.001 <= weight <= 1000.0:
        raise ValueError(f"got {in_words(got)}, must be 1 g to 1000 kg")
    return weight


def _name(got: Any) -> str | None:
    if got is None:
        return None
    if not isinstance(got, str) or not NAME.fullmatch(got):
        raise ValueError(f"got {in_words(got)}, must be a word of letters, digits, _ and -")
    return got


def _drug_name(got: Any) -> str:
    if not isinstance(got, str):
        raise ValueError(f"got {in_words(got)}, must be the name of a treatment as text")
    return got


def _whole(got: Any) -> int:
    if isinstance(got, bool) or not isinstance(got, int) or not 1 <= got <= MAX_CELLS:
        raise ValueError(f"got {in_words(got)}, must be a whole number, 1 to {MAX_CELLS}")
    return got


def _place_of(got: Any) -> Place:
    if got in ("everywhere", "injury"):
        return str(got)
    if isinstance(got, list | tuple) and len(got) == 3 and all(isinstance(n, int | float) and not isinstance(n, bool) for n in got):
        x, y, radius = (float(n) for n in got)
        if all(0.0 <= n < math.inf for n in (x, y, radius)):
            return x, y, radius
    raise ValueError(f'got {in_words(got)}, must be "everywhere", "injury" or [x, y, radius] in um, none below 0')


class Numerics(Frozen):
    """How the model is solved."""

    step: Annotated[float, BeforeValidator(_step), amount_schema(HOURS, "10 min", "length of a step [h]; divides an hour")] = 1.0 / 6.0


class TissueChoice(Frozen):
    """Which piece of muscle."""

    preset: Literal[tuple(PRESETS)] = Field(default="human", description="kind of tissue: the parameters that differ from the defaults")  # type: ignore[valid-type]
    width: Annotated[float, *_length("width of the section [um], a multiple of 10 um")] = 1000.0
    height: Annotated[float, *_length("height of the section [um], a multiple of 10 um")] = 1000.0


class Record(Frozen):
    """What is stored and when."""

    every: Annotated[float, *time_field("6 h", "time between two stored sets of outcomes [h]")] = 6.0
    sections: Annotated[tuple[Annotated[float, *time_field("28 d", "a time [h]")], ...], Field(max_length=MAX_SECTIONS)] = Field(
        default=(), description="times at which the whole tissue is stored; in a file without it: start and end"
    )

    @field_validator("sections")
    @classmethod
    def _in_order_of_time(cls, sections: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(sections))


class Patient(Frozen):
    """The body that the muscle belongs to, which some doses depend on."""

    weight: Annotated[float, BeforeValidator(_kilograms), amount_schema(KILOGRAMS, "70 kg", "weight [kg]; left out: as usual")] | None = (
        None
    )


class Named(Frozen):
    """An event, which may have a name of its own, by which --set and sweeps find it."""

    name: Annotated[str | None, BeforeValidator(_name)] = Field(
        default=None, description="a name of letters, digits, _ and - for this event"
    )


class Injure(Named):
    """A sudden death of fibres, as after a toxin or a trauma."""

    kind: Literal["injure"] = "injure"
    at: Annotated[float, *time_field("0 d", "when [h]")]
    pattern: Literal["localised", "scattered", "diffuse"] = Field(description="around one focus, single fibres by lot, or around many foci")
    fraction: Annotated[float, Field(ge=0.0, le=1.0, description="share of the living fibre area that dies"), BeforeValidator(fraction_of)]


class Set(Named):
    """One parameter has another value for a while."""

    kind: Literal["set"] = "set"
    parameter: Annotated[str, BeforeValidator(changeable_parameter)] = Field(
        description="dotted path of any parameter but geometry.* and bound_ratio"
    )
    value: float = Field(description="in the unit of the parameter")
    start: Annotated[float, *time_field("0 d", "from when [h]")] = Field(validation_alias="from")
    stop: Annotated[float, *time_field("3 d", "until when [h]; left out: to the end")] | None = Field(None, validation_alias="to")

    @field_validator("value", mode="before")
    @classmethod
    def _in_range(cls, got: Any, info: ValidationInfo) -> float:
        return legal_value(info.data.get("parameter", ""), got)


class KnockOut(Named):
    """A signal that nothing secretes, a receptor that nothing works through, or a blood cell that does not enter, for a while."""

    kind: Literal["knock_out"] = "knock_out"
    signal: Literal[tuple(SIGNALS)] | None = Field(None, description="a signal that is not secreted")  # type: ignore[valid-type]
    receptor: Literal[tuple(RECEPTORS)] | None = Field(None, description="a signal that is not felt, or the receptor of a signal")  # type: ignore[valid-type]
    cell: Literal[tuple(ENTRIES)] | None = Field(None, description="a cell that does not enter from the blood")  # type: ignore[valid-type]
    start: Annotated[float, *time_field("0 d", "from when [h]; left out: from time 0")] = Field(0.0, validation_alias="from")
    stop: Annotated[float, *time_field("3 d", "until when [h]; left out: to the end")] | None = Field(None, validation_alias="to")

    @model_validator(mode="after")
    def _one_thing(self) -> KnockOut:
        if sum(name is not None for name in (self.signal, self.receptor, self.cell)) != 1:
            raise ValueError("must name one of signal, receptor and cell")
        return self

    @property
    def values(self) -> dict[str, float]:
        """The parameters that this event sets, by path."""
        if self.signal is not None:
            return {f"signal.{self.signal}.secretion_share": 0.0}
        if self.receptor is not None:
            return {RECEPTORS[self.receptor]: 0.0}
        return dict.fromkeys(ENTRIES[self.cell or ""], 0.0)


class Deplete(Named):
    """Cells of a kind are removed for a while."""

    kind: Literal["deplete"] = "deplete"
    cell: Literal[tuple(CELLS)] = Field(description="kind of cell")  # type: ignore[valid-type]
    fraction: Annotated[float, Field(ge=0.0, le=1.0, description="share of the cells that one day removes"), BeforeValidator(fraction_of)]
    start: Annotated[float, *time_field("0 d", "from when [h]")] = Field(validation_alias="from")
    stop: Annotated[float, *time_field("3 d", "until when [h]; left out: to the end")] | None = Field(None, validation_alias="to")


class Inject(Named):
    """A signal is put in by hand."""

    kind: Literal["inject"] = "inject"
    at: Annotated[float, *time_field("0 d", "when [h]")]
    signal: Literal[tuple(SIGNALS)] = Field(description="what")  # type: ignore[valid-type]
    amount: Annotated[float, *_level("5 ng/mL", "by how much it rises there, free and bound together [ng/mL]")]
    where: Annotated[Place, BeforeValidator(_place_of)] = Field("everywhere", description=WHERE)


class Transplant(Named):
    """Cells are put in by hand."""

    kind: Literal["transplant"] = "transplant"
    at: Annotated[float, *time_field("0 d", "when [h]")]
    cell: Literal[tuple(CELLS)] = Field(description="kind of cell; a satellite cell comes activated")  # type: ignore[valid-type]
    number: Annotated[int, Field(ge=1, le=MAX_CELLS, description="how many"), BeforeValidator(_whole)]
    activation: Literal["none", "inflammatory", "repair"] = Field("none", description="which level of a macrophage is full")
    where: Annotated[Place, BeforeValidator(_place_of)] = Field("everywhere", description=WHERE)

    @model_validator(mode="after")
    def _only_macrophages_are_activated(self) -> Transplant:
        if self.activation != "none" and self.cell != "macrophage":
            raise ValueError(f"activation is for macrophages, not for {self.cell}")
        return self


class Implant(Named):
    """Persistent particles, such as an aluminium adjuvant, are put into connective tissue."""

    kind: Literal["implant"] = "implant"
    at: Annotated[float, *time_field("0 d", "when [h]")]
    fill: Annotated[float, Field(ge=0.0, le=1.0, description="share of the place that they fill"), BeforeValidator(fraction_of)]
    where: Annotated[Place, BeforeValidator(_place_of)] = Field(description=WHERE)


class Infect(Named):
    """An infection or a vaccination: interferon in the blood, which decays with blood.interferon_half_life."""

    kind: Literal["infect"] = "infect"
    at: Annotated[float, *time_field("0 d", "when [h]")]
    peak: Annotated[float, *_level("1 ng/mL", "level that is felt like interferon-gamma everywhere [ng/mL]")]


class Treat(Named):
    """A course of a drug. What is left out is as the drug's own file says."""

    kind: Literal["treat"] = "treat"
    drug: Annotated[str, BeforeValidator(_drug_name)] = Field(
        description="a shipped treatment, a .toml file beside the scenario, or a table [treatment.NAME]"
    )
    dose: DoseText | None = Field(None, description='such as "1 mg/kg/day"; with /day or /week a rate, without a single dose')
    maximum: DoseText | None = Field(None, description="most that is given, whatever the weight")
    loading: DoseText | None = Field(None, description="the first dose")
    every: Annotated[float, *time_field("1 d", "time between two doses [h]")] | None = None
    count: Annotated[int, Field(strict=True, ge=1, le=MAX_DOSES)] | None = Field(None, description="how many doses")
    cycle: Annotated[float, *time_field("28 d", "the `count` doses are given again after this time [h]")] | None = None
    infusion: Annotated[float, *time_field("4 h", "how long a dose runs in [h]")] | None = None
    start: Annotated[float, *time_field("28 d", "time of the first dose [h]")]
    stop: Annotated[float, *time_field("70 d", "the last full dose is before this [h]; left out: to the end")] | None = None
    taper: Annotated[tuple[Stage, ...], Field(max_length=100)] = Field((), description="stages that begin at `stop`")

    def course(self, drug: Treatment) -> Course:
        """How the drug is given."""
        dose, maximum = self.dose or drug.dose.value, self.maximum or (drug.maximum.value if drug.maximum else None)
        return Course(
            dose=amount(dose),
            every=self.every or drug.every,
            start=self.start,
            stop=math.inf if self.stop is None else self.stop,
            maximum=amount(maximum) if maximum else None,
            loading=amount(self.loading) if self.loading else None,
            limit=self.count or drug.count,
            cycle=self.cycle or drug.cycle,
            infusion=(drug.infusion or 0.0) if self.infusion is None else self.infusion,
            taper=tuple((stage.every, amount(stage.by), amount(stage.until)) for stage in self.taper),
        )


EVENTS: dict[str, type[Frozen]] = {
    "injure": Injure,
    "set": Set,
    "knock_out": KnockOut,
    "deplete": Deplete,
    "inject": Inject,
    "transplant": Transplant,
    "implant": Implant,
    "infect": Infect,
    "treat": Treat,
}
PARTS: dict[str, type[Frozen]] = {"numerics": Numerics, "tissue": TissueChoice, "record": Record, "patient": Patient}
STAND_INS: dict[str, Any] = {
    "at": "0 h",
    "pattern": "diffuse",
    "fraction": 0,
    "parameter": "cd4.tolerance",
    "from": "0 h",
    "cell": "monocyte",
    "signal": "tnf",
    "amount": "0 ng/mL",
    "peak": "0 ng/mL",
    "number": 1,
    "fill": 0,
    "where": "everywhere",
}
Momentary = Injure | Inject | Transplant | Implant | Infect  # happen at one time
Lasting = Set | KnockOut | Deplete | Treat  # hold for a while
Event = Annotated[Momentary | Lasting, Field(discriminator="kind")]


class Scenario(Frozen):
    """One virtual experiment, checked. Times in hours, lengths in micrometres.

    `parameters` holds only the values that differ from the defaults of the preset.
    """

    schema_version: Annotated[Literal[1], BeforeValidator(_one)] = Field(
        1, validation_alias="schema", description="version of the scenario language"
    )
    title: Annotated[str, BeforeValidator(_title), Field(max_length=MAX_TITLE)] = "untitled"
    duration: Annotated[float, *time_field("28 d", "how long the tissue is followed [h]")]
    numerics: Numerics = Numerics()
    tissue: TissueChoice = TissueChoice()
    parameters: Annotated[dict[str, float], BeforeValidator(_values)] = Field({}, description="numbers by dotted path")
    record: Record = Record()
    patient: Patient = Patient()
    treatments: dict[str, Treatment] = Field({}, validation_alias="treatment", description="drugs of this scenario by name")
    events: Annotated[tuple[Event, ...], Field(max_length=MAX_EVENTS)] = Field(
        (), validation_alias="event", description="what happens, and when"
    )

    @field_validator("parameters")
    @classmethod
    def _only_differences(cls, values: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        tissue = info.data.get("tissue")
        usual = usual_values(tissue.preset) if tissue else {}
        return {path: values[path] for path in sorted(values) if values[path] != usual.get(path)}

    @property
    def step(self) -> float:
        """Length of a step [h]."""
        return self.numerics.step

    @property
    def weight(self) -> float:
        """Weight of the body [kg]."""
        return self.patient.weight or WEIGHTS[self.tissue.preset]

    @property
    def area(self) -> float:
        """Area of the section [mm2]."""
        return self.tissue.width * self.tissue.height * 1e-6

    def given(self, event: Treat) -> list[Given]:
        """Every dose of a course in this scenario."""
        return event.course(self.treatments[event.drug]).given(self.duration, self.weight, self.area)

    def base_params(self) -> Parameters:
        """The parameters at time 0: defaults, then the preset, then those of the scenario."""
        return _put(self.tissue.preset, tuple(self.parameters.items()))


class _ScenarioFile(Scenario):
    """What a file may hold: a scenario and its parent."""

    extends: str | None = Field(None, description="one parent: the name of a shipped scenario, or a .toml file beside this one")


@lru_cache(maxsize=8)
def usual_values(preset: str) -> dict[str, float]:
    """Every parameter of a preset, by path."""
    values = {path: parameter.default for path, parameter in parameters().items()}
    values.update({path: special.value for path, special in PRESETS[preset].items()})
    return values


@lru_cache(maxsize=64)
def _put(preset: str, values: tuple[tuple[str, float], ...]) -> Parameters:
    return put(Parameters(), {**usual_values(preset), **dict(values)})


def _wrong_parameters(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Paths that do not exist and values that are not legal, each with a message."""
    for path, got in values.items():
        if path in parameters():
            try:
                legal_value(path, got)
            except ValueError as error:
                yield path, str(error)
            continue
        inside = [other for other in parameters() if other.startswith(path + ".")]
        if inside:
            yield path, f"got {in_words(got)}, must be a table of parameters, such as {inside[0]}"
        else:
            yield path, f"unknown parameter; `imam-sim params` lists all{nearest(path, parameters())}"


class _Document(NamedTuple):
    """What files and --set said: the data, and for each path in it `file:line`."""

    data: dict[str, Any]
    places: dict[KeyPath, str]


class _Problem(NamedTuple):
    """One error: where it stands (`file:line`), the key and what is wrong."""

    place: str
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


def load(name_or_path: str | Path, sets: Iterable[str] = ()) -> Scenario:
    """The scenario in a file (a path, or text that ends in .toml or holds a slash) or shipped under a name, changed by PATH=VALUE texts.

    Raises ScenarioError with every error of the file, its parents and the changes, and TooBig.
    """
    path = _path_of(name_or_path)
    return loads(_read(path), str(path), sets)


def loads(text: str, name: str = "scenario", sets: Iterable[str] = ()) -> Scenario:
    """The scenario in a text; `name` stands for its file in messages. Raises as `load` does."""
    return read(text, name).scenario(sets)


def read(text: str, name: str) -> Written:
    """A text with its parents, read but not yet checked; never raises."""
    problems: list[_Problem] = []
    return Written(name, _with_parents(text, Path(name), (), problems), tuple(problems))


class Written(NamedTuple):
    """A text that was read once, from which scenarios with other values are made as often as one likes."""

    name: str
    document: _Document
    problems: tuple[_Problem, ...]

    def bare(self) -> Written:
        """A canonical text without the parameters that are as usual: while the preset stays, it makes equal scenarios, and sooner."""
        data = self.document.data
        usual = usual_values(data["tissue"]["preset"])
        own = {path: value for path, value in data["parameters"].items() if value != usual[path]}
        return self._replace(document=self.document._replace(data={**data, "parameters": own}))

    def scenario(self, sets: Iterable[str] = ()) -> Scenario:
        """What `loads` gives for the text, changed by PATH=VALUE texts; raises as it does."""
        sets, problems, name = tuple(sets), list(self.problems), self.name
        changes = _from_command_line(sets, problems)
        document = _merged(self.document, changes)
        _change_events(document, sets, problems)
        for shipped in (False, True):
            document = _with_treatments(document, Path(name), problems, shipped)
        if "duration" in changes.data and "sections" not in changes.data.get("record", {}):
            _drop_late_sections(document.data)
        scenario = _checked(document, name, problems)
        if problems or scenario is None:
            raise ScenarioError([str(problem) for problem in _in_order(problems)])
        edges = [document.places.get(("tissue", edge)) for edge in ("width", "height")]
        _refuse_too_big(scenario, COMMAND_LINE if COMMAND_LINE in edges else _place(document, ("tissue",)) or printable(name))
        return scenario


def names() -> list[str]:
    """The names of the shipped scenarios."""
    return sorted(path.stem for path in shipped_folder("scenarios").glob("*.toml"))


def find(name: str) -> Path:
    """The file of a shipped scenario; ScenarioError, with the nearest name, where there is none."""
    if name in names():
        return shipped_folder("scenarios") / f"{name}.toml"
    near = nearest(name, names())
    if not near and re.fullmatch(r"[\w-]+", name) and os.path.isfile(f"{name}.toml"):
        near = f"; did you mean {name}.toml?"
    raise ScenarioError(
        [f"{printable(name)}: no shipped scenario has this name, must be one that `imam-sim scenarios` lists or a .toml file{near}"]
    )


def _path_of(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(".toml") or "/" in text or os.sep in text:
        return Path(text)
    return find(text)


def _read(path: Path) -> str:
    """The text of a scenario file; ScenarioError where it cannot be one."""
    shown = printable(str(path))
    try:
        if path.is_dir():
            raise ScenarioError([f"{shown}: is a folder, must be a scenario file"])
        if path.exists() and not path.is_file():
            raise ScenarioError([f"{shown}: is not a regular file"])
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ScenarioError([f"{shown}: no such file{nearest(path.stem, names())}"]) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ScenarioError([f"{shown}: cannot be read: {reason}"]) from None
    if len(content) > MAX_BYTES:
        raise ScenarioError([f"{shown}: larger than 1 MiB, which no scenario is"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ScenarioError([f"{shown}:{line}: is not UTF-8 text"]) from None


def _with_parents(text: str, path: Path, below: tuple[Path, ...], problems: list[_Problem]) -> _Document:
    """A text with what it inherits. Never raises: what is wrong is added to `problems`."""
    if len(text) > MAX_BYTES:
        problems.append(_Problem(printable(str(path)), "", "larger than 1 MiB, which no scenario is"))
        return _Document({}, {})
    file = printable(str(path))
    located = toml_text.parse(text)
    problems.extend(_Problem(f"{file}:{fault.line}", _key(fault.key), fault.message) for fault in located.faults)
    places = {key: f"{file}:{line}" for key, line in located.lines.items()}
    document = _flat(_Document(located.data, places), problems)
    document = _with_treatments(document, path, problems, shipped=False)
    if "schema" not in document.data and not located.faults:
        problems.append(_Problem(f"{file}:1", "schema", "missing, the file must say schema = 1"))
    if "extends" not in document.data:
        return document
    parent = document.data.pop("extends")
    place = _place(document, ("extends",))
    inherited = _Document({}, {})
    chain = (*below, path.resolve())
    if not isinstance(parent, str):
        problems.append(_Problem(place, "extends", f"got {in_words(parent)}, must be one name or .toml file as text"))
        return document
    try:
        origin = path.parent / parent if parent.endswith(".toml") else find(parent)
        if origin.resolve() in chain:
            problems.append(_Problem(place, "extends", f"got {in_words(parent)}, which extends this file: a circle"))
        elif len(chain) > MAX_PARENTS:
            problems.append(_Problem(place, "extends", f"more than {MAX_PARENTS} generations"))
        else:
            inherited = _with_parents(_read(origin), origin, chain, problems)
    except ScenarioError as error:
        problems.append(_Problem(place, "extends", error.errors[0]))
    except (OSError, ValueError, RuntimeError) as error:
        problems.append(_Problem(place, "extends", f"got {in_words(parent)}, which is no usable path: {error}"))
    return _merged(inherited, document)


def _flat(document: _Document, problems: list[_Problem]) -> _Document:
    """Parameters by dotted path, whether they were written so or as nested tables."""
    nested = document.data.get("parameters")
    if not isinstance(nested, dict):
        return document
    flat: dict[str, Any] = {}
    places = dict(document.places)
    for keys, value in _leaves(nested, ()):
        path = ".".join(keys)
        place = _place(document, ("parameters", *keys))
        if path in flat:
            first = places[("parameters", path)].rpartition(":")[2]
            problems.append(_Problem(place, _key(("parameters", path)), f"written twice, first on line {first}"))
        else:
            flat[path] = value
            places[("parameters", path)] = place
    return _Document({**document.data, "parameters": flat}, places)


def _leaves(node: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in node.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*above, name))
        elif value != {} or ".".join((*above, name)) in parameters():
            yield (*above, name), value


def _merged(parent: _Document, child: _Document) -> _Document:
    """The parent with the child's differences: tables key by key, events added behind the parent's."""
    places = dict(parent.places)
    before = parent.data.get("event")
    own = child.data.get("event")
    appended = isinstance(before, list) and isinstance(own, list)
    for path, place in child.places.items():
        if appended and len(path) > 1 and path[0] == "event" and isinstance(path[1], int):
            path = ("event", path[1] + len(before or ()), *path[2:])
        places[path] = place
    data = _merged_tables(parent.data, child.data)
    if isinstance(before, list) and isinstance(own, list):
        data["event"] = before + own
    return _Document(data, places)


def _merged_tables(parent: dict[str, Any], child: dict[str, Any]) -> dict[str, Any]:
    merged = dict(parent)
    for name, value in child.items():
        old = merged.get(name)
        merged[name] = _merged_tables(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _from_command_line(sets: Iterable[str], problems: list[_Problem]) -> _Document:
    """What PATH=VALUE texts say; a value that is not TOML is taken as text."""
    document = _Document({}, {})
    for text in sets:
        name, equals, written = text.partition("=")
        name = name.strip()
        if equals and name.startswith(EVENT_PATH):
            continue
        if not equals or not name:
            problems.append(_Problem(COMMAND_LINE, printable(text), "must be PATH=VALUE, such as cd4.tolerance=0.3"))
            continue
        path = _settable(name)
        if path is None:
            legal = [*_scenario_keys(), *parameters()]
            message = f"unknown path, must be a parameter or one of {', '.join(_scenario_keys())}{nearest(name, legal)}"
            problems.append(_Problem(COMMAND_LINE, printable(name), message))
            continue
        node = document.data
        for key in path[:-1]:
            node = node.setdefault(key, {})
        if path[-1] in node:
            problems.append(_Problem(COMMAND_LINE, name, "given twice"))
            continue
        node[path[-1]] = _value(written.strip())
        document.places[path] = COMMAND_LINE
    return document


def _change_events(document: _Document, sets: Iterable[str], problems: list[_Problem]) -> None:
    """What event.NAME.KEY=VALUE texts say about events that have a name; changes the document, but no list or table in it."""
    events = document.data.get("event", [])
    events = list(events) if isinstance(events, list) else []
    named = {event["name"]: n for n, event in enumerate(events) if isinstance(event, dict) and isinstance(event.get("name"), str)}
    for text in sets:
        path, equals, written = text.partition("=")
        words = path.strip().split(".")
        if not equals or words[0] != EVENT_PATH[:-1] or len(words) < 2:
            continue
        if words[1] not in named:
            legal = f"must be one of {', '.join(named)}{nearest(words[1], named)}" if named else "no event of this scenario has a name"
            problems.append(_Problem(COMMAND_LINE, printable(path.strip()), f"no event has the name {printable(words[1])}, {legal}"))
            continue
        keys: KeyPath = tuple(int(word) if re.fullmatch("[0-9]{1,3}", word) else word for word in words[2:])
        if document.places.get(("event", named[words[1]], *keys)) == COMMAND_LINE:
            problems.append(_Problem(COMMAND_LINE, printable(path.strip()), "given twice"))
            continue
        try:
            events[named[words[1]]] = _changed(events[named[words[1]]], keys, _value(written.strip()))
        except (LookupError, TypeError):
            problems.append(
                _Problem(COMMAND_LINE, printable(path.strip()), "leads nowhere: must be event.NAME.KEY, or event.NAME.taper.0.KEY")
            )
            continue
        document.places[("event", named[words[1]], *keys)] = COMMAND_LINE
        document.data["event"] = events


def _changed(node: Any, keys: KeyPath, value: Any) -> Any:
    """A copy of nested tables and lists with another value in one place, which may be new in a table; LookupError, TypeError."""
    if not keys:
        if isinstance(node, dict):
            raise TypeError
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(key, int):
        return [*node[:key], _changed(node[key], rest, value), *node[key + 1 :]]
    return {**node, key: _changed(node[key] if rest else None, rest, value)}


def _with_treatments(document: _Document, path: Path, problems: list[_Problem], shipped: bool) -> _Document:
    """The document with the drugs that its events name, from files beside it, or with `shipped` from those that ship. Never raises."""
    events, own = document.data.get("event", []), document.data.get("treatment", {})
    if not isinstance(events, list) or not isinstance(own, dict):
        return document
    found, places, renamed = dict(own), dict(document.places), list(events)
    for n, event in enumerate(events):
        drug = event.get("drug") if isinstance(event, dict) else None
        if not isinstance(drug, str) or drug in found or drug.endswith(".toml") == shipped:
            continue
        place = _place(document, ("event", n, "drug"))
        if shipped and drug not in drugs():
            problems.append(_Problem(place, "drug", unknown_drug(drug)))
            continue
        origin = shipped_folder(FOLDER) / f"{drug}.toml" if shipped else path.parent / drug
        if shipped and origin.stem in found:
            continue
        try:
            text = _read(origin)
        except ScenarioError as error:
            problems.append(_Problem(place, "drug", error.errors[0]))
            continue
        located = toml_text.parse(text)
        if origin.stem in found and located.data != found[origin.stem]:
            message = f"got {in_words(drug)}, but another treatment of this scenario is called {origin.stem} too; rename one"
            problems.append(_Problem(place, "drug", message))
            continue
        renamed[n] = {**event, "drug": origin.stem}
        file = printable(str(origin))
        problems.extend(_Problem(f"{file}:{fault.line}", _key(fault.key), fault.message) for fault in located.faults)
        found[origin.stem] = located.data
        places |= {("treatment", origin.stem): f"{file}:1"}
        places |= {("treatment", origin.stem, *key): f"{file}:{line}" for key, line in located.lines.items()}
    if found == own and renamed == events:
        return document
    return _Document({**document.data, "event": renamed, "treatment": found}, places)


def _drop_late_sections(data: dict[str, Any]) -> None:
    """Leave out the sections that a duration from the command line cuts off; what cannot be read is told by the checks."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        end = amount_of(data["duration"], HOURS, "36 h")
        sections = [time for time in data["record"]["sections"] if amount_of(time, HOURS, "36 h") <= end]
        data["record"] = {**data["record"], "sections": sections}


def _settable(name: str) -> tuple[str, ...] | None:
    """The path in a scenario that a --set path stands for."""
    if name in _scenario_keys():
        return tuple(name.split("."))
    path = name.removeprefix("parameters.")
    return ("parameters", path) if path in parameters() else None


@lru_cache(maxsize=1)
def _scenario_keys() -> tuple[str, ...]:
    """The keys of a scenario that --set may change, parameters apart."""
    return (
        "title",
        "duration",
        *(f"{name}.{key}" for name, part in PARTS.items() for key in part.model_fields),
    )


def _value(written: str) -> Any:
    try:
        found = tomllib.loads(f"value = {written}") if len(written) <= MAX_BYTES and written.count("[") < toml_text.MAX_DEPTH else {}
    except ValueError:
        return written
    return found["value"] if set(found) == {"value"} else written


def _place(document: _Document, path: KeyPath) -> str:
    """`file:line` of a path, or of what it lies in; empty where nobody wrote it."""
    while path and path not in document.places:
        path = path[:-1]
    return document.places.get(path, "")


def _key(path: KeyPath) -> str:
    """A path as a user would write it; a parameter by its own path, an event without its number (the line tells which)."""
    words = [str(name) for name in path if not isinstance(name, int)]
    if words[:1] == ["parameters"] and len(words) > 1:
        words = words[1:]
    text = ".".join(word if BARE_KEY.fullmatch(word) else json.dumps(word) for word in words)
    return text if len(text) <= 100 else text[:97] + "..."


def _in_order(problems: list[_Problem]) -> list[_Problem]:
    """By file, line and key, without repeats."""

    def position(problem: _Problem) -> tuple[str, int, str, str]:
        file, _, line = problem.place.rpartition(":")
        return (file, int(line), problem.key, problem.message) if line.isdigit() else (problem.place, 0, problem.key, problem.message)

    return sorted(set(problems), key=position)


def _checked(document: _Document, name: str, problems: list[_Problem]) -> Scenario | None:
    """The scenario that a document describes, as far as it can be understood; whatever is wrong is added to `problems`."""
    unreadable = bool(problems)
    data = dict(document.data)
    wrong: set[KeyPath] = set()  # what could not be understood and is not compared with anything

    def report(path: KeyPath, message: str) -> None:
        problems.append(_Problem(_place(document, path) or f"{printable(name)}:1", _key(path), message))

    if isinstance(data.get("parameters"), dict):
        bad = dict(_wrong_parameters(data["parameters"]))
        for parameter, message in bad.items():
            report(("parameters", parameter), message)
        data["parameters"] = {path: value for path, value in data["parameters"].items() if path not in bad}
    data.setdefault("schema", 1)
    try:
        scenario = _validated(data)
    except ValidationError as error:
        data = copy.deepcopy(data)
        lost: set[int] = set()  # events of no known kind
        for detail in error.errors(include_url=False):
            path, message = _explained(detail)
            wrong.add(path)
            if detail["type"] != "missing" or not unreadable:
                report(path, message)
            _mend(data, path, lost)
        kept = [number for number in range(_count(data)) if number not in lost]
        if "event" in data:
            data["event"] = [data["event"][number] for number in kept]
        try:
            scenario = _validated(data)
        except ValidationError:
            return None
    else:
        kept = list(range(_count(data)))
    for path, message in _contradictions(scenario, kept, wrong):
        report(path, message)
    record = data.get("record", {})
    if "sections" not in record and not wrong:
        both = scenario.record.model_copy(update={"sections": (0.0, scenario.duration)})
        return scenario.model_copy(update={"record": both})
    return scenario


def _validated(data: dict[str, Any]) -> Scenario:
    return Scenario.model_validate(data, by_alias=True, by_name=False, context={"file": True})


def _count(data: Mapping[str, Any]) -> int:
    return len(data.get("event", ()))


def _mend(data: dict[str, Any], path: KeyPath, lost: set[int]) -> None:
    """Put something legal, or nothing, where a value could not be understood, so that the rest can still be compared."""
    if path == ("duration",):
        data["duration"] = f"{MAX_HOURS!r} h"
    elif path[0] == "event" and len(path) > 2 and data["event"][path[1]].get("kind") == "treat":
        lost.add(int(path[1]))
    elif path[0] == "event" and len(path) == 3 and path[2] != "kind":
        event, name = data["event"][path[1]], str(path[2])
        event.pop(name, None)
        if name in STAND_INS:
            event[name] = STAND_INS[name]
        elif name == "value":
            known = parameters().get(str(event.get("parameter")))
            event[name] = known.default if known else 0.0
    elif path[0] == "event" and len(path) > 1:
        lost.add(int(path[1]))
    elif path[0] == "treatment" and len(path) > 1:
        data["treatment"].pop(path[1], None)
    elif len(path) > 1:
        data[str(path[0])].pop(path[1], None)
    else:
        data.pop(str(path[0]), None)


def _explained(detail: Mapping[str, Any]) -> tuple[KeyPath, str]:
    """The path and the message of one error of pydantic, in the words of the user."""
    path: KeyPath = tuple(detail["loc"])
    legal: list[str] = []
    owner: type[BaseModel] = Scenario
    if path[0] == "event" and len(path) > 2:
        owner = EVENTS[str(path[2])]
        path = (*path[:2], *path[3:])
        owner = Stage if len(path) > 3 and path[2] == "taper" else owner
    elif path[0] == "treatment" and len(path) > 2:
        owner = treatment_part(path[2:])
    elif len(path) > 1 and path[0] in PARTS:
        owner = PARTS[str(path[0])]
    kind, got, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "value_error":
        return path, str(context["error"])
    if kind == "extra_forbidden":
        legal = sorted(str(field.validation_alias or name) for name, field in owner.model_fields.items())
        if owner is Scenario:
            legal = sorted([*legal, "extends"])
        unknown = str(path[-1])
        parameter = nearest(unknown, list(parameters())) if owner is Scenario else ""
        near = nearest(unknown, legal) or (parameter and f"{parameter} (under [parameters])")
        return path, f"unknown key, must be one of {', '.join(legal)}{near}"
    if kind == "missing":
        return path, "missing, must be given"
    if kind == "union_tag_not_found":
        if isinstance(got, dict):
            return (*path, "kind"), f"missing, must be one of {', '.join(EVENTS)}"
        return path, f"got {in_words(got)}, must be a table: [[event]]"
    if kind in ("literal_error", "union_tag_invalid"):
        if kind == "union_tag_invalid":
            path, got, legal = (*path, "kind"), got.get("kind") if isinstance(got, dict) else got, list(EVENTS)
        else:
            legal = [word.strip("'") for word in re.findall(r"'[^']*'", context["expected"])]
        return path, f"got {in_words(got)}, must be one of {', '.join(legal)}{nearest(got, legal) if isinstance(got, str) else ''}"
    if kind == "too_long":
        return path, f"got {context['actual_length']} entries, must be at most {context['max_length']}"
    wanted = {"model_type": "a table", "model_attributes_type": "a table", "dict_type": "a table", "tuple_type": "a list"}.get(kind)
    if kind == "tuple_type" and path == ("event",):
        wanted = "written as [[event]]"
    return path, f"got {in_words(got)}, must be {wanted}" if wanted else f"got {in_words(got)}: {detail['msg']}"


def _contradictions(scenario: Scenario, kept: list[int], wrong: set[KeyPath]) -> Iterator[tuple[KeyPath, str]]:
    """What is legal alone and not together. `kept` numbers the events in the document; parts in `wrong` are not compared with."""
    end = math.inf if ("duration",) in wrong else scenario.duration

    gridless = any(path[0] == "numerics" for path in wrong)

    def grid(hours: float) -> str:
        """A message where a time does not fall on a step."""
        steps = hours / scenario.step
        if gridless or abs(steps - round(steps)) <= ROUNDING:
            return ""
        return f"got {hours_text(hours)}, must be a multiple of the step, {hours_text(scenario.step)}"

    def moment(path: KeyPath, hours: float, last: float, limit: str) -> Iterator[tuple[KeyPath, str]]:
        if hours > last:
            yield path, f"got {hours_text(hours)}, must be {limit} the end, {hours_text(end)}"
        elif message := grid(hours):
            yield path, message

    if ("duration",) not in wrong:
        if scenario.duration <= 0.0:
            yield ("duration",), "got 0 h, must be longer than nothing"
        elif message := grid(scenario.duration):
            yield ("duration",), message
    if not wrong & {("record",), ("record", "every")}:
        if scenario.record.every <= 0.0:
            yield ("record", "every"), "got 0 h, must be longer than nothing"
        elif message := grid(scenario.record.every):
            yield ("record", "every"), message
    if not any(path[:2] == ("record", "sections") for path in wrong):
        repeated = {hours for hours in scenario.record.sections if scenario.record.sections.count(hours) > 1}
        for hours in dict.fromkeys(scenario.record.sections):
            yield from moment(("record", "sections"), hours, end, "at most")
            if hours in repeated:
                yield ("record", "sections"), f"got {hours_text(hours)} more than once"
    windows: dict[str, list[tuple[float, float, int]]] = {}
    courses: dict[str, list[tuple[float, float]]] = {}  # drug: first and last dose of each course
    names_used: set[str] = set()
    last = math.nextafter(end, 0.0)
    for number, event in zip(kept, scenario.events, strict=True):
        path: KeyPath = ("event", number)
        if isinstance(event, Inject | Transplant | Implant):
            yield from _outside((*path, "where"), event.where, scenario.tissue)
        if event.name is not None:
            if event.name in names_used:
                yield (*path, "name"), f"got {event.name}, which another event has"
            names_used.add(event.name)
        if isinstance(event, Momentary):
            yield from moment((*path, "at"), event.at, last, "before")
            continue
        if isinstance(event, Treat):
            yield from _wrong_course(path, event, scenario, end, wrong, courses)
            continue
        yield from moment((*path, "from"), event.start, last, "before")
        stop = math.inf if event.stop is None else event.stop
        if event.stop is not None:
            yield from moment((*path, "to"), event.stop, end, "at most")
            if event.stop <= event.start and (*path, "from") not in wrong:
                yield (*path, "to"), f"got {hours_text(event.stop)}, must be later than `from`, {hours_text(event.start)}"
        if not isinstance(event, Deplete) and not any(broken[:2] == path for broken in wrong):
            for parameter in event.values if isinstance(event, KnockOut) else (event.parameter,):
                windows.setdefault(parameter, []).append((event.start, stop, number))
    for parameter, spans in windows.items():
        spans.sort()
        for (_, stop, _), (start, _, number) in itertools.pairwise(spans):
            if start < stop:
                yield ("event", number, "from"), f"{parameter} is already set then by another event, two values cannot hold at once"


def _wrong_course(
    path: KeyPath, event: Treat, scenario: Scenario, end: float, wrong: set[KeyPath], courses: dict[str, list[tuple[float, float]]]
) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with a course of a drug; adds its first and last dose to `courses`."""
    drug = scenario.treatments.get(event.drug)
    if drug is None or any(broken[:2] in (path, ("treatment", event.drug)) for broken in wrong):
        return
    doses = {"dose": event.dose, "maximum": event.maximum, "loading": event.loading}
    doses |= {f"taper.{n}.{key}": getattr(stage, key) for n, stage in enumerate(event.taper) for key in ("by", "until")}
    units_fit = True
    for key, dose in doses.items():
        where: KeyPath = (*path, *(int(word) if word.isdigit() else word for word in key.split(".")))
        nothing = key.endswith("until") and dose is not None and amount(dose).value == 0.0
        if dose is not None and not nothing and (message := wrong_unit(dose, drug.unit, drug.cells is not None)):
            units_fit = False
            yield where, f"{message}, as {event.drug} is"
    if event.start >= end:
        yield (*path, "start"), f"got {hours_text(event.start)}, must be before the end, {hours_text(end)}"
    if event.stop is not None and event.stop > end:
        yield (*path, "stop"), f"got {hours_text(event.stop)}, must be at most the end, {hours_text(end)}"
    if event.stop is not None and event.stop <= event.start:
        yield (*path, "stop"), f"got {hours_text(event.stop)}, must be later than `start`, {hours_text(event.start)}"
        return
    if event.taper and event.stop is None:
        yield (*path, "taper"), "needs `stop`, the time at which it begins"
    for key, time in (("every", event.every), ("cycle", event.cycle), *((f"taper.{n}.every", s.every) for n, s in enumerate(event.taper))):
        if time is not None and time < SECOND:
            yield (*path, key), f"got {hours_text(time)}, must be longer than nothing: 1 s or more"
            return
    if event.infusion is not None and 0.0 < event.infusion < SECOND:
        yield (*path, "infusion"), f"got {hours_text(event.infusion)}, must be 0 h, at once, or 1 s or more"
        return
    course = event.course(drug)
    if course.cycle is not None and course.limit is None:
        yield (*path, "cycle"), "needs `count`, how many doses a cycle has"
        return
    if course.cycle is not None and course.cycle < (course.limit or 1) * course.every:
        yield (*path, "cycle"), f"got {hours_text(course.cycle)}, too short for {course.limit} doses every {hours_text(course.every)}"
        return
    if event.taper and course.limit is not None:
        yield (*path, "taper"), f"{event.drug} is given {course.limit} times, which has no taper"
        return
    if end < math.inf and (most := course.most(end)) > MAX_DOSES:
        yield (*path, "every"), f"got {hours_text(course.every)}, about {most:.3g} doses, must be at most {MAX_DOSES}"
        return
    if scenario.weight < SMALL_BODY and event.dose is None and course.dose.per == "":
        yield (*path, "dose"), f"missing, must be given for a body of {scenario.weight:g} kg: the usual {drug.dose.value} is for people"
    if not units_fit:
        return
    size = course.size(course.dose, scenario.weight, scenario.area)
    if drug.cells is not None and size > 0.0 and not 0.5 <= size <= MAX_CELLS:
        yield (*path, "dose"), f"gives {size:.3g} cells in this section, must be 1 to {MAX_CELLS}"
        return
    for n, (_, by, until) in enumerate(course.taper if size > 0.0 else ()):
        less, least = (part.each(scenario.weight, scenario.area, course.every) for part in (by, until))
        if less <= 0.0:
            yield (*path, "taper", n, "by"), f"got {in_words(event.taper[n].by)}, must be more than nothing"
        if least >= size:
            yield (*path, "taper", n, "until"), f"got {in_words(event.taper[n].until)}, which is not below the dose before this stage"
        size = least
    given = scenario.given(event) if end < math.inf else []
    if not given:
        return
    for first, last in courses.get(event.drug, []):
        if event.start <= last and first <= given[-1].at:
            yield (*path, "start"), f"{event.drug} is already given then by another event, two courses of one drug cannot overlap"
    courses.setdefault(event.drug, []).append((event.start, given[-1].at))


def _outside(path: KeyPath, where: Place, tissue: TissueChoice) -> Iterator[tuple[KeyPath, str]]:
    if not isinstance(where, str) and not (where[0] < tissue.width and where[1] < tissue.height):
        yield path, f"got {list(where)}, must lie in the section of {tissue.width:g} x {tissue.height:g} um"


def _refuse_too_big(scenario: Scenario, place: str) -> None:
    """Raise TooBig where the tissue needs more memory than the machine has."""
    tissue, available = scenario.tissue, _memory()
    if tissue.width * tissue.height * AMPLE <= available:
        return
    from imam_sim.model.state import bytes_needed  # numpy, which no ordinary scenario should wait for

    estimate = float(bytes_needed(tissue.width, tissue.height))
    if estimate > available:
        raise TooBig(f"{place}: tissue: got {tissue.width / 1000:g} mm x {tissue.height / 1000:g} mm", estimate, available)


def _memory() -> float:
    """Bytes of memory of this machine; infinite where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * float(os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return math.inf


def resolved(scenario: Scenario) -> str:
    """The canonical text of a scenario: every parameter with its value, keys sorted; it loads as an equal Scenario anywhere."""
    tissue, record = scenario.tissue, scenario.record
    lines = [f"duration = {quoted(hours_text(scenario.duration))}", "schema = 1", f"title = {quoted(scenario.title)}"]
    lines += ["", "[numerics]", f"step = {quoted(hours_text(scenario.step))}", "", "[parameters]"]
    values = {**usual_values(tissue.preset), **scenario.parameters}
    lines += [f"{quoted(path)} = {values[path]!r}" for path in sorted(values)]
    sections = ", ".join(quoted(hours_text(hours)) for hours in record.sections)
    lines += ["", "[record]", f"every = {quoted(hours_text(record.every))}", f"sections = [{sections}]"]
    if scenario.patient.weight is not None:
        lines += ["", "[patient]", f"weight = {quoted(f'{scenario.patient.weight!r} kg')}"]
    lines += ["", "[tissue]", f"height = {quoted(f'{tissue.height!r} um')}", f"preset = {quoted(tissue.preset)}"]
    lines += [f"width = {quoted(f'{tissue.width!r} um')}"]
    for drug in sorted(scenario.treatments):
        lines += treatment_lines(drug, scenario.treatments[drug])
    for event in scenario.events:
        lines += ["", "[[event]]", *_event_lines(event)]
    return "\n".join(lines) + "\n"


def _event_lines(event: Frozen) -> list[str]:
    written: dict[str, str] = {}
    for name, field in type(event).model_fields.items():
        value = getattr(event, name)
        if value is None or (name == "taper" and not value):
            continue
        if name == "taper":
            stages = [(quoted(stage.by), quoted(hours_text(stage.every)), quoted(stage.until)) for stage in value]
            text = "[" + ", ".join("{{ by = {}, every = {}, until = {} }}".format(*stage) for stage in stages) + "]"
        elif name in ("at", "start", "stop", "every", "cycle", "infusion"):
            text = quoted(hours_text(value))
        elif name in ("amount", "peak"):
            text = quoted(f"{value!r} ng/mL")
        elif isinstance(value, tuple):
            text = repr(list(value))
        else:
            text = quoted(value) if isinstance(value, str) else repr(value)
        written[str(field.validation_alias or name)] = text
    return [f"{key} = {written[key]}" for key in sorted(written)]


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of scenario files."""
    document = _ScenarioFile.model_json_schema(by_alias=True)
    numbers = _parameter_model("").model_json_schema()
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    document["title"] = "imam-sim scenario"
    definitions = document.setdefault("$defs", {})
    definitions.update(numbers.pop("$defs", {}))
    document["properties"]["parameters"] = numbers
    document["required"] = ["schema"]
    document["if"] = {"not": {"required": ["extends"]}}
    document["then"] = {"required": ["duration"]}
    return document


def _parameter_model(prefix: str) -> type[BaseModel]:
    """The pydantic model of all parameters below a prefix, as nested tables or as dotted keys, derived from their declarations."""
    fields: dict[str, Any] = {}
    for path, parameter in parameters().items():
        if not path.startswith(prefix):
            continue
        tail = path.removeprefix(prefix)
        group, _, rest = tail.partition(".")
        fields[tail.replace(".", "__")] = (_labelled(parameter.quantity), Field(parameter.default, alias=tail))
        if rest and group not in fields:
            fields[group] = (_parameter_model(f"{prefix}{group}."), Field({}))
    title = "".join(word.capitalize() for word in re.split(r"[._]", f"{prefix}parameters"))
    return create_model(title, __config__=ConfigDict(extra="forbid"), **fields)


def _labelled(quantity: Quantity) -> Any:
    """The type of a number with its legal range and meaning."""
    description = f"{quantity.meaning} [{quantity.unit}]; {quantity.evidence.name}: {quantity.evidence.source}"
    return Annotated[float, Field(ge=quantity.low, le=quantity.high, description=description)]
