"""Download the official QuickDraw files: in parallel, resumed, checked, and never incomplete under the final name.

    sketchdata download quickdraw --categories star,cat --dest data/quickdraw

The result has the layout of the bucket (DEST/full/simplified/star.ndjson), so DEST can be used as a source.
`--checksums` chooses the reference of the check: the published list or the headers of the source. A file that the
source has gzipped is stored gzipped. The published sizes and md5 sums are of the unpacked content, so it is unpacked
once to be compared with them.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
from rich.filesize import decimal

from sketchdata.config import FOLDER, option
from sketchdata.errors import ConfigError, FormatError, SketchDataError, TasksFailedError
from sketchdata.progress import byte_bar, console, in_threads, task_bar
from sketchdata.storage.catalog import (
    BUCKET,
    FORMATS,
    OfficialFile,
    choose_classes,
    manifest_path,
    official_path,
    read_classes,
    read_official_files,
)
from sketchdata.storage.fetch import (
    DEFAULT_POLICY,
    CutOffError,
    Downloaded,
    Expected,
    FetchPolicy,
    SourceChangedError,
    receive,
)
from sketchdata.storage.sources import Checked, CheckedFiles, Source, SourceFile, hash_content, open_source

Status = Literal["downloaded", "resumed", "present", "planned", "failed"]
Item = TypeVar("Item")
Result = TypeVar("Result")

_OFFICIAL_LOCATIONS = (BUCKET, "gs://quickdraw_dataset")
_LISTED_FAILURES = 10


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options: files, source, and reference of the check."""

    format: str = option("simplified", help="Published format to download.", type=click.Choice(list(FORMATS)))
    categories: str | None = option(None, help="Comma-separated names. Default: all 345.", metavar="A,B,…")
    source: str = option(
        BUCKET,
        help="Folder, http(s) address or gs:// bucket that is laid out like the official one.",
        metavar="DIR|URL",
        show_default="the official bucket",
    )
    dest: Path = option(Path("data/quickdraw"), help="Folder to write to.", type=FOLDER)
    jobs: int = option(4, help="Number of concurrent downloads.", type=click.IntRange(1, 64), record=False)
    checksums: str = option(
        "auto",
        help="Checksums to verify: `official` the published list; `none` sizes; FILE.csv a list of path,bytes,md5; "
        "`auto` the published list at the official bucket, elsewhere the source's own.",
        metavar="auto|official|none|FILE.csv",
    )
    dry_run: bool = option(False, help="Print the files that would be downloaded, and download nothing.", record=False)


@dataclass(frozen=True, kw_only=True)
class FileResult:
    """The result for one file.

    Attributes:
        path: Path below the destination; below the root of the bucket if it was not found.
        status: The outcome.
        bytes: Size; 0 if it failed.
        received: Bytes fetched in this run.
        official: Whether its content is the published one; None if nothing is published or the file is incomplete.
        error: Reason of a failure.
    """

    path: str
    status: Status
    bytes: int = 0
    received: int = 0
    official: bool | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class DownloadSummary:
    """The results for all files, in the order of the class table."""

    source: str
    dest: Path
    files: tuple[FileResult, ...]
    seconds: float

    def count(self, status: Status) -> int:
        """Return the number of files with a status."""
        return sum(file.status == status for file in self.files)

    def size(self, status: Status) -> int:
        """Return the total bytes of the files with a status."""
        return sum(file.bytes for file in self.files if file.status == status)

    @property
    def failed(self) -> list[FileResult]:
        """The files that could not be downloaded."""
        return [file for file in self.files if file.status == "failed"]

    @property
    def not_official(self) -> list[FileResult]:
        """The files whose content differs from the published one."""
        return [file for file in self.files if file.official is False]

    @property
    def received(self) -> int:
        """The bytes fetched in this run."""
        return sum(file.received for file in self.files)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "source": self.source,
            "dest": str(self.dest),
            "counts": dict(Counter(file.status for file in self.files)),
            "bytes": sum(file.bytes for file in self.files),
            "received": self.received,
            "official": sum(file.official is True for file in self.files),
            "not_official": len(self.not_official),
            "seconds": round(self.seconds, 3),
            "files": [asdict(file) for file in self.files],
        }

    def check(self) -> None:
        """Raise TasksFailedError with a list of failures, if there are any."""
        if not self.failed:
            return
        shown = "\n".join(f"  {file.path}: {file.error}" for file in self.failed[:_LISTED_FAILURES])
        more = len(self.failed) - _LISTED_FAILURES
        tail = f"\n  … and {more:,} more (--json lists all)" if more > 0 else ""
        raise TasksFailedError(
            f"{len(self.failed):,} of {len(self.files):,} files could not be downloaded:\n{shown}{tail}\n"
            "All others are whole; the same command tries only these again"
        )


