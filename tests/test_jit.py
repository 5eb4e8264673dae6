"""The cache of compiled kernels: when it is kept, when it is not, and that it can be lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from numba.core import config

from imam_sim.model import jit


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A little tree of kernel sources."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "laws.py").write_text("half = 0.5\n")
    (tmp_path / "rules" / "fibre.py").write_text("rate = 1.0\n")
    return tmp_path


def test_the_same_sources_have_the_same_fingerprint(sources: Path) -> None:
    assert jit.fingerprint(sources) == jit.fingerprint(sources)


@pytest.mark.parametrize("path", ["laws.py", "rules/fibre.py"])
def test_a_changed_source_changes_the_fingerprint(sources: Path, path: str) -> None:
    before = jit.fingerprint(sources)
    (sources / path).write_text("half = 0.6\n")
    assert jit.fingerprint(sources) != before


def test_a_new_source_changes_the_fingerprint(sources: Path) -> None:
    before = jit.fingerprint(sources)
    (sources / "space.py").write_text("")
    assert jit.fingerprint(sources) != before


def test_a_moved_source_changes_the_fingerprint(sources: Path) -> None:
    before = jit.fingerprint(sources)
    (sources / "laws.py").rename(sources / "rules" / "laws.py")
    assert jit.fingerprint(sources) != before


def test_another_numba_changes_the_fingerprint(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = jit.fingerprint(sources)
    monkeypatch.setattr(numba, "__version__", "0.0")
    assert jit.fingerprint(sources) != before


def test_a_file_that_is_no_source_leaves_the_fingerprint(sources: Path) -> None:
    before = jit.fingerprint(sources)
    (sources / "notes.txt").write_text("nothing")
    assert jit.fingerprint(sources) == before


def test_the_cache_folder_is_named_by_the_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAM_CACHE_DIR", str(tmp_path))
    assert jit.cache_folder() == tmp_path / "kernels" / jit.fingerprint()


def test_where_nothing_can_be_written_there_is_no_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IMAM_CACHE_DIR", str(tmp_path / "file"))
    assert jit.cache_folder() is None


def run(cache: Path) -> subprocess.CompletedProcess[str]:
    """Compile and call one law in a process of its own, and say whether its cache was warm before."""
    code = "from imam_sim.model import jit, maths; print(jit.warm(), maths.chance(1e6, 1.0))"
    environment = {**os.environ, "IMAM_CACHE_DIR": str(cache)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120)


def test_kernels_work_without_a_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file").stdout.split() == ["False", "1.0"]


def test_a_second_start_finds_the_kernels_of_the_first(tmp_path: Path) -> None:
    assert [run(tmp_path).stdout.split()[0] for _ in range(2)] == ["False", "True"]


def test_a_forgotten_cache_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "CACHE", tmp_path / "kernels")
    (tmp_path / "kernels" / "maths").mkdir(parents=True)
    (tmp_path / "kernels" / "maths" / "exp.nbc").write_bytes(b"")
    assert jit.warm()
    jit.forget()
    assert not jit.warm()


def test_compiling_leaves_the_cache_setting_of_numba_alone() -> None:
    before = config.CACHE_DIR  # type: ignore[attr-defined]

    @jit.jit
    def twice(x: float) -> float:
        return 2.0 * x

    assert twice(1.5) == 3.0
    after = config.CACHE_DIR  # type: ignore[attr-defined]
    assert after == before


def test_kernels_of_another_cache_are_taken_over_where_ours_lacks_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    for folder, names in ((ours, ("fields.read-1",)), (other, ("fields.read-1", "space.tally-2"))):
        (folder / "model").mkdir(parents=True)
        for name in names:
            (folder / "model" / f"{name}.py311.nbi").write_text(folder.name)
            (folder / "model" / f"{name}.py311.1.nbc").write_text(folder.name)
    monkeypatch.setattr(jit, "CACHE", ours)
    jit.adopt(other)
    assert {file.name: file.read_text() for file in (ours / "model").iterdir()} == {
        "fields.read-1.py311.nbi": "ours",
        "fields.read-1.py311.1.nbc": "ours",
        "space.tally-2.py311.nbi": "other",
        "space.tally-2.py311.1.nbc": "other",
    }
