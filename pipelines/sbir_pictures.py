"""Read photos, and drawings stored as pixels, for `sketchdata build sbir`, and select among them.

`file_rows` and `crop_rows` make the rows of one task. `Found` has the rows of all tasks, selects among them, and makes
the tasks that write shards. The stages are in `pipelines/sbir.py`.
"""

from __future__ import annotations

import datetime
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sketchdata import __version__
from sketchdata.cross_domain.layouts import DOMAINS, DRAWN_SIDE, DRAWN_WIDTH, GROUPS, PHOTOS, group_classes
from sketchdata.drawings.drawing import Words, concatenate
from sketchdata.drawings.raster import raster
from sketchdata.drawings.sampling import ranks
from sketchdata.engine import Task, TaskResult
from sketchdata.engine.output_folder import OutputFolder
from sketchdata.errors import FormatError
from sketchdata.files import regular
from sketchdata.formats.files import read_svg
from sketchdata.photos.crops import encode
from sketchdata.photos.image import DEFAULT_LIMITS, Photo, decode, perceptual_hash, resize, sniff
from sketchdata.pipelines import drawings as own_drawings
from sketchdata.pipelines.sbir_inputs import CREDITS, SVG
from sketchdata.storage import pictures
from sketchdata.storage.manifest import SCHEMA_VERSION

#: Reasons to leave out a readable picture.
DOUBLE, OTHER_GROUP = "same file as another", "photo of a class of another group"

_EDGES = ("x0", "y0", "x1", "y1")


class Source:
    """Size, md5 and number of the pictures read by a task."""

    def __init__(self) -> None:
        self.bytes, self.records = 0, 0
        self.md5 = hashlib.md5(usedforsecurity=False)

    def add(self, content: bytes) -> None:
        """Count a picture."""
        self.bytes += len(content)
        self.records += 1
        self.md5.update(content)


