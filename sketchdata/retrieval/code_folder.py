"""Binary codes on disk: a Parquet file per split, and a manifest, written last, that names their network.

{split}.parquet     key_id uint64 · label uint16 · code fixed_size_binary, ⌈D / 8⌉ bytes; rows in the split's order
manifest.json       `config` has the `bits` D, the sha256 of the `model` (null if unknown), the `splits`, and whether
                    `ids` are key_ids or row numbers, for bitmaps without key_ids; `parent` is the data set

Bit j of a code is bit j % 8, counted from the lowest, of byte j // 8; bits beyond D are 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.engine.output_folder import OutputFolder
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats.codes import MAX_BITS, Codes, Packed
from sketchdata.storage.manifest import (
    MANIFEST_NAME,
    Manifest,
    ParentEntry,
    check_listed,
    hash_file,
    read_manifest,
    replacing,
)
from sketchdata.storage.parquet import ROW_GROUP_ROWS, read_row_groups

KEY_IDS, ROW_NUMBERS = "key_id", "row"
_REMEDY = "encode the data set again"
_NOUN = "folder of codes"


def file_name(split: str) -> str:
    """Return the name of a split's file."""
    return f"{split}.parquet"


@dataclass(frozen=True, kw_only=True)
class CodeOrigin:
    """The source of codes.

    Attributes:
        data: The data set: its name, and a sha256 that identifies its content.
        bits: D.
        classes: The class table.
        model: The sha256 of the network's file; None if unknown.
        ids: KEY_IDS, or ROW_NUMBERS for drawings without key_ids.
    """

    data: ParentEntry
    bits: int
    classes: tuple[str, ...]
    model: str | None
    ids: str = KEY_IDS


def code_folder(out: Path, origin: CodeOrigin, splits: Sequence[str]) -> OutputFolder:
    """Return the output folder of codes, without writing anything.

    Raises:
        ConfigError: The number of bits is out of range.
    """
    if not 1 <= origin.bits <= MAX_BITS:
        raise ConfigError(f"a code has 1 to {MAX_BITS} bits, not {origin.bits:,}")
    plan = Manifest(
        name=f"{origin.data.name}-codes",
        config={"bits": origin.bits, "model": origin.model, "ids": origin.ids, "splits": list(splits)},
        classes=origin.classes,
        counts={split: {} for split in splits},
        rejects={},
        sources=(),
        files=(),
        parent=origin.data,
    )
    return OutputFolder(out=out, plan=plan, names=frozenset(map(file_name, splits)), noun=_NOUN)


def write_codes(folder: OutputFolder, splits: Mapping[str, Callable[[], Codes]], *, overwrite: bool) -> Manifest:
    """Write the codes of some splits, whole or not at all; equal codes give equal bytes.

    A split that an earlier run of the same command has finished is not computed again.

    Args:
        folder: From `code_folder`.
        splits: {split: function that returns its codes}.
        overwrite: Whether other codes in the folder may be replaced.

    Raises:
        ConfigError: The folder has something else.
    """
    if (finished := folder.begin(overwrite=overwrite)) is not None:
        return finished
    for split, codes in splits.items():
        if not (folder.work / file_name(split)).exists():
            write_split(folder.work / file_name(split), codes())
    counts, classes = {}, folder.plan.classes
    for split in splits:
        labels = _read_table(folder.work / file_name(split)).column("label").to_numpy()
        counts[split] = dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))
    entries = [folder.publish(file_name(split), sum(own.values())) for split, own in counts.items()]
    return folder.finish(entries, _card, counts=counts)


def write_split(path: Path, codes: Codes) -> None:
    """Write one file of codes, whole or not at all."""
    width = codes.packed.shape[1]
    data = pa.py_buffer(np.ascontiguousarray(codes.packed))
    packed = pa.Array.from_buffers(pa.binary(width), len(codes), [None, data])
    table = pa.Table.from_arrays([pa.array(codes.key_ids), pa.array(codes.labels), packed], schema=_schema(width))
    with replacing(path) as file:
        # Codes and key_ids are nearly random, so dictionaries would enlarge the file.
        pq.write_table(table, file, row_group_size=ROW_GROUP_ROWS, compression="zstd", use_dictionary=["label"])


def _schema(width: int) -> pa.Schema:
    kinds = {"key_id": pa.uint64(), "label": pa.uint16(), "code": pa.binary(width)}
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in kinds.items()])


