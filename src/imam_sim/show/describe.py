"""The description of the model after the ODD protocol: overview, design concepts, details.

The prose stands in describe.md; every table, rule and equation in it is read from the code and the declarations that run. Nothing is
compiled. Raises LookupError where a rule or a number cites a source that docs/sources.bib does not hold.
"""

from __future__ import annotations

import ast
import html
import math
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import Any

import imam_sim
from imam_sim.model.observe import OUTCOMES
from imam_sim.model.params import PRESETS, Parameters, SignalTransport
from imam_sim.model.quantity import Evidence, Fitted, Measured, Parameter, declared
from imam_sim.model.state import SIGNAL_VOXEL, VOXEL
from imam_sim.show import source
from imam_sim.show.bibliography import CITATION, Source, authors, bibliography, cited, demand
from imam_sim.show.marks import code, escaped, number, table
from imam_sim.show.source import RULES, Module
from imam_sim.study.scenario import EVENTS

HERE = Path(__file__).parent
BETWEEN_STEPS = "intervene"
PHYSICS = "fields"
DRUGS = "treatment"
DRUG_LAWS = ("share_of_effect", "treated")
FEELS = ("read", "read_all", "mean_level", "gradient")
GIVES = ("secrete", "secrete_voxel")
TAKES = ("take",)
ENUMS = ("Kind", "FibreState", "Ground", "Region", "Compartment")
RECORDS = ("Cells", "Fibres", "Vessels", "Voxels", "Fields", "Tissue")

COUNTED = {"draws": "random decisions", "measured": "parameters measured", "fitted": "parameters fitted", "assumed": "parameters assumed"}

Contents = dict[str, Any]
Row = dict[str, Any]


def contents() -> Contents:
    """Everything that the description says but its prose, as plain dictionaries, lists, texts and numbers; ready for JSON."""
    modules, sources = source.read_model(), bibliography()
    schedule = _schedule(modules)
    by_hand = _below_each(BETWEEN_STEPS, modules)
    forgotten = [f"{name}.{function}" for name, module in modules.items() if name.startswith(RULES) for function in module.functions]
    groups = [*schedule, *by_hand, {"name": "elsewhere", "meaning": "Called from elsewhere.", "rules": forgotten}]
    every, records = declared(Parameters()), dict(_records(Parameters(), ""))
    reads = _reads(modules, records, every)
    rules = {name: _rule(name, modules, reads[name]) for group in groups for name in group["rules"] if _public(name)}
    seen: set[str] = set()
    for group in groups:
        group["rules"] = [_shown(name) for name in dict.fromkeys(group["rules"]) if name in rules]
        group["explained"] = [name for name in group["rules"] if name not in seen]
        seen |= set(group["rules"])
    told = {
        "version": imam_sim.__version__,
        "presets": {name: _preset(name) for name in PRESETS},
        "actors": [{"name": name.removeprefix(RULES), "meaning": module.meaning} for name, module in _actors(modules)],
        "kinds": [_class(name, modules["state"]) for name in ENUMS],
        "state": [_class(name, modules["state"]) for name in RECORDS],
        "schedule": schedule,
        "interventions": by_hand,
        "elsewhere": groups[-1]["explained"],
        "functions": [_rule(name, modules, []) for name in _shapes(modules)],
        "rules": list(rules.values()),
        "signals": _signals(modules),
        "physics": modules[PHYSICS].meaning,
        "treatment": _treatment(modules[DRUGS]),
        "draws": _draws(modules),
        "parameters": _parameters(records, every),
        "outcomes": [outcome._asdict() for outcome in OUTCOMES],
        "events": [_event(name) for name in EVENTS],
        "sources": [{"key": key, "authors": authors(entry), **entry.fields} for key, entry in sources.items()],
    }
    _demand_sources(told, sources)
    told["counts"] = _counts(told)
    return told