def file_rows(task: Task, source: Source, rejected: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """Yield a row per decodable file of a class; add the other files to `rejected`, and all files to `source`."""
    settings = task.config
    category = settings["category"]
    for number, name in enumerate(settings["files"]):
        try:
            with regular(Path(settings["root"]) / name).open("rb") as file:
                # One byte more than the limit shows that a file is too large.
                content = file.read(DEFAULT_LIMITS.bytes + 1)
            source.add(content)
            row = _picture(content, settings, is_svg=name.lower().endswith(SVG))
        except FormatError as error:
            rejected.append(_reject(settings, name, error.reason, error.detail))
            continue
        except OSError as error:
            rejected.append(_reject(settings, name, "unreadable file", error.strerror or str(error)))
            continue
        sha256, word = hashlib.sha256(content).hexdigest(), settings["classes"][category]
        known = settings["credits"][number] if settings["credits"] else {}
        fetched = known.get("fetched") or None
        yield {
            **row,
            **dict.fromkeys((*_EDGES, *CREDITS)),
            "photo": name,
            "source": settings["source"],
            **known,
            "fetched": fetched and datetime.date.fromisoformat(fetched),
            "word": word,
            "category": category,
            "photo_sha256": sha256,
            "key_id": pictures.picture_id(sha256, None, word),
        }


def crop_rows(task: Task, source: Source, rejected: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """Yield a row per crop of a shard with a requested class; see `file_rows`."""
    settings = task.config
    (name,) = settings["files"]
    for table in pictures.read_shard(Path(settings["root"]) / name):
        for row in table.to_pylist():
            content = row["image"]["bytes"]
            source.add(content)
            if row["word"] not in settings["classes"]:
                continue
            word, box = settings["classes"][row["word"]], tuple(row[edge] for edge in _EDGES)
            try:
                made = _picture(content, settings, is_svg=False)
            except FormatError as error:
                rejected.append(_reject(settings, f"{name}, key_id {row['key_id']}", error.reason, error.detail))
                continue
            key_id = pictures.picture_id(row["photo_sha256"], None if None in box else box, word)
            yield {**row, **made, "word": word, "key_id": key_id}


def _reject(settings: Mapping[str, Any], name: str, reason: str, detail: str) -> dict[str, str]:
    return {"file": f"{settings['domain']}/{name}", "where": "the file", "reason": reason, "detail": detail}


def _picture(content: bytes, settings: Mapping[str, Any], *, is_svg: bool) -> dict[str, Any]:
    """Return the stored picture: the original file if its format and size allow."""
    kind = "jpeg" if settings["domain"] == PHOTOS else "png"
    picture = _drawn(content) if is_svg else decode(content)
    large = max(picture.shape[:2]) > settings["longest_side"]
    if large:
        picture = resize(picture, settings["longest_side"])
    as_given = not large and sniff(content) == kind.upper()
    return {
        "image": content if as_given else encode(picture, kind),
        "width": picture.shape[1],
        "height": picture.shape[0],
        "phash": perceptual_hash(picture),
    }


def _drawn(content: bytes) -> Photo:
    (portion,) = read_svg(iter([content]), Words(), "drawing", name="")
    if portion.faults:
        raise FormatError(portion.faults[0].reason, portion.faults[0].detail)
    batch, faults = own_drawings.simplified(portion)
    if faults:
        raise FormatError(faults[0].reason, faults[0].detail)
    ink = raster(concatenate([batch]), size=DRAWN_SIDE, line_width=DRAWN_WIDTH, threads=1)[0]
    return np.repeat(255 - ink[:, :, None], 3, axis=2)


class Found:
    """The pictures of both domains that were read, from which some are selected.

    Attributes:
        results: Results of the tasks that read pictures.
        chunks: {domain: {path of an Arrow file: its sha256}}.
        rows: {domain: rows}, each with its chunk and its row in the chunk.
        rejected: Lines of rejected pictures.
    """

    def __init__(self, folder: OutputFolder, results: Sequence[TaskResult]) -> None:
        self.rejected: list[dict[str, str]] = []
        self.results = results
        names = ["key_id", "word", "photo", "photo_sha256", "x0", "y0", "x1", "y1"]
        self.chunks = {
            domain: {
                str(folder.work / "read" / result.files[0].path): result.files[0].sha256
                for result in results
                if result.facts["domain"] == domain and result.files[0].records
            }
            for domain in DOMAINS
        }
        self.rows: dict[str, list[dict[str, Any]]] = {domain: [] for domain in DOMAINS}
        for domain, paths in self.chunks.items():
            for path in paths:
                table = pa.ipc.open_file(pa.memory_map(path)).read_all().select(names)
                rows = table.to_pylist()
                self.rows[domain] += [row | {"chunk": path, "row": number} for number, row in enumerate(rows)]
            self._drop_doubles(domain)

    def _drop_doubles(self, domain: str) -> None:
        """Keep one of equal files, that of the alphabetically first class and name."""
        first: dict[tuple[Any, ...], dict[str, Any]] = {}
        kept = []
        for row in sorted(self.rows[domain], key=lambda row: (row["word"], row["photo"], row["key_id"])):
            other = first.setdefault((row["photo_sha256"], *(row[edge] for edge in _EDGES)), row)
            if other is row:
                kept.append(row)
            else:
                self._reject(domain, row, DOUBLE, f"{other['photo']} of {other['word']}")
        self.rows[domain] = kept

    def _reject(self, domain: str, row: Mapping[str, Any], reason: str, detail: str) -> None:
        where = f"key_id {row['key_id']} of {row['word']}"
        self.rejected.append({"file": f"{domain}/{row['photo']}", "where": where, "reason": reason, "detail": detail})

    def choose(self, group_of: Mapping[str, str], at_most: Mapping[str, int | None], seed: int) -> None:
        """Keep the pictures of the classes, per class those with the smallest ranks: `at_most` of each domain.

        If a photo has crops in several groups, those of unseen classes are kept, else those of validation classes.
        """
        for domain, most in at_most.items():
            rows = [row for row in self.rows[domain] if row["word"] in group_of]
            last: dict[str, int] = {}
            for row in rows:
                place = GROUPS.index(group_of[row["word"]])
                last[row["photo_sha256"]] = max(last.get(row["photo_sha256"], 0), place)
            kept: dict[str, list[dict[str, Any]]] = {}
            for row in rows:
                if GROUPS[last[row["photo_sha256"]]] == group_of[row["word"]]:
                    kept.setdefault(row["word"], []).append(row)
                else:
                    self._reject(domain, row, OTHER_GROUP, GROUPS[last[row["photo_sha256"]]])
            self.rows[domain] = []
            for own in kept.values():
                order = np.argsort(ranks(np.array([row["key_id"] for row in own], np.uint64), seed), kind="stable")
                self.rows[domain] += [own[place] for place in order.tolist()[:most]]

    def shard_tasks(self, folder: OutputFolder, counts: dict[str, dict[str, int]]) -> list[Task]:
        """Return the tasks that write the shards, and their counts."""
        tasks, classes = [], folder.plan.classes
        group_of = {word: group for group, words in group_classes(folder.plan).items() for word in words}
        for domain in DOMAINS:
            for group in GROUPS:
                split = f"{group}-{domain}"
                rows = [row for row in self.rows[domain] if group_of[row["word"]] == group]
                counts[split].update(Counter(row["word"] for row in rows))
                rows.sort(key=lambda row: (classes.index(row["word"]), row["key_id"]))
                spans = pictures.shard_spans(len(rows))
                for shard, (start, stop) in enumerate(spans):
                    parts: dict[str, list[int]] = {}
                    for row in rows[start:stop]:
                        parts.setdefault(row["chunk"], []).append(row["row"])
                    name = pictures.shard_name(split, shard, len(spans))
                    facts = {"name": folder.plan.name, "version": SCHEMA_VERSION, "tool": __version__, "split": split}
                    tasks.append(
                        Task(
                            id=Path(name).name,
                            output=folder.out / name,
                            inputs={Path(path).name: self.chunks[domain][path] for path in parts},
                            config={
                                "parts": parts,
                                "classes": list(classes),
                                "facts": facts,
                                "written": str(folder.work / "written" / Path(name).name),
                            },
                            markers=folder.work / "shards",
                        )
                    )
        return tasks
