"""The metrics of a training: a JSON object a line, and TensorBoard's files where they are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from sketchdata.errors import ConfigError
from sketchdata.manifest import replacing


class MetricsLog:
    """A stage's lines, added to those of the stages before it."""

    def __init__(self, file: BinaryIO, stage: str, board: Any) -> None:
        self._file, self._stage, self._board = file, stage, board

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Add a line: `stage`, `step`, and numbers by name; a line that ends an epoch has `epoch` among them."""
        self._file.write(
            orjson.dumps({"stage": self._stage, "step": step, **numbers}, option=orjson.OPT_APPEND_NEWLINE)
        )
        if self._board is not None:
            for name, value in numbers.items():
                self._board.add_scalar(f"{self._stage}/{name}", value, step)

    def flush(self) -> None:
        """See to it that what was written is in the file."""
        self._file.flush()
        if self._board is not None:
            self._board.flush()


@contextmanager
def opened_log(path: Path, stage: str, *, step: int, epochs: int, board: Path | None) -> Iterator[MetricsLog]:
    """Open the log of a stage that goes on after some steps; what later steps wrote goes, as they are taken again.

    Args:
        path: The file; it need not exist.
        stage: The stage's name.
        step: Steps that count.
        epochs: Epochs that were brought to their end.
        board: Folder for TensorBoard's files; None writes none.

    Raises:
        ConfigError: TensorBoard is wanted and not installed.
    """
    kept = [line for line in read_lines(path) if line["stage"] != stage or _counts(line, step, epochs)]
    writer = None if board is None else _board(board, stage, step)
    with replacing(path) as file:
        file.writelines(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in kept)
    try:
        with path.open("ab") as file:
            yield MetricsLog(file, stage, writer)
    finally:
        if writer is not None:
            writer.close()


def _counts(line: Mapping[str, Any], step: int, epochs: int) -> bool:
    return bool(line["epoch"] <= epochs if "epoch" in line else line["step"] <= step)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; one that a kill cut off is left out."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [orjson.loads(line) for line in lines if line.endswith(b"}\n")]


def _board(folder: Path, stage: str, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise ConfigError("--tensorboard needs tensorboard, which is not installed: pip install tensorboard") from error
    writer: Any = SummaryWriter
    return writer(log_dir=str(folder / stage), purge_step=step)


def stage_seconds(path: Path) -> dict[str, float]:
    """Return how long each stage took, pauses left out: {stage: seconds}."""
    return {line["stage"]: float(line["seconds"]) for line in read_lines(path) if "seconds" in line}
