"""Import codes, lists of pictures, class splits and word vectors of other programs."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import click
import numpy as np

from sketchdata.classes import lists as class_lists
from sketchdata.classes import splits
from sketchdata.classes.lists import ClassLists
from sketchdata.classes.spellings import by_spelling, find, plain
from sketchdata.classes.splits import SplitNames
from sketchdata.classes.vectors import write_vectors
from sketchdata.classes.word_vectors import Vector, WordSearch, read_file
from sketchdata.config import FILE, FOLDER, option
from sketchdata.engine.output_folder import claim_folder
from sketchdata.errors import ConfigError, FormatError
from sketchdata.files import regular
from sketchdata.formats import deephash
from sketchdata.formats.deephash import PictureList
from sketchdata.names import did_you_mean, names_in
from sketchdata.retrieval.code_folder import KEY_IDS, ROW_NUMBERS, CodeOrigin, code_folder, write_codes
from sketchdata.storage.catalog import QUICKDRAW, read_class_table
from sketchdata.storage.dataset import open_dataset
from sketchdata.storage.manifest import Manifest, ParentEntry, hash_file, replacing

#: Columns of the tables of pictures.
COLUMNS = ("path", "key_id", "class")
#: Kind of imported class vectors, as recorded in the file.
KIND = "words"

_KEY_ID = re.compile(r"\d{1,20}")
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class ImportCodesConfig:
    """Options of an import of codes."""

    out: Path = option(help="Folder of the codes.", record=False, type=FOLDER)
    format: str = option("deephash", help="Format of the import.", type=click.Choice(["deephash"]))
    classes: Path | None = option(
        None, help="Class table, one name per line. Default: class 0, class 1 and so on.", type=FILE
    )
    overwrite: bool = option(False, help="Replace other codes in the folder.", record=False)


def import_codes(directory: Path, config: ImportCodesConfig) -> Manifest:
    """Write the codes in a folder of arrays as a folder of codes, and return its manifest.

    Raises:
        ConfigError: The class table cannot be read or does not fit, or the folder has other content.
        FormatError: An array is missing, or a row is not a code or not of a single class.
    """
    found = deephash.read_folder(directory, None if config.classes is None else read_class_table(config.classes))
    listed = "".join(f"{path.name} {hash_file(path, 'sha256')}\n" for path in deephash.files_of(directory))
    source = ParentEntry(name=config.format, sha256=hashlib.sha256(listed.encode()).hexdigest())
    ids = KEY_IDS if found.has_key_ids else ROW_NUMBERS
    origin = CodeOrigin(data=source, bits=found.gallery.bits, classes=found.gallery.classes, model=None, ids=ids)
    splits = {"gallery": lambda: found.gallery, "query": lambda: found.query}
    return write_codes(code_folder(config.out, origin, list(splits)), splits, overwrite=config.overwrite)


@dataclass(frozen=True, kw_only=True)
class ImportListsConfig:
    """Options of an import of lists."""

    out: Path = option(help="Folder of the tables.", type=FOLDER)
    classes: Path | None = option(
        None,
        help="Class table, one name per line. Default: the pictures' folders, or class 0, class 1 and so on.",
        type=FILE,
    )


def import_lists(directory: Path, config: ImportListsConfig) -> dict[str, int]:
    """Write the lists of a folder as `{split}.csv`, and return the number of pictures of each.

    Raises:
        ConfigError: There are no lists, the class table does not fit, or the folder is not empty.
        FormatError: A list is damaged, or its number of classes differs from the others.
    """
    lists = _read_lists(directory)
    names = _class_names(lists, config.classes)
    claim_folder(config.out, own=[f"{split}.csv" for split in deephash.FILES])
    for split, found in lists.items():
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for path, label in zip(found.paths, found.labels.tolist(), strict=True):
            stem = PurePosixPath(path).stem
            writer.writerow([path, stem if _KEY_ID.fullmatch(stem) else "", names[label]])
        with replacing(config.out / f"{split}.csv") as file:
            file.write(text.getvalue().encode())
    return {split: len(found.paths) for split, found in lists.items()}


def _read_lists(directory: Path) -> dict[str, PictureList]:
    files = {split: directory / name for split, name in deephash.FILES.items() if (directory / name).is_file()}
    if not files:
        raise ConfigError(f"{directory} has none of the lists {', '.join(deephash.FILES.values())}")
    lists: dict[str, PictureList] = {}
    for split, path in files.items():
        try:
            with path.open(encoding="utf-8-sig") as text:
                lists[split] = deephash.read_list(text)
        except UnicodeDecodeError as error:
            raise FormatError("not a list of pictures", f"{path}: {error}") from error
        except FormatError as error:
            raise FormatError(error.reason, f"{path}: {error.detail}") from error
    return lists


def _class_names(lists: Mapping[str, PictureList], table: Path | None) -> tuple[str, ...]:
    """Return the class names: given ones, the folder names if all pictures of a class are in one folder, or numbers."""
    count = max(found.classes for found in lists.values())
    if table is not None:
        names = read_class_table(table)
        if len(names) < count:
            raise ConfigError(f"--classes {table} has {len(names):,} names, and the lists have {count:,} classes")
        return names
    folders: dict[int, set[str]] = defaultdict(set)
    for found in lists.values():
        for path, label in zip(found.paths, found.labels.tolist(), strict=True):
            folders[label].add(PurePosixPath(path).parent.name)
    own = {label: next(iter(names)) for label, names in folders.items() if len(names) == 1}
    distinct = len(set(own.values())) == len(own) == len(folders) and "" not in own.values()
    return tuple(own.get(label, f"class {label}") if distinct else f"class {label}" for label in range(count))


@dataclass(frozen=True, kw_only=True)
class ImportSplitsConfig:
    """Options of an import of a class split."""

    out: Path = option(help="File to write.", type=FILE)
    pictures: Path | None = option(
        None, help="CSV file to write the lists of pictures to: list, part, path, word and label of each.", type=FILE
    )
    overwrite: bool = option(False, help="Replace existing files.")


def import_splits(directory: Path, config: ImportSplitsConfig) -> ClassLists:
    """Read all lists of a folder and write the class split as one list of names.

    Raises:
        ConfigError: The folder does not exist, or the output file exists already.
        FormatError: A list is missing or damaged.
    """
    for flag, path in {"--out": config.out, "--pictures": config.pictures}.items():
        if path is not None and path.exists() and not config.overwrite:
            raise ConfigError(f"{path} is there already: choose another {flag}, or --overwrite it")
    lists = class_lists.read_folder(directory)
    names = SplitNames(seen=lists.seen, unseen=lists.unseen)
    head = [f"{len(lists.seen):,} seen and {len(lists.unseen):,} unseen classes, from lists in the manner of SAKE."]
    with replacing(config.out) as file:
        file.write(splits.dump(names, head).encode())
    if config.pictures is not None:
        with replacing(config.pictures) as file:
            file.write(lists.table().to_csv(index=False, lineterminator="\n").encode())
    return lists


@dataclass(frozen=True, kw_only=True)
class ImportVectorsConfig:
    """Options of an import of word vectors."""

    out: Path = option(help="File to write, such as words.parquet.", type=FILE)
    words: Path | None = option(None, help="Text file of the words of a .npy file's rows, one per line.", type=FILE)
    classes: str = option(
        QUICKDRAW,
        help="Class table: quickdraw, a data set's folder, or a file, one name per line.",
        metavar="DATA|FILE",
    )
    synonyms: Path | None = option(
        None,
        help="Text file with other words for classes that have no vector, one `class: word, word` per line; the first "
        "word that has a vector counts.",
        type=FILE,
    )
    allow_missing: bool = option(False, help="Leave out classes without a vector, instead of an error.")


def import_vectors(path: Path, config: ImportVectorsConfig) -> dict[str, Any]:
    """Write the vectors, and return their description and origin.

    A vector is that of the file, unchanged, or the mean over the words of a name. A vector of zeros, which many
    programs write for an unknown word, counts as missing.

    Returns:
        `kind`, `file` and `words` (names and sha256), `missing` (classes without a vector) and `stand_ins` ({class: its
        words, if they differ from its name}), which are also in the file; and `out`, `classes` and `numbers`, the
        length of a vector.

    Raises:
        ConfigError: A class has no word, the class table or the synonyms cannot be read, or `words` does not fit.
        FormatError: The file is missing, damaged or of another kind.
        SketchDataError: The data set is missing or damaged, or the file cannot be written.
    """
    is_folder = config.classes != QUICKDRAW and Path(config.classes).is_dir()
    classes = open_dataset(Path(config.classes)).manifest.classes if is_folder else read_class_table(config.classes)
    synonyms = {} if config.synonyms is None else _read_synonyms(config.synonyms, classes)
    others = {plain(word): word for words in synonyms.values() for word in words}
    search: WordSearch[Vector] = WordSearch([*classes, *(others[key] for key in others.keys() - by_spelling(classes))])
    seen: list[str] = []

    def wants(word: bytes) -> bool:
        seen.extend([word.decode(errors="replace")] if len(seen) < _SHOWN else [])
        return search.wants(word)

    for each in read_file(path, config.words, wants):
        if each.vector.any():
            search.offer(each.word, each.vector)
    found = {
        name: match
        for name in classes
        if (match := next(filter(None, map(search.find, (name, *synonyms.get(name, ())))), None))
    }
    missing = [name for name in classes if name not in found]
    if not found:
        raise ConfigError(
            f"{path} has no word for any of the {len(classes):,} classes, {', '.join(missing[:_SHOWN])}…; its words "
            f"begin with {', '.join(map(repr, seen)) or 'none'}"
        )
    if missing and not config.allow_missing:
        raise ConfigError(
            f"{path} has no word for {len(missing):,} of the {len(classes):,} classes: {', '.join(missing)}; give them "
            "a word there, choose another class table with --classes, or leave them out with --allow-missing"
        )
    source = {
        "kind": KIND,
        "file": _named(path),
        "words": None if config.words is None else _named(config.words),
        "missing": missing,
        "stand_ins": {name: match.words for name, match in found.items() if match.words != (name,)},
    }
    vectors: Vector = np.array([np.mean(m.entries, axis=0, dtype=np.float64) for m in found.values()], np.float32)
    counts = np.array([len(match.words) for match in found.values()], np.int64)
    write_vectors(config.out, list(found), vectors, counts, source)
    return source | {"out": str(config.out), "classes": len(found), "width": vectors.shape[1]}


def _named(path: Path) -> dict[str, str]:
    # Only the file name, since folders mean nothing elsewhere.
    return {"name": path.name, "sha256": hash_file(path, "sha256")}


def _read_synonyms(path: Path, classes: Sequence[str]) -> dict[str, list[str]]:
    table = by_spelling(classes)
    try:
        lines = regular(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--synonyms {path} cannot be read as text: {error}") from error
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, rest = line.partition(":")
        words = list(names_in(rest))
        if not colon or not words:
            raise ConfigError(f"--synonyms {path}, line {number:,}: expected `class: word, word`, found {line[:60]!r}")
        own = find(name, table)
        if own is None:
            hint = did_you_mean(name.strip(), classes)
            raise ConfigError(
                f"--synonyms {path}, line {number:,}: there is no class {name.strip()!r}; {hint}".rstrip("; ")
            )
        found.setdefault(own, []).extend(words)
    return found