def _card(manifest: Manifest) -> str:
    config, parent = manifest.config, manifest.parent
    rows = "\n".join(f"| {split} | {count:,} |" for split, count in manifest.splits.items())
    model = config["model"]
    network = "" if model is None else f", by the network of sha256\n`{model}`"
    made_from = "" if parent is None else f" of {parent.name} (sha256: `{parent.sha256}`)"
    ids = (
        "key_ids" if config["ids"] == KEY_IDS else "numbers of the rows of their split, as the drawings have no key_id"
    )
    return f"""# {manifest.name}

Binary codes of {config["bits"]} bits{made_from}{network}. Written by {manifest.tool}.

| split | codes |
|---|--:|
{rows}

`{{split}}.parquet` has `key_id`, `label` and `code` of each drawing or photo. Ids are {ids}. Bit j of a code is bit
j % 8, the lowest first, of its byte j // 8. `manifest.json` has the class table that the labels index, and lists every
file with its sha256; `sketchdata verify` checks them.
"""


@dataclass(frozen=True, kw_only=True)
class CodeFolder:
    """A finished folder of codes: its path and its manifest."""

    path: Path
    manifest: Manifest

    @property
    def bits(self) -> int:
        """D."""
        return int(self.manifest.config["bits"])

    @property
    def model(self) -> str | None:
        """The sha256 of the network's file; None if unknown."""
        model = self.manifest.config["model"]
        return None if model is None else str(model)

    @property
    def photos(self) -> tuple[str, ...]:
        """The splits that have photos, in codes of drawings and photos."""
        return tuple(split for split in self.manifest.config["splits"] if split.endswith("-photos"))

    @property
    def entry(self) -> ParentEntry:
        """Its entry in the manifest of an index."""
        return ParentEntry(name=self.manifest.name, sha256=hash_file(self.path / MANIFEST_NAME, "sha256"))

    def read(self, split: str) -> Codes:
        """Return the codes of a split, in the order of its rows.

        Raises:
            ConfigError: The split does not exist.
            SketchDataError: The file is missing or damaged, or has codes of another length or class table.
        """
        listed = {entry.path: entry for entry in self.manifest.files}
        entry = listed.get(file_name(split))
        if entry is None or split not in self.manifest.counts:
            raise ConfigError(f"there is no split {split!r}; {self.path} has {', '.join(self.manifest.counts)}")
        path = self.path / entry.path
        check_listed(path, entry.sha256, _REMEDY)
        table = _read_table(path)
        width = -(-self.bits // 8)
        if not table.schema.equals(_schema(width)):
            raise SketchDataError(f"{path} does not hold codes of {self.bits} bits, its columns are {table.schema}")
        pieces: list[Packed] = [np.empty(0, np.uint8)]
        for chunk in table.column("code").chunks:
            pieces.append(np.frombuffer(chunk.buffers()[1], np.uint8, len(chunk) * width, chunk.offset * width))
        packed = np.concatenate(pieces).reshape(-1, width)
        codes = Codes(
            bits=self.bits,
            packed=packed,
            # Copied: Arrow's memory is read-only.
            labels=table.column("label").to_numpy().copy(),
            key_ids=table.column("key_id").to_numpy().copy(),
            classes=self.manifest.classes,
        )
        if len(codes) != entry.records:
            raise SketchDataError(
                f"{path} holds {len(codes):,} codes, and the manifest says {entry.records:,}: {_REMEDY}"
            )
        if len(codes) and int(codes.labels.max()) >= len(codes.classes):
            raise SketchDataError(
                f"{path} has labels beyond the {len(codes.classes):,} classes of the manifest: {_REMEDY}"
            )
        if self.bits % 8 and (codes.packed[:, -1] >> (self.bits % 8)).any():
            raise SketchDataError(f"{path} has codes with bits beyond the first {self.bits}: {_REMEDY}")
        return codes


def open_codes(path: Path) -> CodeFolder:
    """Open a folder of codes.

    Raises:
        SketchDataError: The folder is missing, unfinished, of another layout version, or has something else.
    """
    manifest = read_manifest(path)
    config: dict[str, Any] = manifest.config
    if not isinstance(config.get("bits"), int) or not {"model", "splits"} <= config.keys():
        raise SketchDataError(
            f"{path} holds {manifest.name}, which is not a {_NOUN}: make one with `sketchdata encode`"
        )
    return CodeFolder(path=path, manifest=manifest)


def read_codes(path: Path, split: str) -> Codes:
    """Return the codes of one split of a folder of codes.

    Raises:
        ConfigError: The split does not exist.
        SketchDataError: There are no codes, or they are damaged.
    """
    return open_codes(path).read(split)


def _read_table(path: Path) -> pa.Table:
    groups = list(read_row_groups(path))
    if not groups:
        raise SketchDataError(f"{path} holds no codes: {_REMEDY}")
    return pa.concat_tables(groups)
