"""Running a stage over tasks: finished tasks are skipped, failed ones retried, and an engine maps the stage.

An engine is a function `(stage, tasks, options) → outcomes as they complete`. Stages do not depend on the engine, and
all engines give the same bytes.
"""

from __future__ import annotations

from sketchdata.engine.run import run, run_final
from sketchdata.engine.task import EngineOptions, Stage, Task, TaskResult

__all__ = ["EngineOptions", "Stage", "Task", "TaskResult", "run", "run_final"]
