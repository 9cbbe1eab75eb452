"""Generated sources of a few categories, builds of them in this process, and the real command in another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson

from sketchdata.drawings.sampling import SPLITS
from sketchdata.engine import EngineOptions
from sketchdata.pipelines import quickdraw, synth
from sketchdata.storage import parquet
from sketchdata.storage.manifest import Manifest

#: In the order of the class table. One has a space, as some official names do.
CATEGORIES = ("aircraft carrier", "cat", "house", "star")
SIZES = {"train": 90, "val": 10, "gallery": 10, "query": 1}
WANTED = sum(SIZES.values())
LINES = 300
IN_PROCESS = EngineOptions(workers=0)


def generate(folder: Path, categories: Sequence[str] = CATEGORIES, **options: object) -> Path:
    """Write LINES generated drawings a category, laid out like the bucket; return the folder."""
    settings = {"drawings": LINES, "categories": ",".join(categories), **options}
    assert synth.run(synth.Config(out=folder, **settings), IN_PROCESS) is not None
    return folder


def source_file(source: Path, category: str, suffix: str = ".ndjson") -> Path:
    return source / "full" / ("binary" if suffix == ".bin" else "simplified") / f"{category}{suffix}"


def lines_of(source: Path, category: str) -> list[bytes]:
    return source_file(source, category).read_bytes().splitlines(keepends=True)


def write_lines(source: Path, category: str, lines: Sequence[bytes]) -> None:
    path = source_file(source, category)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(lines))


def config(source: object, out: Path, **options: object) -> quickdraw.Config:
    return quickdraw.Config(
        **{"source": str(source), "out": out, "categories": ",".join(CATEGORIES), **SIZES, **options}
    )


def build(source: object, out: Path, **options: object) -> Manifest:
    """Build in this process."""
    manifest = quickdraw.run(config(source, out, **options), IN_PROCESS)
    assert manifest is not None
    return manifest


def build_command(source: object, out: Path, *more: object, categories: Sequence[str] = CATEGORIES) -> list[str]:
    """Return the words of the same build's command line; options given again in `more` win."""
    sizes = [text for split, size in SIZES.items() for text in (f"--{split}", str(size))]
    where = ["--source", str(source), "--out", str(out), "--categories", ",".join(categories)]
    return ["build", "quickdraw-3.8m", *where, *sizes, *map(str, more)]


def key_ids(out: Path, split: str) -> list[int]:
    """Return a split's key_ids in the order of its rows, as its shards hold them."""
    shards = sorted((out / "data").glob(f"{split}-*.parquet"))
    return [key_id for shard in shards for key_id in parquet.read_shard(shard).key_id.tolist()]


def labels(out: Path, split: str) -> list[int]:
    shards = sorted((out / "data").glob(f"{split}-*.parquet"))
    return [label for shard in shards for label in parquet.read_shard(shard).label.tolist()]


def key_ids_of_class(out: Path, word: str) -> dict[str, list[int]]:
    """Return {split: a class's key_ids, in the order of the rows}."""
    label = orjson.loads((out / "manifest.json").read_bytes())["classes"].index(word)
    return {
        split: [k for k, found in zip(key_ids(out, split), labels(out, split), strict=True) if found == label]
        for split in SPLITS
    }


def rejects(out: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in (out / "rejects.jsonl").read_bytes().splitlines()]


# ---- the split in plain Python, written from its definition and not from the code -----------------------------------

_MASK = 2**64 - 1


def plain_splitmix64(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def plain_rank(key_id: int, seed: int = 0) -> int:
    return plain_splitmix64(key_id ^ plain_splitmix64(seed))


def plain_splits(key_ids: Sequence[int], seed: int = 0, sizes: dict[str, int] = SIZES) -> dict[str, list[int]]:
    """Split one class's good key_ids: the smallest ranks, train first."""
    ordered, start, splits = sorted(set(key_ids), key=lambda key_id: plain_rank(key_id, seed)), 0, {}
    for split, size in sizes.items():
        splits[split] = ordered[start : start + size]
        start += size
    return splits


def key_ids_in(lines: Sequence[bytes]) -> list[int]:
    return [int(orjson.loads(line)["key_id"]) for line in lines]
