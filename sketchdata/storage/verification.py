"""What a check of a data set looked for and found, and the checks that every kind of data set has in common."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from sketchdata.progress import task_bar
from sketchdata.storage.manifest import AUDIT_FOLDER, MANIFEST_NAME, FileEntry, hash_file

_HASHES_AT_ONCE = 2


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One kind of fault: what is wrong with the first case, and how many cases there are."""

    kind: str
    first: str
    count: int


@dataclass
class Verification:
    """What was checked and what was found.

    Attributes:
        files: Files whose size and hash were checked.
        records: Rows or photos that were checked.
        noun: What people call these.
        checks: Kinds of fault that were looked for.
    """

    files: int = 0
    records: int = 0
    noun: str = "drawings"
    checks: list[str] = field(default_factory=list)
    _faults: dict[str, list[str]] = field(default_factory=dict)

    @property
    def faults(self) -> list[Fault]:
        """Every kind of fault that was found, in the order of the checks."""
        return [
            Fault(kind=k, first=self._faults[k][0], count=len(self._faults[k]))
            for k in self.checks
            if k in self._faults
        ]

    def check(self, kind: str, faults: Iterator[str] | Sequence[str]) -> bool:
        """Note a check and what it found; true when it found nothing."""
        found = list(faults)
        if kind not in self.checks:
            self.checks.append(kind)
        if found:
            self._faults.setdefault(kind, []).extend(found)
        return not found


def unlisted(directory: Path, listed: Iterable[FileEntry]) -> Iterator[str]:
    """Yield what lies in a data set's folder and is not listed."""
    names = {entry.path for entry in listed} | {MANIFEST_NAME}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        # Audits come after the data set and are no part of it; each has a record of its own.
        if path.is_file() and name not in names and not name.startswith(f"{AUDIT_FOLDER}/"):
            yield f"{name} is not in the manifest"


def check_files(directory: Path, entries: Collection[FileEntry], verification: Verification) -> set[str]:
    """Check that files are there, with their sizes and hashes; return the paths of those that are as they should be."""
    present = [entry for entry in entries if (directory / entry.path).is_file()]
    there = {entry.path for entry in present}
    verification.check("missing file", [f"{e.path} is missing" for e in entries if e.path not in there])
    sized = [entry for entry in present if (directory / entry.path).stat().st_size == entry.bytes]
    fitting = {entry.path for entry in sized}
    verification.check("size", [_wrong_size(directory, entry) for entry in present if entry.path not in fitting])
    whole: set[str] = set()
    with task_bar() as bar, ThreadPoolExecutor(_HASHES_AT_ONCE) as pool:
        row = bar.add_task("Hashing files", total=len(sized))
        hashes = pool.map(lambda entry: hash_file(directory / entry.path, "sha256"), sized)
        for entry, sha256 in zip(sized, hashes, strict=True):
            if verification.check("sha256", [] if sha256 == entry.sha256 else [_wrong_hash(entry, sha256)]):
                whole.add(entry.path)
            bar.advance(row)
    verification.files += len(entries)
    return whole


def _wrong_size(directory: Path, entry: FileEntry) -> str:
    return f"{entry.path} has {(directory / entry.path).stat().st_size:,} bytes instead of {entry.bytes:,}"


def _wrong_hash(entry: FileEntry, sha256: str) -> str:
    return f"{entry.path} has sha256 {sha256[:16]}… instead of {entry.sha256[:16]}…"


def check_counts(counts: Sequence[int], told: Mapping[str, int], split: str, verification: Verification) -> None:
    """Check how many rows of each class a split has against what the manifest tells.

    Args:
        counts: (C,) in the order of the class table.
        told: {class: rows}, in that order too.
        split: The split's name.
        verification: Where to note it.
    """
    faults = [
        f"{split} has {found:,} {verification.noun} of {word} instead of {expected:,}"
        for found, (word, expected) in zip(counts, told.items(), strict=True)
        if found != expected
    ]
    verification.check("class balance", faults)