@dataclass(frozen=True, kw_only=True)
class PlannedFile:
    """One file to fetch and its expected size and hashes; `content_md5` is of a gzipped file's unpacked content."""

    file: SourceFile
    expected: Expected
    content_md5: str | None

    @property
    def path(self) -> str:
        """Path below the destination."""
        return self.file.stored_path


def run(config: Config, *, policy: FetchPolicy = DEFAULT_POLICY) -> DownloadSummary:
    """Fetch the missing files. Failures are in the summary; `summary.check()` raises them.

    Raises:
        ConfigError: An option is invalid, or the disk has too little room.
        SketchDataError: The source cannot be reached.
    """
    started = time.monotonic()
    published = read_official_files(manifest_path("quickdraw-files.csv"))
    own_list = config.checksums not in ("auto", "official", "none")
    if own_list:
        binding = read_official_files(Path(config.checksums))
    elif config.checksums == "official" or (
        config.checksums == "auto" and config.source.rstrip("/") in _OFFICIAL_LOCATIONS
    ):
        binding = published
    else:
        binding = {}
    source = open_source(config.source, policy=policy)
    job = _Run(config=config, source=source, published=published, binding=binding, checked=CheckedFiles(config.dest))
    classes = read_classes(manifest_path("quickdraw-categories.txt"))
    paths = [official_path(config.format, name) for name in choose_classes(classes, config.categories)]
    missing = [path for path in paths if path not in binding and f"{path}.gz" not in binding]
    # The published list has no sketchrnn files.
    if own_list and missing:
        raise ConfigError(
            f"{config.checksums} lacks {len(missing):,} of {len(paths):,} files, such as {missing[0]}: add them, "
            "or ask for fewer --categories"
        )
    outlook = _look_up(job, paths)
    plans = [plan for plan in outlook if isinstance(plan, PlannedFile)]
    parts = [(p.expected.bytes or 0, config.dest / f"{p.path}.part") for p in plans]
    needed = sum(max(0, size - (part.stat().st_size if part.is_file() else 0)) for size, part in parts)
    existing = next(folder for folder in (config.dest, *config.dest.absolute().parents) if folder.is_dir())
    if needed > (free := shutil.disk_usage(existing).free):
        raise ConfigError(
            f"not enough space at {config.dest}: {decimal(needed)} remain to be fetched, and {decimal(free)} are "
            "free. Make room, choose another --dest, or ask for fewer --categories"
        )
    if config.dry_run:
        fetched = [FileResult(path=p.path, status="planned", bytes=p.expected.bytes or 0) for p in plans]
    else:
        fetched = _fetch_all(job, plans)
    done = iter(fetched)
    files = tuple(next(done) if isinstance(entry, PlannedFile) else entry for entry in outlook)
    return DownloadSummary(source=config.source, dest=config.dest, files=files, seconds=time.monotonic() - started)


