"""The manifest of a data set: the list of its files. It is written last, so only complete data sets have one."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, TypedDict

import orjson
from msgspec import Meta

from sketchdata import __version__
from sketchdata.errors import SketchDataError
from sketchdata.files import output_file, regular
from sketchdata.storage.records import check_fields, check_inside, decode, fault

#: Version of the layout on disk: columns, row order, manifest. Data sets of other versions are rejected.
SCHEMA_VERSION = 1

AUDIT_FOLDER = "audit"

MANIFEST_NAME = "manifest.json"

_BLOCK_BYTES = 1 << 20

Natural = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of a data set: its path relative to the manifest, size, sha256 and number of records."""

    path: str
    bytes: Natural
    sha256: str
    records: Natural


@dataclass(frozen=True, kw_only=True)
class SourceEntry:
    """One source file of a data set, with its path in the official bucket.

    `md5` is of the uncompressed content, so that a `.ndjson` and its `.ndjson.gz` are the same source; `official` is
    whether size and md5 are those in the published list.
    """

    path: str
    bytes: Natural
    md5: str
    records: Natural
    official: bool


@dataclass(frozen=True, kw_only=True)
class ParentEntry:
    """The parent of a data set; the sha256 is of its manifest, which covers every file."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything needed to check a data set and to rebuild it.

    Attributes:
        name: The data set's name, such as `quickdraw-3.8m`.
        config: The options that affect the bytes.
        classes: The class table: a label is an index into it.
        counts: {split: {class name: number of drawings}}.
        rejects: {reason: number of rejected records}.
        sources: The source files.
        files: Every other file of the data set, in the order of their paths.
        parent: The parent of an export or a curated data set; `sources` are then those of the parent.
        version: The layout's version.
        tool: The version of sketchdata that wrote it.
    """

    name: str
    config: dict[str, Any]
    classes: tuple[str, ...]
    counts: dict[str, dict[str, Natural]]
    rejects: dict[str, Natural]
    sources: tuple[SourceEntry, ...]
    files: tuple[FileEntry, ...]
    parent: ParentEntry | None = None
    version: int = SCHEMA_VERSION
    tool: str = field(default_factory=lambda: f"sketchdata {__version__}")

    @property
    def splits(self) -> dict[str, int]:
        """The number of drawings in each split."""
        return {split: sum(classes.values()) for split, classes in self.counts.items()}

    @property
    def is_raw(self) -> bool:
        """Whether the drawings are raw, with times."""
        return bool(self.config.get("keep_raw"))

    def shards(self, split: str) -> list[FileEntry]:
        """Return the Parquet shards of one split, in order."""
        return [f for f in self.files if f.path.startswith(f"data/{split}-") and f.path.endswith(".parquet")]

    def tars(self, split: str) -> list[FileEntry]:
        """Return the tar shards of one split of an export, in order."""
        return [f for f in self.files if f.path.startswith(f"{split}-") and f.path.endswith(".tar")]

    def write(self, directory: Path) -> Path:
        """Write `manifest.json` into a directory, whole or not at all."""
        path = directory / MANIFEST_NAME
        content = orjson.dumps(dataclasses.asdict(self), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        with replacing(path) as file:
            file.write(content)
        return path


class _Layout(TypedDict):
    version: int


class _EdgeOptions(TypedDict, total=False):
    channels: int
    detector: str
    fill: float
    ink: Literal["black", "white"]
    size: Annotated[int, Meta(ge=1, le=1 << 16)]


class _Options(_EdgeOptions, total=False):
    """Options with types that readers rely on, in all manifests."""

    bits: Annotated[int, Meta(ge=1, le=1 << 16)]
    curation: dict[str, Any] | None
    data: dict[str, Any]
    edges: _EdgeOptions
    fit: str | None
    gzip: bool
    ids: str | None
    imagenet: list[str]
    input_format: str
    kind: str
    layer: str | None
    maps_per_shard: int
    merge: bool
    model: str | None
    precision: str
    recognized_only: bool
    seed: Natural
    splits: list[str]
    unseen: list[str]
    validation: list[str]
    val_share: Annotated[str, Meta(pattern=r"^\d+(\.\d+|/0*[1-9]\d*)?$")]
    width: Annotated[int, Meta(ge=1, le=1 << 20)]


def read_manifest(directory: Path) -> Manifest:
    """Read a data set's manifest.

    Raises:
        SketchDataError: There is no manifest, it is damaged, or it has another layout version.
    """
    path = directory / MANIFEST_NAME
    if not path.is_file():
        hint = "it does not exist"
        if directory.is_dir():
            hint = f"it has no {MANIFEST_NAME}, so its build did not finish, or the file was not copied"
        elif directory.exists():
            hint = f"it is a file; give the folder that has {MANIFEST_NAME}"
        raise SketchDataError(f"{directory} is not a finished data set: {hint}")
    content, remedy = path.read_bytes(), "build the data set again"
    version = decode(content, _Layout, path, remedy)["version"]
    if version != SCHEMA_VERSION:
        raise SketchDataError(
            f"{path} has layout version {version}, and this sketchdata reads version {SCHEMA_VERSION}: {remedy}, or "
            "use the sketchdata that wrote it"
        )
    manifest = decode(content, Manifest, path, remedy)
    for number, entry in enumerate(manifest.files):
        check_inside(entry.path, f"files[{number}].path", path, remedy)
    for split, counts in manifest.counts.items():
        if sorted(counts) != sorted(manifest.classes):
            odd = sorted(set(counts) ^ set(manifest.classes)) or "a class twice"
            raise fault(path, f"counts.{split}", "a number for each of the classes", f"{odd!r:.200}", remedy)
    return dataclasses.replace(manifest, config=check_fields(manifest.config, _Options, path, remedy, "config."))


def file_entry(path: Path, root: Path, records: int) -> FileEntry:
    """Return the entry of a file."""
    return FileEntry(
        path=path.relative_to(root).as_posix(),
        bytes=path.stat().st_size,
        sha256=hash_file(path, "sha256"),
        records=records,
    )


def hash_file(path: Path, algorithm: str) -> str:
    """Return a file's hash in hexadecimal, reading it block by block."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with regular(path).open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def file_fault(path: Path, *, size: int | None = None, sha256: str | None = None) -> tuple[str, str] | None:
    """Compare a file with its entry in a manifest; return (kind of fault, what is wrong), or None.

    `size` in bytes and `sha256` are from the entry; None skips the comparison.
    """
    if not path.is_file():
        return "missing file", "is missing"
    if size is not None and (found := path.stat().st_size) != size:
        return "size", f"has {found:,} bytes instead of {size:,}"
    if sha256 is not None and (digest := hash_file(path, "sha256")) != sha256:
        return "sha256", f"has sha256 {digest[:16]}… instead of {sha256[:16]}…"
    return None


def check_listed(path: Path, sha256: str | None, remedy: str) -> None:
    """Check a file against its sha256 in a manifest, or without `sha256` that it exists.

    `remedy` is advice for the error, such as `build the data set again`.

    Raises:
        SketchDataError: The file is missing or damaged.
    """
    if (wrong := file_fault(path, sha256=sha256)) is not None:
        kind, how = wrong
        told = "is missing, and the manifest lists it" if kind == "missing file" else f"is damaged: it {how}"
        raise SketchDataError(f"{path} {told}: {remedy}")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that replaces it if the block ends without an error."""
    path = output_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A random name, since two runs on different machines may have the same process id.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def leftovers(folder: Path) -> list[Path]:
    """Return the temporary files of `replacing` that a killed run left in a folder."""
    return sorted(folder.glob(".*.tmp"))
