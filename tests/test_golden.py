"""Short courses whose every bit is kept: whatever changes numbers shows here, wanted or not.

After a wanted change run `IMAM_WRITE_GOLDEN=1 pytest tests/test_golden.py`, commit golden.json and mark **numbers change** in CHANGELOG.md.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from imam_sim.model.state import arrays
from imam_sim.study.scenario_file import load
from imam_sim.study.simulate import simulate

GOLDEN = Path(__file__).parent / "golden.json"
SMALL = ("tissue.width=300 um", "tissue.height=300 um", "duration=36 h", "record.every=12 h")


def digests(name: str) -> dict[str, str]:
    """SHA-256 of each outcome and each array at the end of the first 36 h of a small section, sixteen digits."""
    result = simulate(load(name, SMALL), seed=1)
    columns: dict[str, np.ndarray] = {**result.outcomes, **arrays(result.tissue)}
    return {key: hashlib.sha256(np.ascontiguousarray(column).tobytes()).hexdigest()[:16] for key, column in sorted(columns.items())}


@pytest.mark.parametrize("name", ["acute_injury", "imam_untreated"])
def test_no_bit_of_a_shipped_scenario_changes_unnoticed(name: str) -> None:
    got = digests(name)
    golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    if os.environ.get("IMAM_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps({**golden, name: got}, indent=1) + "\n", encoding="utf-8")
        return
    assert {key: digest for key, digest in got.items() if golden[name].get(key) != digest} == {}
