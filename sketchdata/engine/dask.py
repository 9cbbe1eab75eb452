"""Tasks on a Dask cluster, from one machine to a SLURM or PBS queue through dask-jobqueue."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from sketchdata.engine.options import EngineOptions
from sketchdata.engine.task import Outcome, Stage, Task, execute, stage_name
from sketchdata.errors import ConfigError

_CONNECT_SECONDS = 30
_SCHEMES = ("tcp", "tls", "ucx", "ws", "wss")


def outcomes(stage: Stage, tasks: Sequence[Task], options: EngineOptions) -> Iterator[Outcome]:
    """Yield each task's outcome as it completes.

    Raises:
        ConfigError: dask is not installed, no scheduler was named, or none answers there.
    """
    scheme, separator, _ = (options.scheduler or "").partition("://")
    # Dask itself would look for an unknown scheme's plug-in for a minute.
    if options.scheduler is None or (separator and scheme not in _SCHEMES):
        raise ConfigError(f"--engine dask needs --scheduler tcp://host:port, not {options.scheduler}")
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise ConfigError("--engine dask needs the extra: pip install 'sketchdata[dask]'") from error
    if not tasks:
        return
    try:
        client = Client(options.scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"no Dask scheduler answers at {options.scheduler}: {error}") from error
    # It would print tracebacks when the scheduler goes away; the outcomes tell of that.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    with client:
        name = stage_name(stage)
        keys = {f"{task.id}-{task.fingerprint(name)}": task for task in tasks}
        # Dask itself moves the tasks of a worker that died to others; `retries` is for those that died with it.
        futures = [client.submit(execute, stage, task, key=key, retries=options.retries) for key, task in keys.items()]
        for future in as_completed(futures, loop=client.loop):
            yield _outcome(keys[future.key], future)


def _outcome(task: Task, future: Any) -> Outcome:
    try:
        if future.status == "finished":
            outcome: Outcome = future.result()
            return outcome
        if future.status == "error":
            return Outcome(task_id=task.id, error=repr(future.exception()))
        reason = future.status
    except OSError as error:
        reason = str(error)
    return Outcome(task_id=task.id, error=f"the Dask scheduler went away or gave it up: {reason}")
