"""A run folder: what is written while a scenario runs, how a cut run goes on, and how it is read.

    run.json            the only place that says what counts: seed, versions, how far the run is, the checksum of every other file
    scenario.toml       the resolved scenario
    outcomes.csv        one line per recorded time
    outcomes.json       unit and meaning of each column
    sections/NNNNNN.npz the whole tissue at step NNNNNN
    checkpoint-N.npz    the tissue at step N, from which the run goes on

`run.json` is replaced in one go after everything that it speaks of is on the disk. What it does not speak of (lines after the last
checkpoint, half a line, a section) does not count, and is made again when the run goes on. Nothing is written outside the folder.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import hashlib
import io
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from imam_sim.model.observe import NAMES, OUTCOMES
from imam_sim.model.state import Floats, Tissue, arrays, from_arrays
from imam_sim.study.scenario import Scenario, resolved
from imam_sim.study.scenario_file import loads

if TYPE_CHECKING:
    from imam_sim.study.simulate import Simulation  # imports numba, which who only reads can do without

RECORD = "run.json"
SCENARIO = "scenario.toml"
TABLE = "outcomes.csv"
UNITS = "outcomes.json"
LOCK = ".lock"
SECTIONS = "sections"
PICTURES = "pictures"  # drawn from the rest, so without checksum
UNFINISHED = ".tmp"  # ending of a file that is being written
FORMAT = "imam-sim run 1"
SECONDS_BETWEEN_CHECKPOINTS = 10.0
PACKAGES = ("numba", "numpy", "scipy")
MEND = "put a copy of it back, or remove this run folder and run again"
EMPTY = ("fields.secreted", "fields.taken")  # zero between steps, so not stored


class StoreDamaged(Exception):
    """A file of a run folder that is missing, cut or changed, or a folder that is no run folder; the message names it."""


class StoreInUse(Exception):
    """A run folder in which another process works."""


class StoreRefused(Exception):
    """A run folder that holds something else than what is to be run."""


class Outcome(NamedTuple):
    """How a run ended: `steps` were made by this call, 0 where it had been finished before."""

    folder: Path
    finished: bool
    hours: float
    steps: int


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError from inside names this path, if it names none."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def write_whole(path: Path, content: bytes) -> str:
    """Write a file so that after a cut there is the old one or the new one; its checksum. OSError, with the path, where that fails."""
    unfinished = path.with_name(path.name + UNFINISHED)
    with naming(path):
        try:
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    return checksum(content)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checksum(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def model_digest() -> str:
    """Sixteen hexadecimal digits that change with any source of the model."""
    digest = hashlib.sha256()
    model = Path(__file__).parents[1] / "model"
    for source in [*sorted(model.rglob("*.py")), Path(__file__).with_name("simulate.py")]:
        digest.update(source.name.encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def provenance(seed: int, scenario: Scenario) -> dict[str, Any]:
    """What somebody else would need to make the same run, and when and where it was made."""
    text = json.dumps(scenario.parameters, sort_keys=True)
    return {
        "versions": {"imam-sim": version("imam-sim"), "python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "seed": seed,
        "parameters": checksum(text.encode()),
        "commit": _commit(),
        "host": platform.node(),
        "machine": f"{platform.system()} {platform.machine()}",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
    }


def _commit() -> str | None:
    """The commit of the checkout that this package is run from, None outside one."""
    checkout = Path(__file__).parents[3]
    if not (checkout / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        said = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() or None


def packed(tissue: Tissue) -> bytes:
    """A tissue as a compressed npz file, the same bytes each time."""
    named = arrays(tissue)
    assert not any(named[name].any() for name in EMPTY), "a tissue is stored between steps only"
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **{name: array for name, array in named.items() if name not in EMPTY})
    return file.getvalue()


def unpacked(content: bytes) -> Tissue:
    """The inverse of `packed`."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        named = {name: file[name] for name in file.files}
    for name in EMPTY:
        named[name] = np.zeros(named["fields.level"].shape, np.int64)
    return from_arrays(named)