def _schedule(modules: dict[str, Module]) -> list[Row]:
    """The phases of a step: the rules that run in each, in order, and the places where it stands in the order of phases."""
    phases: dict[str, Row] = {}
    for place, (name, _) in enumerate(source.calls(source.ENTRY, modules), start=1):
        module, _, function = name.rpartition(".")
        phase = {"name": _phase(name), "meaning": source.explained(modules[module].functions[function]).sentence, "places": []}
        phases.setdefault(name, phase | {"rules": list(_rules_below(name, modules))})["places"].append(place)
    return list(phases.values())


def _phase(name: str) -> str:
    return name.removeprefix(source.ENTRY.partition(".")[0] + ".")


def _below_each(name: str, modules: dict[str, Module]) -> list[Row]:
    """The functions of a module with the rules that run in each."""
    return [
        {"name": function, "meaning": source.explained(node).sentence, "rules": list(_rules_below(f"{name}.{function}", modules))}
        for function, node in modules[name].functions.items()
    ]


def _rules_below(name: str, modules: dict[str, Module]) -> Iterator[str]:
    """The rules that a function runs, itself among them: each kernel before the laws and parts that it calls."""
    module = name.rpartition(".")[0]
    rule = module == PHYSICS or module.startswith(RULES)
    if rule:
        yield name
    if module == PHYSICS:
        return
    for called, _ in source.calls(name, modules):
        if called != name and not (rule and not called.startswith(RULES)):
            yield from _rules_below(called, modules)


def _shown(name: str) -> str:
    return name.removeprefix(RULES)


def _public(name: str) -> bool:
    return not name.rpartition(".")[2].startswith("_")


def _actors(modules: dict[str, Module]) -> list[tuple[str, Module]]:
    return [(name, module) for name, module in modules.items() if name.startswith(RULES) and module.meaning]


