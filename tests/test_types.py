"""mypy sees through every call: from a command into a recipe, and from a trainer into the training library."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Wrong calls, and what mypy must say of each line.
SNIPPET = """\
from sketchdata.pipelines import quickdraw
from sketchdata.trainers import zsl
from sketchdata.training.experiment import Experiment
from sketchdata.training.loop import fit

zsl.run("nonsense", 42, bogus=None)
quickdraw.run("nonsense", engine=42)
fit("a stage", 42, "options")
Experiment.view(42, learning="much")
"""
EXPECTED = {6: {"call-arg", "arg-type"}, 7: {"arg-type"}, 8: {"arg-type"}, 9: {"arg-type"}}


@pytest.mark.slow
def test_mypy_reports_wrong_calls_into_pipelines_trainers_and_the_training_library(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(snippet)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    found: dict[int, set[str]] = {}
    for line, code in re.findall(r"snippet\.py:(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE):
        found.setdefault(int(line), set()).add(code)
    assert found == EXPECTED, done.stdout + done.stderr
