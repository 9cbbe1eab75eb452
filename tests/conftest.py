"""What all tests have in common."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A shell starts what stands before `&`, and nohup, with Ctrl-C ignored, which all processes of the tests would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests run side by side, one on each core; torch, OpenBLAS and the processes that tests start read this.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says how busy the machine is, and no more. The same code gets the same examples, so that a
# test fails for what was changed; `pytest --hypothesis-profile random` looks for new ones.
settings.register_profile("random", deadline=None)
settings.register_profile("sketchdata", deadline=None, derandomize=True)
settings.load_profile("sketchdata")


@pytest.fixture
def load_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`datasets.load_dataset` without network access, with a temporary cache."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    return lambda *arguments, **options: datasets.load_dataset(*arguments, cache_dir=str(tmp_path / "cache"), **options)