def _records(record: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every record of parameters by its path, the whole first, each before those inside it."""
    yield path, record
    for name, value in zip(record._fields, record, strict=True):
        if isinstance(value, tuple):
            yield from _records(value, f"{path}.{name}".lstrip("."))


def _reads(modules: dict[str, Module], records: dict[str, Any], every: dict[str, Parameter]) -> dict[str, list[str]]:
    """The parameters that each function reads itself or is handed one by one."""
    by_class: dict[str, list[str]] = {}
    for path, record in records.items():
        by_class.setdefault(type(record).__name__, []).append(path)
    found: dict[str, list[str]] = {}
    for name, module in modules.items():
        for function, node in module.functions.items():
            found.setdefault(f"{name}.{function}", []).extend(source.numbers_read(node, by_class, every))
            for called, call in source.calls(f"{name}.{function}", modules):
                found.setdefault(called, []).extend(source.numbers_read(node, by_class, every, call))
    return found


def _rule(name: str, modules: dict[str, Module], reads: list[str]) -> Row:
    """What is to be said about one function of the model."""
    module = modules[name.rpartition(".")[0]]
    node = module.functions[name.rpartition(".")[2]]
    told = source.explained(node)
    called = [other for other, _ in source.calls(name, modules) if other.startswith(RULES)]
    inside = [node, *(modules[other.rpartition(".")[0]].functions[other.rpartition(".")[2]] for other in called if not _public(other))]
    law = source.is_law(node)
    return {
        "name": _shown(name),
        "kind": "law" if law else "kernel" if source.is_compiled(node) else "function",
        "sentence": told.sentence,
        "equations": list(told.equations),
        "explanation": list(told.rest),
        "cites": list(dict.fromkeys(cited(ast.get_docstring(node) or ""))),
        "code": source.computed(node, module) if law else "",
        "parameters": list(dict.fromkeys(reads)),
        "draws": list(dict.fromkeys(draw for part in inside for draw in source.mentioned(part, "Draw"))),
        "calls": list(dict.fromkeys(_shown(other) for other in called if _public(other))),
    }


def _shapes(modules: dict[str, Module]) -> list[str]:
    """The mathematical functions that rules use."""
    used = {dotted for name, module in modules.items() if name.startswith(RULES) for dotted in module.imported.values()}
    return [f"maths.{name}" for name in modules["maths"].functions if f"maths.{name}" in used]


def _treatment(module: Module) -> Row:
    """How drugs act: what the module says, and its laws."""
    laws = []
    for name in DRUG_LAWS:
        node = module.functions[name]
        told = source.explained(node)
        law = {"name": f"{DRUGS}.{name}", "sentence": told.sentence, "equations": list(told.equations), "explanation": list(told.rest)}
        laws.append(law | {"code": source.computed(node, module)})
    return {"meaning": module.meaning, "laws": laws}


def _class(name: str, module: Module) -> Row:
    meaning, found = source.members(module, name)
    return {"name": name, "meaning": meaning, "members": [member._asdict() for member in found]}


def _signals(modules: dict[str, Module]) -> list[Row]:
    """What is known about each signal: how far it reaches, who gives it off, takes it up, feels it and follows it."""
    rows = []
    users = {verb: _users(modules, names) for verb, names in {"secreted": GIVES, "taken": TAKES, "felt": FEELS}.items()}
    comments = {member.name.lower(): member.comment for member in source.members(modules["state"], "Signal")[1]}
    for name, transport in zip(SignalTransport._fields, Parameters().signal, strict=True):
        reach = math.sqrt(transport.diffusion / transport.decay_rate) if transport.decay_rate > 0.0 else None
        row: Row = {"name": name, "meaning": comments.get(name, ""), **transport._asdict(), "reach": reach}
        row |= {verb: sorted(found.get(name, ())) for verb, found in users.items()}
        rows.append({**row, "followed": sorted(_followers(modules["step"]).get(name, ()))})
    return rows


def _users(modules: dict[str, Module], names: tuple[str, ...]) -> dict[str, set[str]]:
    """By signal, who hands it to one of the functions of `fields` with these names."""
    found: dict[str, set[str]] = {}
    for module in modules.values():
        if module.name == PHYSICS:
            continue
        for function in module.functions:
            for called, call in source.calls(f"{module.name}.{function}", modules):
                if called in {f"{PHYSICS}.{name}" for name in names}:
                    for signal in source.mentioned(call, "Signal"):
                        shown = _shown(f"{module.name}.{function}").rpartition("secrete_as_")[2]
                        found.setdefault(signal.lower(), set()).add(shown)
    return found


def _followers(step: Module) -> dict[str, set[str]]:
    """By signal, the kinds of cell that a table in the schedule pairs with it."""
    found: dict[str, set[str]] = {}
    for statement in step.tree.body:
        for row in ast.walk(statement) if isinstance(statement, ast.Assign) else ():
            if isinstance(row, ast.Tuple) and (kinds := source.mentioned(row, "Kind")) and len(kinds) == 1:
                for signal in source.mentioned(row, "Signal"):
                    found.setdefault(signal.lower(), set()).update(kind.lower() for kind in kinds)
    return found


def _draws(modules: dict[str, Module]) -> list[Row]:
    """Every random decision and the functions that take it."""
    found: dict[str, list[str]] = {}
    for module in modules.values():
        for function, node in module.functions.items():
            for draw in source.mentioned(node, "Draw"):
                found.setdefault(draw, []).append(_shown(f"{module.name}.{function}"))
    decisions = source.members(modules["rng"], "Draw")[1]
    return [{**decision._asdict(), "taken_by": found.get(decision.name, [])} for decision in decisions]


def _parameters(records: dict[str, Any], every: dict[str, Parameter]) -> list[Row]:
    """The records of parameters with the numbers that stand in each."""
    groups = []
    for path, record in records.items():
        numbers = [every[inside] for name in record._fields if (inside := f"{path}.{name}".lstrip(".")) in every]
        rows = [
            {
                "path": number.path,
                "unit": number.quantity.unit,
                "value": number.default,
                "presets": {name: special[number.path].value for name, special in PRESETS.items() if number.path in special},
                "low": number.quantity.low,
                "high": number.quantity.high,
                "meaning": number.quantity.meaning,
                **_evidence(number.quantity.evidence),
            }
            for number in numbers
        ]
        if path:
            groups.append({"name": path, "meaning": type(record).__doc__ or "", "numbers": rows})
    return groups


def _evidence(evidence: Evidence) -> dict[str, str]:
    return {"evidence": evidence.name, "source": evidence.source}


def _preset(name: str) -> list[Row]:
    """The numbers that one kind of tissue sets, with the default of each."""
    every = declared(Parameters())
    return [
        {"path": path, "unit": every[path].quantity.unit, "default": every[path].default, "value": special.value}
        | _evidence(special.evidence)
        for path, special in PRESETS[name].items()
    ]


def _event(name: str) -> Row:
    """One event of the scenario language with its keys."""
    schema = EVENTS[name].model_json_schema()
    needed = schema.get("required", [])
    keys = [{"key": key, "needed": key in needed, "meaning": _said(about)} for key, about in schema["properties"].items() if key != "kind"]
    return {"name": name, "meaning": schema["description"], "keys": keys}


def _said(about: dict[str, Any]) -> str:
    """What a JSON Schema says about a key: its description and the words that are legal."""
    kinds = [about, *about.get("anyOf", [])]
    words = [str(word) for kind in kinds for word in kind.get("enum", [])]
    meaning = next((kind["description"] for kind in kinds if "description" in kind), "")
    return meaning + (f"; one of {', '.join(words)}" if words else "")


def _counts(told: Contents) -> dict[str, int]:
    numbers = [row for group in told["parameters"] for row in group["numbers"]]
    kinds = Counter(rule["kind"] for rule in told["rules"])
    evidence = Counter(row["evidence"] for row in numbers)
    return {
        "laws": kinds["law"],
        "kernels": kinds["kernel"],
        "other functions": kinds["function"],
        "parameters": len(numbers),
        **{name: evidence[name] for name in ("measured", "fitted", "assumed")},
        "signals": len(told["signals"]),
        "draws": len(told["draws"]),
        "outcomes": len(told["outcomes"]),
        "events": len(told["events"]),
        "sources": len(told["sources"]),
    }


def _demand_sources(told: Any, sources: dict[str, Source], where: str = "the model") -> None:
    """LookupError unless every source that a text of the contents cites is known."""
    if isinstance(told, str):
        demand(cited(told), sources, where)
    elif isinstance(told, dict):
        place = told.get("name") or told.get("path") or where
        if told.get("evidence") in (Measured.name, Fitted.name):
            demand([told["source"]], sources, place)
        for key, part in told.items():
            if key != "code":
                _demand_sources(part, sources, place)
    elif isinstance(told, list):
        for part in told:
            _demand_sources(part, sources, where)


def markdown(told: Contents) -> str:
    """The description as Markdown."""
    keys = {entry["key"] for entry in told["sources"]}
    parts = {
        "version": told["version"],
        "voxel": f"{VOXEL:g}",
        "signal_voxel": f"{SIGNAL_VOXEL:g}",
        "counts": table(("what", "how many"), [(COUNTED.get(name, name), str(n)) for name, n in told["counts"].items()], right=(1,)),
        "actors": _actors_list(told),
        "kinds": _kinds(told),
        "state": _state(told),
        "schedule": _schedule_table(told),
        "interventions": _interventions_table(told),
        "draws": table(
            ("number", "decision", "taken by"),
            [(row["value"], code(row["name"]), ", ".join(map(code, row["taken_by"])) or "nobody now") for row in told["draws"]],
            right=(0,),
        ),
        "functions": table(("function", "what it is"), [(code(row["name"]), _text(_whole(row))) for row in told["functions"]]),
        "physics": _paragraphs(told["physics"]),
        "treatment": _treatment_chapter(told),
        "signals": _signals_tables(told),
        "rules": _rules(told),
        "parameters": _parameters_tables(told, keys),
        "presets": _presets(told, keys),
        "outcomes": table(
            ("outcome", "unit", "meaning"), [(code(row["name"]), _text(row["unit"]), _text(row["meaning"])) for row in told["outcomes"]]
        ),
        "events": _events(told),
        "sources": _sources(told),
    }
    prose = (HERE / "describe.md").read_text(encoding="utf-8")
    demand(cited(prose), dict.fromkeys(keys), "describe.md")  # type: ignore[arg-type]
    return Template(CITATION.sub(_linked, prose)).substitute(parts)


def _actors_list(told: Contents) -> str:
    return "\n\n".join(f"**{actor['name'].replace('_', ' ')}**. {_paragraphs(actor['meaning'])}" for actor in told["actors"])


def _kinds(told: Contents) -> str:
    return "\n\n".join(
        f"{_text(group['meaning'])} (`{group['name']}`)\n\n"
        + table(
            ("number", "value", "remark"),
            [(row["value"], _words(row["name"]), _text(row["comment"])) for row in group["members"]],
            right=(0,),
        )
        for group in told["kinds"]
    )


def _state(told: Contents) -> str:
    return "\n\n".join(
        f"**{group['name']}**. {_text(group['meaning'])}\n\n"
        + table(("name", "type", "unit and remark"), [(code(row["name"]), row["value"], _text(row["comment"])) for row in group["members"]])
        for group in told["state"]
    )


def _schedule_table(told: Contents) -> str:
    phases = sorted(((place, phase) for phase in told["schedule"] for place in phase["places"]), key=lambda stands: stands[0])
    rows = [(str(place), code(phase["name"]), _text(phase["meaning"]), _links(_outermost(phase, told))) for place, phase in phases]
    return table(("", "phase", "what happens", "rules, in order"), rows, right=(0,))


def _outermost(group: Row, told: Contents) -> list[str]:
    """The rules of a group that no other rule of it calls."""
    called = {name for rule in told["rules"] if rule["name"] in group["rules"] for name in rule["calls"] if name != rule["name"]}
    return [name for name in group["rules"] if name not in called]


def _interventions_table(told: Contents) -> str:
    rows = [(code(row["name"]), _text(row["meaning"]), _links(_outermost(row, told))) for row in told["interventions"]]
    return table(("act", "what happens", "rules, in order"), rows)


def _signals_tables(told: Contents) -> str:
    numbers = table(
        ("signal", "diffusion [um2/h]", "decay [1/h]", "bound over free", "uptake per cell [um3/h]", "reach [um]"),
        [
            (
                code(row["name"]),
                *(number(row[name]) for name in ("diffusion", "decay_rate", "bound_ratio", "uptake_volume")),
                "no limit" if row["reach"] is None else f"{row['reach']:.0f}",
            )
            for row in told["signals"]
        ],
        right=(1, 2, 3, 4, 5),
    )
    who = table(
        ("signal", "given off by", "taken up by", "felt in", "followed by"),
        [
            (code(row["name"]), *(", ".join(map(_words, row[verb])) for verb in ("secreted", "taken")), _felt(row["felt"], told))
            + (", ".join(map(_words, row["followed"])),)
            for row in told["signals"]
        ],
    )
    return numbers + "\n\n" + who


def _felt(names: list[str], told: Contents) -> str:
    rules = {rule["name"] for rule in told["rules"]}
    return ", ".join(_link(name) if name in rules else code(name) for name in names)


def _rules(told: Contents) -> str:
    """Each rule under the phase in which it first runs."""
    by_name = {rule["name"]: rule for rule in told["rules"]}
    parts = []
    groups = [*told["schedule"], *told["interventions"]]
    groups.append({"name": "elsewhere", "meaning": "Rules that no step and no intervention calls by name.", "explained": told["elsewhere"]})
    for group in groups:
        if group["explained"]:
            parts.append(f"### {_words(group['name'].replace('.', ': ')).capitalize()}\n\n{_text(group['meaning'])}")
            parts += [_one_rule(by_name[name]) for name in group["explained"]]
    return "\n\n".join(parts)


def _treatment_chapter(told: Contents) -> str:
    laws = [{**law, "kind": "law", "cites": [], "calls": [], "parameters": [], "draws": []} for law in told["treatment"]["laws"]]
    return "\n\n".join([_paragraphs(told["treatment"]["meaning"]), *map(_one_rule, laws)])


def _one_rule(rule: Row) -> str:
    lines = [f"#### {rule['name']}", f"*{rule['kind'].capitalize()}.* {_text(rule['sentence'])}"]
    lines += ["```text\n" + "\n".join(rule["equations"]) + "\n```"] if rule["equations"] else []
    lines += [_text(paragraph[:1].upper() + paragraph[1:] if paragraph[1:2].islower() else paragraph) for paragraph in rule["explanation"]]
    lines += ["As computed:\n\n```python\n" + rule["code"] + "\n```"] if rule["code"] else []
    facts = [
        ("Sources", ", ".join(f"[{key}](#{key})" for key in rule["cites"])),
        ("Calls", _links(rule["calls"])),
        ("Parameters", ", ".join(map(code, _gathered(rule["parameters"])))),
        ("Random decisions", ", ".join(map(code, rule["draws"]))),
    ]
    told = [f"- {name}: {text}" for name, text in facts if text]
    return "\n\n".join([*lines, *(["\n".join(told)] if told else [])])


def _gathered(paths: list[str]) -> list[str]:
    """Paths, those of brothers as one: `motion.cd4.speed` and `motion.monocyte.speed` as `motion.*.speed`."""
    families: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        parts = path.split(".")
        families.setdefault((".".join(parts[:-2]), parts[-1]), []).append(path)
    return [
        name
        for (above, last), family in families.items()
        for name in ([f"{above}.*.{last}"] if above and len({path.split(".")[-2] for path in family}) > 1 else family)
    ]


def _parameters_tables(told: Contents, keys: set[str]) -> str:
    special = [name for name, rows in told["presets"].items() if rows]
    parts = []
    for group in told["parameters"]:
        parts.append(f"{'###' if '.' not in group['name'] else '####'} Parameters: {group['name']}\n\n{_text(group['meaning'])}")
        rows = [
            (
                code(row["path"]),
                _unit(row["unit"]),
                number(row["value"]),
                *(number(row["presets"][name]) if name in row["presets"] else "" for name in special),
                f"{number(row['low'])} to {number(row['high'])}",
                _text(row["meaning"]),
                row["evidence"],
                _source(row["source"], keys),
            )
            for row in group["numbers"]
        ]
        if rows:
            header = ("parameter", "unit", "value", *special, "legal range", "meaning", "evidence", "source or reason")
            parts.append(table(header, rows, right=tuple(range(2, 3 + len(special)))))
    return "\n\n".join(parts)


def _presets(told: Contents, keys: set[str]) -> str:
    parts = []
    for name, rows in told["presets"].items():
        if not rows:
            parts.append(f"**{name}**: the values above.")
            continue
        values = table(
            ("number", "unit", "otherwise", name, "evidence", "source or reason"),
            [
                (
                    row["path"].replace(".", " · "),
                    _unit(row["unit"]),
                    number(row["default"]),
                    number(row["value"]),
                    row["evidence"],
                    _source(row["source"], keys),
                )
                for row in rows
            ],
            right=(2, 3),
        )
        parts.append(f"**{name}**:\n\n{values}")
    return "\n\n".join(parts)


def _events(told: Contents) -> str:
    rows = []
    for event in told["events"]:
        keys = "; ".join(f"`{key['key']}`{'' if key['needed'] else ' (optional)'}: {_text(key['meaning'])}" for key in event["keys"])
        rows.append((code(event["name"]), _text(event["meaning"]), keys))
    return table(("event", "what happens", "keys"), rows)


def _sources(told: Contents) -> str:
    parts = []
    for entry in told["sources"]:
        volume = entry.get("volume", "") + (f"({entry['number']})" if "number" in entry else "")
        where = " ".join(part for part in (entry.get("journal") or entry.get("booktitle") or entry.get("howpublished", ""), volume) if part)
        where += f", {entry['pages']}" if "pages" in entry else ""
        named = f"{_text(entry['authors'])} ({entry.get('year', 'no year')})".strip()
        doi = f" <https://doi.org/{entry['doi']}>" if "doi" in entry else ""
        note = f"\n\n{_text(entry['note'])}" if "note" in entry else ""
        parts.append(f"#### {entry['key']}\n\n{named}. {_text(entry['title'])}. {_text(where)}{'.' if where else ''}{doi}{note}")
    return "\n\n".join(parts)


def _whole(rule: Row) -> str:
    """The sentence of a rule with its equations and all else that it says."""
    return " ".join([rule["sentence"], *(f"`{equation}`" for equation in rule["equations"]), *rule["explanation"]])


def _source(text: str, keys: set[str]) -> str:
    return f"[{text}](#{text})" if text in keys else _text(text)


def _unit(unit: str) -> str:
    return "–" if unit == "1" else _text(unit)


def _words(name: str) -> str:
    return name.lower().replace("_", " ")


def _link(name: str) -> str:
    return f"[{name}](#{_anchor(name)})"


def _links(names: Iterable[str]) -> str:
    return ", ".join(map(_link, names))


def _linked(citation: re.Match[str]) -> str:
    return "(" + ", ".join(f"[{key}](#{key})" for key in citation[1].split(", ")) + ")"


def _anchor(heading: str) -> str:
    """The name that a heading has as the aim of a link: small letters, no punctuation, hyphens for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _text(text: str) -> str:
    """Plain text as Markdown: its sources become links, its marks are only marks, what stands between backticks is code."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(part if part.startswith("`") and len(part) > 1 else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    pieces, at = [], 0
    for citation in CITATION.finditer(text):
        pieces += [escaped(text[at : citation.start()]), _linked(citation)]
        at = citation.end()
    return "".join([*pieces, escaped(text[at:])])


def _paragraphs(docstring: str) -> str:
    """A docstring as Markdown; what is indented in it is code."""
    return "\n\n".join(
        f"```text\n{textwrap.dedent(block).strip()}\n```" if block.startswith("    ") else _text(block)
        for block in re.split(r"\n\s*\n", docstring)
    )


def page(told: Contents) -> str:
    """The description as one HTML page that needs nothing else."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(markdown(told))
    chapters = []
    taken: Counter[str] = Counter()
    for token, inside in pairwise(tokens):
        if token.type == "heading_open":
            anchor = _anchor(inside.content)
            taken[anchor] += 1
            token.attrs["id"] = anchor if taken[anchor] == 1 else f"{anchor}-{taken[anchor] - 1}"
            chapters.append((int(token.tag[1]), inside.content, str(token.attrs["id"])))
    body = reader.renderer.render(tokens, reader.options, {})
    body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    links = [
        f'<li class="h{level}"><a href="#{anchor}">{html.escape(name)}</a></li>' for level, name, anchor in chapters if level in (2, 3)
    ]
    frame = Template((HERE / "describe.html").read_text(encoding="utf-8"))
    return frame.substitute(title=html.escape(chapters[0][1]), links="\n".join(links), body=body)