@dataclass(kw_only=True)
class _Run:
    """Data shared by all threads."""

    config: Config
    source: Source
    published: Mapping[str, OfficialFile]
    binding: Mapping[str, OfficialFile]
    checked: CheckedFiles
    stop: threading.Event = field(default_factory=threading.Event)
    cuts: int = 0

    def guard(self, work: Callable[[Item], FileResult | Result], item: Item, path: str) -> FileResult | Result:
        """Download one file; a failure is a result. After many interrupted transfers in a row nothing more is tried."""
        if self.cuts >= 2 * self.config.jobs:
            return FileResult(path=path, status="failed", error="not tried, since the source had stopped answering")
        try:
            result = work(item)
        except CutOffError as error:
            self.cuts += 1
            return FileResult(path=path, status="failed", error=str(error))
        except (SketchDataError, OSError) as error:
            return FileResult(path=path, status="failed", error=str(error))
        self.cuts = 0
        return result

    def plan(self, path: str) -> FileResult | PlannedFile:
        """Find the expected size and hashes of a file, and whether it exists already."""
        if (listed := self.binding.get(path)) and (found := self._listed_and_here(listed)):
            return found
        file = self.source.find(path)
        if file is None:
            error = f"it is not at {self.source.location}, which should be laid out like the official bucket"
            return FileResult(path=path, status="failed", error=error)
        plan = self._expect(file)
        entry = self.checked.look(plan.path)
        if (
            entry
            and plan.expected.fault(entry.bytes, entry.md5) is None
            and plan.content_md5 in (None, entry.content_md5)
        ):
            return self._result(plan, "present", entry, 0)
        announced_md5 = file.md5 or plan.expected.md5
        if announced_md5 and file.bytes is not None and (fault := plan.expected.fault(file.bytes, announced_md5)):
            error = f"{file.location} is not the listed file: {fault}; --checksums none takes it all the same"
            return FileResult(path=plan.path, status="failed", error=error)
        return plan

    def fetch(self, plan: PlannedFile, on_bytes: Callable[[int], object]) -> FileResult:
        """Fetch one file, and again once if it changes at the source in the meantime."""
        try:
            return self._fetch(plan, on_bytes)
        except SourceChangedError:
            again = self.plan(plan.file.path)
            return self._fetch(again, on_bytes) if isinstance(again, PlannedFile) else again

    def _fetch(self, plan: PlannedFile, on_bytes: Callable[[int], object]) -> FileResult:
        content_md5 = ""

        def inspect(part: Path) -> str | None:
            nonlocal content_md5
            try:
                content_md5 = hash_content(part)
            except FormatError as error:
                return str(error)
            if plan.content_md5 in (None, content_md5):
                return None
            return f"expected md5 {plan.content_md5} of the unpacked content, found {content_md5}"

        got: Downloaded = receive(
            lambda start: self.source.read(plan.file, start),
            self.config.dest / plan.path,
            plan.expected,
            on_bytes=on_bytes,
            inspect=inspect if plan.file.gzipped else None,
        )
        return self._result(
            plan, got.status, self.checked.add(plan.path, got.md5, content_md5 or got.md5), got.received
        )

    def _listed_and_here(self, listed: OfficialFile) -> FileResult | None:
        """Return a file that the binding list alone confirms, without a request."""
        for name in (listed.path, f"{listed.path}.gz"):
            entry = self.checked.look(name)
            if entry is not None and entry.content_md5 == listed.md5:
                official = self._is_official(listed.path, entry)
                return FileResult(path=name, status="present", bytes=entry.bytes, official=official)
        return None

    def _expect(self, file: SourceFile) -> PlannedFile:
        listed = self.binding.get(file.stored_path)
        content_md5 = self.binding[file.path].md5 if file.gzipped and file.path in self.binding else None
        if listed is not None:
            expected = Expected(bytes=listed.bytes, md5=listed.md5, validator=file.validator)
        else:
            md5 = None if self.config.checksums == "none" else file.md5
            expected = Expected(bytes=file.bytes, md5=md5, validator=file.validator)
        return PlannedFile(file=file, expected=expected, content_md5=content_md5)

    def _result(self, plan: PlannedFile, status: Status, entry: Checked, received: int) -> FileResult:
        official = self._is_official(plan.file.path, entry)
        return FileResult(path=plan.path, status=status, bytes=entry.bytes, received=received, official=official)

    def _is_official(self, path: str, entry: Checked) -> bool | None:
        published = self.published.get(path)
        return None if published is None else published.md5 == entry.content_md5


def _look_up(job: _Run, paths: Sequence[str]) -> list[FileResult | PlannedFile]:
    def look(path: str) -> FileResult | PlannedFile:
        return job.guard(job.plan, path, path)

    # The first file goes alone, so that an unreachable source is one error instead of 345.
    first = look(paths[0])
    if job.cuts and isinstance(first, FileResult):
        raise SketchDataError(f"cannot reach the source: {first.error}")
    with task_bar() as bars:
        bar = bars.add_task("looking up", total=len(paths), completed=1)
        rest = in_threads(look, paths[1:], jobs=job.config.jobs, stop=job.stop, on_result=lambda _: bars.advance(bar))
    return [first, *rest]


def _fetch_all(job: _Run, plans: Sequence[PlannedFile]) -> list[FileResult]:
    with byte_bar() as bars:
        everything = bars.add_task("all files", total=sum(p.expected.bytes or 0 for p in plans))

        def fetch(plan: PlannedFile) -> FileResult:
            bar = bars.add_task(Path(plan.path).name, total=plan.expected.bytes)
            shown = 0

            def on_bytes(position: int) -> None:
                nonlocal shown
                if job.stop.is_set():
                    raise _StoppedError
                bars.advance(everything, position - shown)
                bars.update(bar, completed=position)
                shown = position

            try:
                return job.guard(lambda plan: job.fetch(plan, on_bytes), plan, plan.path)
            finally:
                bars.remove_task(bar)

        def log(result: FileResult) -> None:
            # Without progress bars, in a log file, one line per file shows progress.
            if not console.is_terminal:
                console.print(f"{result.status} {result.path}", highlight=False, soft_wrap=True)

        return in_threads(fetch, plans, jobs=job.config.jobs, stop=job.stop, on_result=log)


class _StoppedError(Exception):
    """Stops a thread after Ctrl-C; received bytes are kept."""
