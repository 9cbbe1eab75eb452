"""The life of an output folder: claimed before anything is written, filled by renaming, finished by its manifest.

Files are written under the work folder and renamed from there, so that even a kill -9 leaves nothing half-written and
no temporary name beside the finished files. The manifest is renamed last: where it is, the folder is whole.
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
    """The folder of whatever ends with a manifest: a data set, an export, codes, an index, a collection of photos.

    Attributes:
        out: The folder.
        plan: The manifest as far as it is known beforehand.
        names: Top-level names of what it consists of, beside its manifest and card.
        noun: What people call it.
        work_name: Name of the folder for what is not finished. A folder in which a build was begun must not pass for
            that of an export, so theirs differ.
        same: The fields of the manifest that must be equal for a finished one to be this very one.
        limits: What an unfinished one must have been begun with to go on, whatever else has changed; files of these
            names are then taken over from earlier tries. None: only a try of this very plan goes on, and `names` are
            another program's where none was begun.
        found: Keys of `config` that come out while it is made, and so do not distinguish plans.
        replaces: Names of manifests that `overwrite` may replace, beside the plan's own.
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
        """The folder for what is not finished; it goes away at the end."""
        return self.out / self.work_name

    def begin(self, *, overwrite: bool, check: Callable[[], object] = lambda: None) -> Manifest | None:
        """Return the manifest when the folder is finished already; otherwise claim it and return None.

        `check` refuses what cannot work, before anything that is there is removed.

        Raises:
            ConfigError: The folder holds another one and `overwrite` is not given, or something else.
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
        """Return the manifest when the folder is finished, None when it has none.

        Raises:
            ConfigError: Another one is there.
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
        """Make the folder ready: new, empty, begun by an earlier try of this very output, or to be overwritten.

        An unfinished one that may go on does so even with `overwrite`: repeating a command resumes it.

        Raises:
            ConfigError: It holds another one and `overwrite` is not given, or something else.
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
        # They come from files that someone else may have written, and what they name will be deleted.
        outside = sorted(name for name in names if name in ("", ".", "..") or "/" in name)
        if outside:
            raise SketchDataError(f"{self.out} lists files outside of itself ({outside[0]!r}), so nothing was removed")
        if self.limits is not None or (note is not None and not other):
            names |= {*self.names, _CARD}
        claim_folder(self.out, own={self.work_name, *names, *([MANIFEST_NAME] if replaced else [])})
        if replaced:
            self._remove(names)
        self._write_note(going_on, self.names)

    def publish(self, name: str, records: int) -> FileEntry:
        """Rename a finished file from the work folder into the folder, under the same name, and describe it."""
        return file_entry(publish(self.work / name, self.out / name), self.out, records)

    def put(self, name: str, content: bytes, records: int) -> FileEntry:
        """Write a file whole or not at all, and describe it."""
        with replacing(self.work / name) as file:
            file.write(content)
        return self.publish(name, records)

    def join(self, name: str, paths: Sequence[Path], records: int) -> FileEntry:
        """Write files one after another as one, whole or not at all, and describe it."""
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
        """Write the card and, last, the manifest; clear the work folder away.

        Args:
            files: All others, in place already.
            card: Makes the README of the manifest with these files.
            sweep: Folders in which what is not listed is removed, as earlier tries with other options left it.
            keep_work: Whether the work folder stays.
            facts: Fields of the manifest that the plan did not know, such as counts.
        """
        manifest = dataclasses.replace(self.plan, files=tuple(files), **facts)
        entries = [*files, self.put(_CARD, card(manifest).encode("utf-8"), 0)]
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
        # A curated data set has a parent too, and so have pictures, which may replace their like alone.
        sharded = any(found.shards(split) for split in found.counts)
        export = self.limits is None and found.parent is not None and not sharded
        if found.name not in {self.plan.name, *self.replaces} and not export:
            raise ConfigError(
                f"{self.out} holds {found.name} (expected: {self.noun}), and --overwrite replaces nothing else: "
                "choose another --out"
            )

    def _remove(self, names: Collection[str]) -> None:
        # If the removal is cut off, the note lets the next --overwrite finish it.
        self._write_note(None, names)
        # The manifest goes first, since without it what is left is no data set any more, and the note goes last.
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
    """Check that a folder is free to be written to: it is absent, is empty, or holds only what this output owns.

    `own` are the names of files and folders that may be there; the folder need not exist.

    Raises:
        ConfigError: It holds something else, or is a file.
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
    """Give a finished file its final name, in the same file system; return that."""
    final.parent.mkdir(parents=True, exist_ok=True)
    return written.replace(final)


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a value is after having been written as JSON."""
    return dict(orjson.loads(orjson.dumps(value, default=str)))


def _differences(then: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str:
    """Say how one output was made otherwise than another, to come after `made`."""
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
