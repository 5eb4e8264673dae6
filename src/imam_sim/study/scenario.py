"""The Scenario, one virtual experiment: its tables, its events, the checks of each key, its canonical text and its JSON Schema.

In a file times and lengths carry their unit as text; every parameter has the one unit that `imam-sim params` shows. Nothing here imports
numba.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    create_model,
    field_validator,
    model_validator,
)

from imam_sim.model.params import PRESETS, Parameters
from imam_sim.model.quantity import Quantity, put
from imam_sim.study.language import (
    CELLS,
    HOURS,
    SIGNALS,
    Frozen,
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
    quoted,
    time_field,
)
from imam_sim.study.treatment import MAX_CELLS, MAX_DOSES, Course, DoseText, Given, Stage, Treatment, amount
from imam_sim.study.treatment import text_of as treatment_lines

MAX_TITLE = 200
MAX_EVENTS = 1000
MAX_SECTIONS = 1000
MAX_STEP = 1.0  # h
MAX_STEPS_AN_HOUR = 3600
MIN_EDGE = 100.0  # um
MAX_EDGE = 1e9  # um; below it every estimate of memory is a finite number
EDGE_UNIT = 10.0  # um, a signal voxel
MICROMETRES = {"um": (1.0, 1.0), "mm": (1000.0, 1.0)}
KILOGRAMS = {"g": (1.0, 1000.0), "kg": (1.0, 1.0)}
WEIGHTS = {"human": 70.0, "mouse": 0.025}  # kg
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
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
    problems = dict(wrong_parameters(got))
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


def wrong_parameters(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
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
