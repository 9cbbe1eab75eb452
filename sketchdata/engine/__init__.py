"""Run a stage over tasks: skip what is done, retry what failed, report, and let an engine do the mapping.

An engine is a function `(stage, tasks, options) → outcomes as they complete`. A stage never knows which one runs it,
and every engine gives the same bytes.
"""

from __future__ import annotations

from sketchdata.engine.run import run, run_final
from sketchdata.engine.task import EngineOptions, Stage, Task, TaskResult

__all__ = ["EngineOptions", "Stage", "Task", "TaskResult", "run", "run_final"]
