"""Tasks on a Dask cluster, from one machine to a SLURM or PBS queue through dask-jobqueue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sketchdata.engine.options import EngineOptions
from sketchdata.engine.task import Outcome, Stage, Task, execute
from sketchdata.errors import ConfigError

_CONNECT_SECONDS = 30


def outcomes(stage: Stage, tasks: Sequence[Task], options: EngineOptions) -> Iterator[Outcome]:
    """Yield each task's outcome as it completes.

    Raises:
        ConfigError: dask is not installed, no scheduler was named, or none answers there.
    """
    if options.scheduler is None:
        raise ConfigError("--engine dask needs --scheduler tcp://host:port")
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
    with client:
        # Dask itself moves the tasks of a worker that died to others; `retries` is for those that died with it.
        futures = {
            client.submit(execute, stage, task, key=f"{task.id}-{task.fingerprint('')}", retries=options.retries): task
            for task in tasks
        }
        for future in as_completed(futures):
            task = futures[future]
            if future.status == "finished":
                yield future.result()
            else:
                yield Outcome(task_id=task.id, error=f"{future.status}: {future.exception()}")