def digest(tissue: Tissue) -> str:
    """A checksum of all arrays of a tissue, the same on every machine."""
    total = hashlib.sha256()
    for name, array in sorted(arrays(tissue).items()):
        kind = array.dtype.newbyteorder("<")
        total.update(f"{name} {kind.str} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array, kind).tobytes())
    return total.hexdigest()


def lock(folder: Path) -> BinaryIO:
    """Take a folder: nobody else can until what is returned is closed. StoreInUse; OSError."""
    with naming(folder):
        held: BinaryIO = (folder / LOCK).open("ab")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        if isinstance(error, BlockingIOError):
            raise StoreInUse(f"{folder}: another process is working in this folder") from None
        error.filename = str(folder / LOCK)
        raise
    return held


class RunFolder:
    """A run folder opened for writing; nobody else can open it so until `close`."""

    def __init__(self, path: Path | str) -> None:
        """Take the folder, made if it is not there. StoreInUse, StoreDamaged for a folder of something else, OSError."""
        self.path = Path(path)
        with naming(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            if not (self.path / RECORD).is_file():
                _refuse_foreign(self.path)
        self._lock = lock(self.path)
        self._table: BinaryIO | None = None
        self.record: dict[str, Any] | None = None
        try:
            if (self.path / RECORD).is_file():
                self.record = read_record(self.path)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others in. What was not committed does not count."""
        if self._table is not None:
            with contextlib.suppress(OSError):
                self._table.close()
        self._lock.close()

    def begin(self, scenario: Scenario, seed: int) -> None:
        """Set up the folder for a run. OSError."""
        with naming(self.path):
            (self.path / SECTIONS).mkdir(exist_ok=True)
        self._drop_uncounted({})
        columns = [outcome._asdict() for outcome in OUTCOMES]
        units = json.dumps([{"name": "hours", "unit": "h", "meaning": "time since the start"}, *columns], indent=1)
        files = {
            SCENARIO: write_whole(self.path / SCENARIO, resolved(scenario).encode()),
            UNITS: write_whole(self.path / UNITS, (units + "\n").encode()),
        }
        header = ",".join(("hours", *NAMES)) + "\n"
        write_whole(self.path / TABLE, header.encode())
        self.record = {
            "format": FORMAT,
            "seed": seed,
            "model": model_digest(),
            "title": scenario.title,
            "finished": False,
            "step": 0,
            "hours": 0.0,
            "checkpoint": None,
            "rows": 0,
            "table": {"bytes": len(header), "sha256": checksum(header.encode())},
            "files": files,
            "provenance": [provenance(seed, scenario)],
        }
        self._open_table()
        self._write_record()

    def resume(self) -> Simulation:
        """The simulation at the last checkpoint; all that was written after it is dropped. StoreDamaged, OSError."""
        from imam_sim.study.simulate import Simulation

        record = self._taken()
        scenario = read_scenario(self.path)
        for name in record["files"]:
            read_checked(self.path, record, name)
        _counted_table(self.path, record)
        if record["checkpoint"] is None:
            simulation = Simulation.start(scenario, record["seed"])
        else:
            tissue = unpacked(read_checked(self.path, record, record["checkpoint"]))
            simulation = Simulation(scenario, record["seed"], tissue, record["step"])
        record["provenance"].append(provenance(record["seed"], scenario))
        self._forget_from(simulation.step)
        self._write_record()
        self._drop_uncounted(record["files"])
        self._open_table()
        return simulation

    def add(self, simulation: Simulation) -> None:
        """Write what is due now: a line of outcomes, a section. It counts from the next `commit` on. OSError."""
        record = self._taken()
        assert self._table is not None
        if simulation.outcomes_due:
            line = ",".join(repr(float(value)) for value in (simulation.hours, *simulation.measure())) + "\n"
            with naming(self.path / TABLE):
                self._table.write(line.encode())
                self._table.flush()
            self._digest.update(line.encode())
            record["table"] = {"bytes": record["table"]["bytes"] + len(line), "sha256": self._digest.hexdigest()}
            record["rows"] += 1
        if simulation.section_due:
            name = f"{SECTIONS}/{simulation.step:06d}.npz"
            record["files"][name] = write_whole(self.path / name, packed(simulation.tissue))

    def commit(self, simulation: Simulation) -> None:
        """Make all that was added count, with a checkpoint from which the run goes on. OSError."""
        record = self._taken()
        self._sync_table()
        old, name = record["checkpoint"], f"checkpoint-{simulation.step}.npz"
        sums = {name: write_whole(self.path / name, packed(simulation.tissue))}
        if old != name:
            record["files"].pop(old, None)
        record["files"] |= sums
        record |= {"checkpoint": name, "step": simulation.step, "hours": simulation.hours, "finished": simulation.done}
        self._write_record()
        if old and old != name:
            with naming(self.path / old):
                (self.path / old).unlink(missing_ok=True)

    def commit_without_checkpoint(self) -> None:
        """Make all that was added count, for readers; the run goes on from the checkpoint before. OSError."""
        self._sync_table()
        self._write_record()

    def _sync_table(self) -> None:
        assert self._table is not None
        with naming(self.path / TABLE):
            os.fsync(self._table.fileno())

    def _taken(self) -> dict[str, Any]:
        assert self.record is not None, "begin or find a run first"
        return self.record

    def _write_record(self) -> None:
        write_whole(self.path / RECORD, sealed(self._taken()))

    def _open_table(self) -> None:
        """Open the table behind the last line that counts; what follows is cut off."""
        table, length = self.path / TABLE, self._taken()["table"]["bytes"]
        with naming(table):
            self._table = table.open("r+b")
            self._digest = hashlib.sha256(self._table.read(length))
            self._table.truncate(length)
            self._table.seek(length)

    def _forget_from(self, step: int) -> None:
        """Take lines and sections at and after a step out of the record: they are recorded anew from there."""
        record = self._taken()
        per_hour = round(1.0 / read_scenario(self.path).step)
        lines = _counted_table(self.path, record).decode().splitlines(keepends=True)
        kept = [lines[0], *(line for line in lines[1:] if round(float(line.partition(",")[0]) * per_hour) < step)]
        text = "".join(kept).encode()
        record["table"] = {"bytes": len(text), "sha256": checksum(text)}
        record["rows"] = len(kept) - 1
        for name in [name for name in record["files"] if name.startswith(SECTIONS) and int(Path(name).stem) >= step]:
            del record["files"][name]

    def _drop_uncounted(self, counted: dict[str, str]) -> None:
        """Remove files of ours that the record does not speak of: left over from a cut."""
        for pattern in ("*" + UNFINISHED, "checkpoint-*.npz", f"{SECTIONS}/*{UNFINISHED}", f"{SECTIONS}/*.npz"):
            for path in self.path.glob(pattern):
                if path.relative_to(self.path).as_posix() not in counted:
                    with naming(path):
                        path.unlink(missing_ok=True)


def _refuse_foreign(folder: Path) -> None:
    """StoreDamaged where a folder without a record holds anything but what a run that was cut in its first moments leaves behind."""
    names = sorted(os.listdir(folder))
    ours = {LOCK, SCENARIO, UNITS, TABLE, SECTIONS, PICTURES} if LOCK in names else set()
    foreign = [name for name in names if name not in ours and not (ours and name.endswith(UNFINISHED))]
    if foreign:
        raise StoreDamaged(f"{folder}: is no run folder: {RECORD} is missing and {foreign[0]} is there; choose another --out")


def sealed(record: dict[str, Any]) -> bytes:
    """A record as text with its own checksum."""
    body = {name: value for name, value in record.items() if name != "sha256"}
    return (json.dumps(body | {"sha256": _seal(body)}, indent=1) + "\n").encode()


def _seal(body: dict[str, Any]) -> str:
    return checksum(json.dumps(body, sort_keys=True).encode())


def read_record(folder: Path | str) -> dict[str, Any]:
    """The record of a run folder. StoreDamaged, also for a folder that is none; OSError where it cannot be read."""
    path = Path(folder) / RECORD
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise StoreDamaged(f"{folder}: is no run folder: {RECORD} is missing; name a folder that `imam-sim run` made") from None
    try:
        record = json.loads(content)
        told = record.pop("sha256")
        form = record["format"]
    except (ValueError, AttributeError, KeyError, TypeError):
        raise StoreDamaged(f"{path}: is damaged or no record of a run; {MEND}") from None
    if told != _seal(record):
        raise StoreDamaged(f"{path}: is damaged: its checksum differs; {MEND}")
    if form != FORMAT:
        raise StoreDamaged(f"{path}: got format {form!r}, this version reads {FORMAT!r}")
    return dict(record)


def read_checked(folder: Path | str, record: dict[str, Any], name: str) -> bytes:
    """A file of a run folder. StoreDamaged where it is missing or not as the record says."""
    path = Path(folder) / name
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise StoreDamaged(f"{path}: is missing; {MEND}") from None
    if checksum(content) != record["files"].get(name):
        raise StoreDamaged(f"{path}: is damaged: its checksum differs; {MEND}")
    return content


def _counted_table(folder: Path | str, record: dict[str, Any]) -> bytes:
    """The lines of outcomes that count. StoreDamaged as in `read_checked`."""
    path, length = Path(folder) / TABLE, record["table"]["bytes"]
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise StoreDamaged(f"{path}: is missing; {MEND}") from None
    counted = content if record["finished"] else content[:length]
    if checksum(counted) != record["table"]["sha256"]:
        raise StoreDamaged(f"{path}: is damaged: its checksum differs; {MEND}")
    return counted


def _readable(folder: Path | str) -> tuple[dict[str, Any], Callable[[str], bytes]]:
    record = read_record(folder)
    return record, lambda name: read_checked(folder, record, name)


def read_scenario(folder: Path | str) -> Scenario:
    """The resolved scenario of a run. StoreDamaged, OSError."""
    _, read = _readable(folder)
    return loads(read(SCENARIO).decode(), str(Path(folder) / SCENARIO))


def read_outcomes(folder: Path | str) -> tuple[Floats, dict[str, Floats]]:
    """Times [h] and outcomes by name, up to the last checkpoint of a run that is not finished. StoreDamaged, OSError."""
    return _table(_counted_table(folder, read_record(folder)))


def _table(content: bytes) -> tuple[Floats, dict[str, Floats]]:
    header, *lines = csv.reader(io.StringIO(content.decode()))
    numbers = np.array(lines, np.float64).reshape(len(lines), len(header))
    columns = {name: numbers[:, i].copy() for i, name in enumerate(header)}
    return columns.pop("hours"), columns


def read_sections(folder: Path | str) -> list[tuple[float, Tissue]]:
    """Time [h] and tissue of every stored section, in order of time. StoreDamaged, OSError."""
    record, read = _readable(folder)
    per_hour = round(1.0 / read_scenario(folder).step)
    return [(step / per_hour, unpacked(read(name))) for step, name in _section_names(record)]


def _section_names(record: dict[str, Any]) -> list[tuple[int, str]]:
    return sorted((int(Path(name).stem), name) for name in record["files"] if name.startswith(f"{SECTIONS}/"))


def verify(folder: Path | str) -> list[str]:
    """What is wrong with a run folder, one line per file; empty where all is as it was written. StoreDamaged where it is no run folder."""
    record = read_record(folder)
    wrong = []
    for name in sorted(record["files"]):
        try:
            read_checked(folder, record, name)
        except StoreDamaged as error:
            wrong.append(str(error))
    try:
        _counted_table(folder, record)
    except StoreDamaged as error:
        wrong.append(str(error))
    return wrong


def summary(folder: Path | str) -> dict[str, Any]:
    """All of a run for machines: scenario, seed, version, how far it is, outcomes with units, a digest of each section."""
    record = read_record(folder)
    times, outcomes = read_outcomes(folder)
    units = {outcome.name: outcome.unit for outcome in OUTCOMES}
    return {
        "version": record["provenance"][0]["versions"]["imam-sim"],
        "seed": record["seed"],
        "scenario": resolved(read_scenario(folder)),
        "finished": record["finished"],
        "hours": record["hours"],
        "times": times.tolist(),
        "outcomes": {name: {"unit": units.get(name, ""), "values": outcomes[name].tolist()} for name in sorted(outcomes)},
        "sections": [{"hours": hours, "sha256": digest(tissue)} for hours, tissue in read_sections(folder)],
    }


def export(folder: Path | str) -> str:
    """A run as canonical text: two runs with the same results give the same bytes, wherever, whenever and however often they were cut."""
    told = summary(folder)
    state = "finished" if told["finished"] else f"cut at {told['hours']!r} h"
    lines = [
        f"imam-sim {told['version']}",
        f"seed {told['seed']}",
        state,
        "",
        "# scenario",
        told["scenario"].rstrip("\n"),
        "",
        "# outcomes",
    ]
    lines.append(" ".join(("hours", *(f"{name}[{told['outcomes'][name]['unit']}]" for name in told["outcomes"]))))
    columns = [told["times"], *(outcome["values"] for outcome in told["outcomes"].values())]
    lines += [" ".join(repr(value) for value in row) for row in zip(*columns, strict=True)]
    lines += ["", "# sections", *(f"{section['hours']!r} {section['sha256']}" for section in told["sections"])]
    return "\n".join(lines) + "\n"


def run_in_folder(
    folder: Path | str,
    scenario: Scenario | None,
    seed: int = 1,
    *,
    prepare: Callable[[], None] | None = None,
    started: Callable[[Simulation], None] | None = None,
    progress: Callable[[Simulation], None] | None = None,
    stop: Callable[[], bool] | None = None,
    seconds_between_checkpoints: float = SECONDS_BETWEEN_CHECKPOINTS,
) -> Outcome:
    """Run a scenario in a folder, or go on with what was cut there; without a scenario only go on.

    `prepare` is called once the folder is taken and there is something to run, before kernels are compiled or loaded, `started` once the
    simulation stands, `progress` after each step; `stop` is asked before each step, and a stopped run keeps all it made. A run that is
    already there and finished is verified and left as it is.

    StoreRefused where the folder holds another run; ScenarioError, StoreDamaged, StoreInUse, OSError; and
    FloatingPointError as in `Simulation.advance`, after which all up to then is kept.
    """
    from imam_sim.study import simulate

    if scenario is None:
        read_record(folder)
    else:
        scenario = loads(resolved(scenario))  # what will be read again, and checked as a file is
    with RunFolder(folder) as run:
        if run.record is not None:
            _refuse_other(run, scenario, seed)
            if run.record["finished"]:
                if wrong := verify(run.path):
                    raise StoreDamaged("\n".join(wrong))
                return Outcome(run.path, True, run.record["hours"], 0)
        if prepare:
            prepare()
        simulate.prepare_kernels()
        if run.record is not None:
            simulation = run.resume()
        else:
            assert scenario is not None
            simulation = simulate.Simulation.start(scenario, seed)
            run.begin(scenario, seed)
        if started:
            started(simulation)
        first, committed = simulation.step, time.monotonic()

        def after_step(now: Simulation) -> None:
            nonlocal committed
            if time.monotonic() - committed >= seconds_between_checkpoints and not now.done:
                run.commit(now)
                committed = time.monotonic()
            if progress:
                progress(now)

        try:
            simulate.follow(simulation, run.add, progress=after_step, stop=stop)
        except FloatingPointError:
            run.commit_without_checkpoint()
            raise
        run.commit(simulation)
        return Outcome(run.path, simulation.done, simulation.hours, simulation.step - first)


def _refuse_other(run: RunFolder, scenario: Scenario | None, seed: int) -> None:
    """StoreRefused where the run in a folder is not the one that is asked for, or was made by another model."""
    assert run.record is not None
    differs = []
    if scenario is not None:
        if resolved(read_scenario(run.path)) != resolved(scenario):
            differs.append("another scenario")
        if run.record["seed"] != seed:
            differs.append(f"another seed, {run.record['seed']}")
    if run.record["model"] != model_digest() and not (scenario is None and run.record["finished"]):
        made = run.record["provenance"][0]["versions"]["imam-sim"]
        differs.append(f"another version of the model (imam-sim {made}), whose numbers may differ")
    if differs:
        raise StoreRefused(f"{run.path}: holds a run of {' and '.join(differs)}; choose another --out, or remove that folder")
