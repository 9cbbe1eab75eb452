"""The life cycle of an output folder: it is claimed first, filled by renaming, and finished by its manifest.

Files are written in the work folder and renamed from there, so that even a kill -9 leaves no partial or temporary file
beside the finished ones. The manifest is renamed last: a folder with a manifest is complete.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import orjson

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.progress import console
from sketchdata.storage import parquet
from sketchdata.storage.croissant import CROISSANT_NAME, croissant
from sketchdata.storage.manifest import (
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    file_entry,
    leftovers,
    read_manifest,
    replacing,
)
from sketchdata.storage.records import decode

_CARD, _NOTE = "README.md", "begun.json"


class _Identity(TypedDict, total=False):
    name: str
    config: dict[str, Any]
    parent: dict[str, Any] | None
    tool: str
    classes: list[str]


class _Note(TypedDict):
    identity: _Identity | None
    names: list[str]


@dataclass(frozen=True, kw_only=True)
class OutputFolder:
    """An output folder with a manifest: a data set, an export, codes, an index, a collection of photos.

    Attributes:
        out: The folder.
        plan: The manifest as far as it is known in advance.
        names: Top-level names of the output's files and folders, beside its manifest and card.
        noun: What the output is called in messages.
        work_name: Name of the work folder. It differs between kinds of output, so that an unfinished build is not
            mistaken for an unfinished export.
        same: The fields of the manifest that must be equal for a finished output to be this one.
        limits: The values with which an unfinished output must have been started to be resumed, whatever else has
            changed; its files are then reused. None: only a run with the same plan is resumed, and without one,
            existing `names` belong to another program.
        found: Keys of `config` that are only known in the end, and so do not distinguish plans.
        replaces: Names of other manifests that `overwrite` may replace.
    """

    out: Path
    plan: Manifest
    names: frozenset[str]
    noun: str = "export"
    work_name: str = ".export"
    same: tuple[str, ...] = ("name", "config", "parent", "tool")
    limits: Mapping[str, Any] | None = None
    found: frozenset[str] = frozenset()
    replaces: frozenset[str] = frozenset()

    @property
    def work(self) -> Path:
        """The work folder of unfinished files; `finish` deletes it."""
        return self.out / self.work_name

    def begin(self, *, overwrite: bool, check: Callable[[], object] = lambda: None) -> Manifest | None:
        """Return the manifest if the output is already finished; otherwise claim the folder and return None.

        `check` may raise before anything in the folder is removed.

        Raises:
            ConfigError: The folder has another output and `overwrite` is not given, or something else.
        """
        if not overwrite and (manifest := self.finished()) is not None:
            shutil.rmtree(self.work, ignore_errors=True)
            note = f"{self.out} is finished already; --overwrite makes it again"
            console.print(note, soft_wrap=True, highlight=False)
            return manifest
        check()
        self.claim(overwrite=overwrite)
        return None

    def finished(self) -> Manifest | None:
        """Return the manifest of a finished output; None without a manifest.

        Raises:
            ConfigError: The folder has another output.
        """
        if not (self.out / MANIFEST_NAME).exists():
            return None
        manifest = read_manifest(self.out)
        found, own = self._identity(manifest), self._identity(self.plan)
        if found != own:
            raise ConfigError(
                f"{self.out} holds {manifest.name}, made {_differences(found, own)}: choose another --out, or "
                "--overwrite it"
            )
        return manifest

    def claim(self, *, overwrite: bool) -> None:
        """Prepare the folder: new, empty, started by an earlier run of this output, or overwritten.

        An unfinished output that can be resumed is resumed even with `overwrite`, so that a repeated command resumes.

        Raises:
            ConfigError: The folder has another output and `overwrite` is not given, or something else.
        """
        manifest = read_manifest(self.out) if (self.out / MANIFEST_NAME).exists() else None
        note, going_on = self._read_note(), self._identity(self.plan)
        if self.limits is not None:
            going_on = _plain({"config": self.limits})
        other = note is not None and note["identity"] != going_on
        if note is not None and other and not overwrite:
            raise ConfigError(
                f"{self.out} holds an unfinished {self.noun} made {_differences(note['identity'], going_on)}: "
                "repeat the command that began it, choose another --out, or --overwrite it"
            )
        replaced = overwrite and (manifest is not None or other)
        names = set(note["names"]) if note is not None else set()
        if replaced and manifest is not None:
            self._check_like(manifest)
            names |= {entry.path.split("/")[0] for entry in manifest.files}
        # The names come from a file that another program may have written, and will be deleted.
        outside = sorted(name for name in names if name in ("", ".", "..") or "/" in name)
        if outside:
            raise SketchDataError(f"{self.out} lists files outside of itself ({outside[0]!r}), so nothing was removed")
        if self.limits is not None or (note is not None and not other):
            names |= {*self.names, _CARD, CROISSANT_NAME}
        claim_folder(self.out, own={self.work_name, *names, *([MANIFEST_NAME] if replaced else [])})
        if replaced:
            self._remove(names)
        self._write_note(going_on, self.names)

    def publish(self, name: str, records: int) -> FileEntry:
        """Move a finished file from the work folder to the folder, under the same name, and describe it."""
        return file_entry(publish(self.work / name, self.out / name), self.out, records)

    def put(self, name: str, content: bytes, records: int) -> FileEntry:
        """Write a file, whole or not at all, and describe it."""
        with replacing(self.work / name) as file:
            file.write(content)
        return self.publish(name, records)

    def join(self, name: str, paths: Sequence[Path], records: int) -> FileEntry:
        """Concatenate files into one, whole or not at all, and describe it."""
        with replacing(self.work / name) as file:
            for path in paths:
                file.write(path.read_bytes())
        return self.publish(name, records)

    def finish(
        self,
        files: Sequence[FileEntry],
        card: Callable[[Manifest], str],
        *,
        sweep: Collection[str] = (),
        keep_work: bool = False,
        **facts: Any,
    ) -> Manifest:
        """Write the card, Croissant metadata of Parquet shards and, last, the manifest; delete the work folder.

        Args:
            files: All other files, which exist.
            card: Returns the README for the manifest with these files.
            sweep: Folders in which unlisted files are deleted: earlier runs with other options may have left some.
            keep_work: Whether to keep the work folder.
            facts: Fields of the manifest that the plan did not have, such as counts.
        """
        manifest = dataclasses.replace(self.plan, files=tuple(files), **facts)
        entries = [*files, self.put(_CARD, card(manifest).encode("utf-8"), 0)]
        shards = {split: found[0].path for split in manifest.splits if (found := manifest.shards(split))}
        if shards:
            schemas = {split: parquet.read_facts(self.out / path)[0] for split, path in shards.items()}
            entries.append(self.put(CROISSANT_NAME, croissant(manifest, schemas), 0))
        manifest = dataclasses.replace(manifest, files=tuple(sorted(entries, key=lambda entry: entry.path)))
        listed = {entry.path for entry in entries}
        within = [path for name in sweep for path in (self.out / name).iterdir()]
        for path in [*leftovers(self.out), *within]:
            if path.relative_to(self.out).as_posix() not in listed:
                path.unlink()
        publish(manifest.write(self.work), self.out / MANIFEST_NAME)
        if not keep_work:
            shutil.rmtree(self.work)
        return manifest

    def _identity(self, manifest: Manifest) -> dict[str, Any]:
        identity = _plain({name: getattr(manifest, name) for name in self.same})
        if "config" in identity:
            identity["config"] = {name: v for name, v in identity["config"].items() if name not in self.found}
        return identity

    def _check_like(self, found: Manifest) -> None:
        # Curated data sets have a parent, and so have pictures, which may only replace other pictures.
        sharded = any(found.shards(split) for split in found.counts)
        export = self.limits is None and found.parent is not None and not sharded
        if found.name not in {self.plan.name, *self.replaces} and not export:
            raise ConfigError(
                f"{self.out} holds {found.name} (expected: {self.noun}), and --overwrite replaces nothing else: "
                "choose another --out"
            )

    def _remove(self, names: Collection[str]) -> None:
        # If the removal is interrupted, this file lets the next --overwrite finish it.
        self._write_note(None, names)
        # The manifest is deleted first, so that the rest is not taken for a data set, and the plan last.
        for name in [MANIFEST_NAME, *sorted(names), self.work_name]:
            path = self.out / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _write_note(self, identity: Any, names: Collection[str]) -> None:
        with replacing(self.work / _NOTE) as file:
            file.write(orjson.dumps({"identity": identity, "names": sorted(names)}))

    def _read_note(self) -> _Note | None:
        path = self.work / _NOTE
        if not path.exists():
            return None
        try:
            return decode(path.read_bytes(), _Note, path, f"remove the folder of this unfinished {self.noun}")
        except SketchDataError:
            if self.limits is not None:
                return None
            raise


def claim_folder(out: Path, *, own: Collection[str]) -> None:
    """Check that a folder may be written to: it does not exist, is empty, or has only this output's files.

    `own` are the names of files and folders that may exist in it.

    Raises:
        ConfigError: The folder has something else, or is a file.
    """
    if out.is_symlink() and not out.exists():
        raise ConfigError(f"{out} is a link that leads nowhere: choose another --out")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is not a folder: choose another --out")
    names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    others = sorted(names - set(own) - {path.name for path in leftovers(out)})
    if others:
        raise ConfigError(f"{out} is not empty, it holds {', '.join(others[:5])}: choose another --out")


def publish(written: Path, final: Path) -> Path:
    """Rename a finished file to its final path, in the same file system; return the path."""
    final.parent.mkdir(parents=True, exist_ok=True)
    return written.replace(final)


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value as it is after a round trip through JSON."""
    return dict(orjson.loads(orjson.dumps(value, default=str)))


def _differences(then: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str:
    """Describe how the options of two outputs differ, to follow `made`."""
    if then is None:
        return "otherwise, and half removed"
    was, own = then.get("config") or {}, now.get("config") or {}
    options = []
    for name in sorted(was.keys() | own.keys()):
        values = (was.get(name), own.get(name))
        if values[0] != values[1]:
            short = not any(isinstance(value, dict | list) for value in values)
            options.append(f"{name} {values[0]} instead of {values[1]}" if short else name)
    said = [f"with other options ({', '.join(options)})"] if options else []
    others = {"classes": "with other classes", "parent": "from another data set", "tool": "by another version"}
    said += [words for field, words in others.items() if then.get(field) != now.get(field)]
    return ", ".join(said) or "otherwise"
