"""What the process that crawls is told: a folder, options, and a list of URLs on disk."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from sketchdata.photos.collection.tables import WORK_FOLDER
from sketchdata.photos.crawl.options import CrawlOptions
from sketchdata.photos.crawl.outcomes import digest_of
from sketchdata.storage.manifest import replacing

_TODO_FILE = "todo.jsonl"
_QUEUE_FOLDER = "queue"
_PARTS_FOLDER = "parts"
_SUM_BYTES = 16


@dataclass(kw_only=True)
class Tally:
    """How many URLs there are, and the sum of their digests: two sets with the same tally are the same set."""

    count: int = 0
    sum: int = 0

    def add(self, url: str) -> None:
        """Take a URL into the set."""
        self._change(1, url)

    def remove(self, url: str) -> None:
        """Take a URL out of the set."""
        self._change(-1, url)

    def _change(self, sign: int, url: str) -> None:
        self.count += sign
        self.sum = (self.sum + sign * int.from_bytes(digest_of(url), "big")) % (1 << 8 * _SUM_BYTES)

    def as_json(self) -> dict[str, Any]:
        """Return it with the sum in hexadecimal, which is too long for JSON's numbers."""
        return {"count": self.count, "sum": f"{self.sum:x}"}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of the crawling process.

    Attributes:
        folder: The collection.
        options: How to crawl.
        todo: A tally of the URLs in the list.
    """

    folder: Path
    options: CrawlOptions
    todo: Tally

    @classmethod
    def write(cls, folder: Path, options: CrawlOptions, urls: Collection[str]) -> Job:
        """Write a job's list of URLs."""
        tally = Tally()
        with replacing(folder / WORK_FOLDER / _TODO_FILE) as file:
            for url in urls:
                tally.add(url)
                file.write(orjson.dumps(url, option=orjson.OPT_APPEND_NEWLINE))
        return cls(folder=folder, options=options, todo=tally)

    def line(self) -> bytes:
        """Return the job for the crawling process, without the list."""
        values = {"folder": str(self.folder), "options": asdict(self.options), "todo": asdict(self.todo)}
        values["todo"] = self.todo.as_json()
        return orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def parse(cls, line: bytes) -> Job:
        """Read what `line` gave."""
        values = orjson.loads(line)
        todo = Tally(count=values["todo"]["count"], sum=int(values["todo"]["sum"], 16))
        return cls(folder=Path(values["folder"]), options=CrawlOptions(**values["options"]), todo=todo)

    @property
    def work(self) -> Path:
        """Where the crawl keeps what it needs to go on."""
        return self.folder / WORK_FOLDER

    @property
    def queue(self) -> Path:
        """Scrapy's JOBDIR."""
        return self.work / _QUEUE_FOLDER

    def urls(self) -> Iterator[str]:
        """Yield the URLs of the list."""
        with (self.work / _TODO_FILE).open("rb") as file:
            for line in file:
                yield orjson.loads(line)

    def make_parts_folder(self) -> Path:
        """Return an empty folder for files that are being written; a killed run may have left some."""
        parts = self.work / _PARTS_FOLDER
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir(parents=True)
        return parts

    def take_queue(self) -> bool:
        """Return whether the queue on disk holds this very list and can be gone on with; throw away any other.

        Scrapy's queue is consistent only after a stop in good order, and lacks what was under way when it was not. So a
        stop in good order notes what is in the queue; the note is gone as soon as the queue is in use again.
        """
        note = self.queue / "pending.json"
        try:
            fits = bool(orjson.loads(note.read_bytes()) == self.todo.as_json())
        except (OSError, orjson.JSONDecodeError):
            fits = False
        if fits:
            note.unlink()
        else:
            shutil.rmtree(self.queue, ignore_errors=True)
            self.queue.mkdir(parents=True)
        return fits

    def note_queue(self, pending: Tally) -> None:
        """Note what a queue that was closed in good order holds."""
        with replacing(self.queue / "pending.json") as file:
            file.write(orjson.dumps(pending.as_json()))
