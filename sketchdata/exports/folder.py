"""The folder of an export: claimed before anything is written, filled by renaming, finished by its manifest.

Files are written under the work folder and renamed from there, so that even a kill -9 leaves nothing half-written and
no temporary name beside the finished files.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.manifest import MANIFEST_NAME, FileEntry, Manifest, claim_folder, file_entry, read_manifest, replacing
from sketchdata.progress import console

# Not a build's `.build`: a folder in which a build was begun must not pass for one of ours.
_WORK, _CARD, _BEGUN = ".export", "README.md", "begun.json"


@dataclass(frozen=True, kw_only=True)
class ExportFolder:
    """Where an export, or another data set with a parent, is made.

    Attributes:
        out: The folder.
        plan: The manifest as it will be, but for the files.
        names: Top-level names of what the export consists of, beside its manifest and card.
        noun: What people call it.
    """

    out: Path
    plan: Manifest
    names: frozenset[str]
    noun: str = "export"

    @property
    def work(self) -> Path:
        """The folder for what is not finished; it goes away at the end."""
        return self.out / _WORK

    def finished(self) -> Manifest | None:
        """Return the manifest of this very export when it is there already.

        Raises:
            ConfigError: Another one is there.
        """
        manifest = self._found()
        if manifest is None:
            return None
        if _identity(manifest) != _identity(self.plan):
            raise ConfigError(
                f"{self.out} holds {manifest.name}, made with other options, from another data set or by another "
                "version: choose another --out, or --overwrite it"
            )
        shutil.rmtree(self.work, ignore_errors=True)
        console.print(f"{self.out} is finished already; --overwrite makes it again", soft_wrap=True, highlight=False)
        return manifest

    def claim(self, *, overwrite: bool) -> None:
        """Make the folder ready: new, empty, begun by an earlier try of this very export, or to be overwritten.

        Raises:
            ConfigError: It holds another export and `overwrite` is not given, or something else altogether.
        """
        manifest, begun = self._found(), _read_begun(self.work / _BEGUN)
        other = begun is not None and begun["identity"] != _identity(self.plan)
        if other and not overwrite:
            raise ConfigError(
                f"{self.out} holds an unfinished {self.noun} made with other options: "
                "repeat the command that began it, choose another --out, or --overwrite it"
            )
        # An unfinished export with these very options goes on even with --overwrite: repeating a command resumes it.
        if overwrite and (manifest is not None or other):
            self._remove(manifest, begun)
            begun = None
        own = {_WORK} | (self.names | {_CARD} if begun is not None else set())
        claim_folder(self.out, own=own, overwrite=False)
        self._note(_identity(self.plan), self.names)

    def _note(self, identity: Any, names: Collection[str]) -> None:
        with replacing(self.work / _BEGUN) as file:
            file.write(orjson.dumps({"identity": identity, "names": sorted(names)}))

    def _found(self) -> Manifest | None:
        return read_manifest(self.out) if (self.out / MANIFEST_NAME).exists() else None

    def finish(self, files: Sequence[FileEntry], card: Callable[[Manifest], str]) -> Manifest:
        """Write the card and, last, the manifest; clear the work folder away."""
        manifest = dataclasses.replace(self.plan, files=tuple(files))
        with replacing(self.work / _CARD) as file:
            file.write(card(manifest).encode("utf-8"))
        entries = [*files, file_entry(publish(self.work / _CARD, self.out / _CARD), self.out, 0)]
        manifest = dataclasses.replace(manifest, files=tuple(sorted(entries, key=lambda entry: entry.path)))
        publish(manifest.write(self.work), self.out / MANIFEST_NAME)
        shutil.rmtree(self.work)
        return manifest

    def _remove(self, manifest: Manifest | None, begun: dict[str, Any] | None) -> None:
        """Remove an export, finished or not, and nothing that is none.

        Raises:
            ConfigError: A data set of another kind is there.
        """
        names = set(begun["names"]) if begun is not None else set()
        if manifest is not None:
            # A curated data set has a parent too, and so have pictures, which may replace their like alone.
            sharded = any(manifest.shards(split) for split in manifest.counts)
            if manifest.parent is None or (sharded and manifest.name != self.plan.name):
                raise ConfigError(
                    f"{self.out} holds {manifest.name}, which is no {self.noun}, and --overwrite replaces nothing "
                    "else: choose another --out"
                )
            names |= {entry.path.split("/")[0] for entry in manifest.files}
        _check_names(self.out, names)
        # If the removal is cut off, the note lets the next --overwrite finish it.
        self._note(None, names)
        # The manifest goes first, since without it what is left is no export any more, and the note goes last.
        for name in [MANIFEST_NAME, *sorted(names), _WORK]:
            path = self.out / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def publish(written: Path, final: Path) -> Path:
    """Give a finished file its final name, in the same file system; return that."""
    final.parent.mkdir(parents=True, exist_ok=True)
    return written.replace(final)


def _identity(manifest: Manifest) -> Any:
    """Return what must be equal for two exports to be the same, as plain JSON data."""
    parts = {"name": manifest.name, "config": manifest.config, "parent": manifest.parent, "tool": manifest.tool}
    return orjson.loads(orjson.dumps(parts))


def _read_begun(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        begun: dict[str, Any] = orjson.loads(path.read_bytes())
        return {"identity": begun["identity"], "names": list(begun["names"])}
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise SketchDataError(f"{path} is not the note of an unfinished export ({error}): remove its folder") from error


def _check_names(out: Path, names: Collection[str]) -> None:
    # They come from files that someone else may have written, and what they name will be deleted.
    outside = sorted(name for name in names if name in ("", ".", "..") or "/" in name)
    if outside:
        raise SketchDataError(f"{out} lists files outside of itself ({outside[0]!r}), so nothing was removed")
