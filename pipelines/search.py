"""Search an index for the drawings or photos nearest to queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from sketchdata.config import FOLDER, option
from sketchdata.errors import ConfigError, needs_extra
from sketchdata.formats.codes import Packed
from sketchdata.retrieval.code_folder import ROW_NUMBERS
from sketchdata.retrieval.index import Index, Neighbours, open_index
from sketchdata.retrieval.query import (
    MAX_QUERIES,
    Query,
    Unreadable,
    find_drawings,
    parse_key_id,
    read_each,
    read_queries,
)
from sketchdata.retrieval.vector_index import VectorIndex, is_vector_index, open_vector_index
from sketchdata.storage.catalog import choose_classes
from sketchdata.storage.dataset import open_dataset
from sketchdata.storage.manifest import read_manifest

if TYPE_CHECKING:
    from sketchdata.cross_domain.photo_search import FoundPhoto
    from sketchdata.drawings.drawing import Drawing

DEFAULT_K = 20
#: Drawings embedded at a time.
_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options of a search."""

    run: Path | None = option(
        None,
        help="Folder of the training whose network made the index; needed for drawings that are not in the index.",
        type=FOLDER,
    )
    k: int | None = option(
        None,
        help=f"Number of nearest drawings or photos to show. Default: {DEFAULT_K}.",
        param_decls=["-k"],
        type=click.IntRange(1),
    )
    data: Path | None = option(
        None, help="Built data set in which to look up key_ids and, for --html, the drawings or photos.", type=FOLDER
    )
    word: str | None = option(
        None, help="Class of the queries, instead of the one that they state.", param_decls=["--class"], metavar="WORD"
    )
    beside: tuple[str, ...] = option(
        (),
        help="Another index, INDEX or INDEX=RUN, whose results --html shows beside those of the first; repeatable.",
        multiple=True,
        metavar="INDEX[=RUN]",
    )
    device: str = option("cpu", help="Device that computes codes: auto, cpu, cuda, cuda:1.")


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """One of the nearest drawings or photos.

    Attributes:
        rank: Rank, from 1.
        key_id: key_id, or the id in the index.
        word: Class.
        distance: Hamming distance of the codes, or Euclidean distance of the vectors.
        hit: Whether its class is that of the query; None if unknown.
    """

    rank: int
    key_id: int
    word: str
    distance: float
    hit: bool | None


@dataclass(frozen=True, kw_only=True)
class SearchAnswer:
    """The results of a query.

    Attributes:
        query: The query.
        results: Nearest first; equally near ones in the order of key_ids.
        note: A note for the user, or None.
    """

    query: Query
    results: tuple[SearchResult, ...]
    note: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class SearchAnswers:
    """The answers to all queries, the index, the name of its run or else of the index, and unreadable files."""

    name: str
    index: Index | VectorIndex
    answers: tuple[SearchAnswer, ...]
    unreadable: tuple[Unreadable, ...] = ()


def run(directory: Path, queries: Sequence[str], config: Config) -> SearchAnswers:
    """Search an index for key_ids and files, see `query.read_queries`.

    A query in the index is excluded from its own results.

    Raises:
        ConfigError: The queries, the run and the index do not fit each other, or the index has fewer than k codes.
        SketchDataError: The index, the run or a query is missing or damaged.
    """
    if is_vector_index(read_manifest(directory)):
        index: Index | VectorIndex = open_vector_index(directory)
    else:
        index = open_index(directory)
    k = config.k or min(DEFAULT_K, len(index))
    if k > len(index):
        held = "photos" if index.of_photos else "codes"
        raise ConfigError(f"-k {k:,} is more than the {len(index):,} {held} of the index")
    word = None if config.word is None else choose_classes(index.classes, config.word)[0]
    read, unreadable = read_each(queries, lambda text: _read(text, index, config))
    if len(read) > MAX_QUERIES:
        raise ConfigError(f"{len(read):,} queries at once, and {MAX_QUERIES:,} are answered at most")
    read = _with_drawings([replace(query, word=word or query.word) for query in read], config.data)
    # One more, since a drawing in the index finds itself first.
    wanted = min(k + 1, len(index))
    if index.of_photos:
        neighbours = _nearest(read, index, wanted, config)
    else:
        assert isinstance(index, Index)  # noqa: S101 - vectors are of photos
        neighbours = index.search(_codes(read, index, config), wanted)
    pairs = zip(read, neighbours, strict=True)
    return SearchAnswers(
        name=(config.run or directory).resolve().name,
        index=index,
        answers=tuple(_answer(index, query, found, k) for query, found in pairs),
        unreadable=unreadable,
    )


def run_beside(queries: Sequence[str], config: Config) -> list[SearchAnswers]:
    """Search the indexes in `beside` for the queries of the first one.

    Raises:
        ConfigError, SketchDataError: As for `run`.
    """
    found = []
    for text in config.beside:
        directory, _, own = text.partition("=")
        found.append(run(Path(directory), queries, replace(config, run=Path(own) if own else config.run)))
    return found


def _read(text: str, index: Index | VectorIndex, config: Config) -> list[Query]:
    key_id = parse_key_id(text)
    if key_id is None:
        return read_queries(text)
    row = index.row_of(key_id)
    if row is None and index.of_photos:
        raise ConfigError(f"the index has no photo of key_id {key_id}: give one of its photos, or a file of a drawing")
    if row is None and config.data is None:
        raise ConfigError(f"key_id {key_id} is not in the index: give the data set that has it with --data")
    word = None if row is None else index.classes[int(index.labels[row])]
    return [Query(name=text, key_id=key_id, row=row, word=word)]


def _with_drawings(queries: Sequence[Query], data: Path | None) -> list[Query]:
    """Read the drawings of the key_ids that are not in the index."""
    absent = {q.key_id for q in queries if q.key_id is not None and q.row is None and q.drawing is None}
    if not absent or data is None:
        return list(queries)
    found = find_drawings(open_dataset(data), absent, first=("query",))
    missing = sorted(absent - found.keys())
    if missing:
        raise ConfigError(f"key_id {missing[0]} is neither in the index nor in {data}")
    complete = []
    for query in queries:
        if query.key_id in absent:
            drawing = found[query.key_id]
            query = replace(query, drawing=query.drawing or drawing, word=query.word or drawing.word)
        complete.append(query)
    return complete


def _nearest(queries: Sequence[Query], index: Index | VectorIndex, k: int, config: Config) -> list[Neighbours]:
    """Return the nearest items of drawings, by the network, and of photos in the index, by their vectors or codes."""
    own = {number: query.row for number, query in enumerate(queries) if query.row is not None}
    drawn = {number: query.drawing for number, query in enumerate(queries) if query.row is None and query.drawing}
    found = dict[int, Neighbours]()
    if own:
        found |= zip(own, index.search(np.stack([index.code(row) for row in own.values()]), k), strict=True)
    if drawn:
        if config.run is None:
            raise ConfigError("a drawing needs the network that made the index: give its run with --run")
        with needs_extra("searching photos", "train"):
            from sketchdata.cross_domain.photo_search import DrawingEmbedder
            from sketchdata.training.distributed import device_of
        embed = DrawingEmbedder(index, config.run, device=str(device_of(config.device)))
        for start in range(0, len(drawn), _AT_ONCE):
            numbers = list(drawn)[start : start + _AT_ONCE]
            found |= zip(numbers, index.search(embed([drawn[number] for number in numbers]), k), strict=True)
    return [found[number] for number in range(len(queries))]


def _codes(queries: Sequence[Query], index: Index, config: Config) -> Packed:
    """Return the code of each query, (M, ⌈D / 8⌉) uint8: from the index, or by the network from the drawing."""
    packed = np.zeros((len(queries), -(-index.bits // 8)), np.uint8)
    for number, query in enumerate(queries):
        if query.row is not None:
            packed[number] = index.code(query.row)
    drawn = {number: query.drawing for number, query in enumerate(queries) if query.drawing is not None}
    if drawn:
        packed[list(drawn)] = index.encode(list(drawn.values()), config.run, device=config.device)
    return packed


def _answer(index: Index | VectorIndex, query: Query, found: Neighbours, k: int) -> SearchAnswer:
    known = query.word in index.classes
    unknown = None if known or query.word is None else f"the index has no class {query.word!r}, so no hits are marked"
    pairs = zip(found.rows.tolist(), found.distances.tolist(), strict=True)
    others = [(row, distance) for row, distance in pairs if int(index.key_ids[row]) != query.key_id][:k]
    results = []
    for rank, (row, distance) in enumerate(others, 1):
        word = index.classes[int(index.labels[row])]
        hit = word == query.word if known else None
        results.append(SearchResult(rank=rank, key_id=int(index.key_ids[row]), word=word, distance=distance, hit=hit))
    return SearchAnswer(query=query, results=tuple(results), note=unknown)


def photos_of(found: SearchAnswers, data: Path) -> dict[int, FoundPhoto]:
    """Return the photos of all results, and of the queries that are photos, from a data set: {key_id: photo}.

    Raises:
        ConfigError: The index was made from another data set.
        SketchDataError: The data set is missing or damaged.
    """
    from sketchdata.cross_domain.photo_search import PhotoStore

    index = found.index
    wanted = {result.key_id for answer in found.answers for result in answer.results}
    wanted |= {a.query.key_id for a in found.answers if a.query.key_id is not None and a.query.row is not None}
    rows = {key_id: row for key_id in sorted(wanted) if (row := index.row_of(key_id)) is not None}
    photos = PhotoStore(index, data).photos(np.array(list(rows.values()), np.int64))
    return dict(zip(rows, photos, strict=True))


def drawings_of(found: SearchAnswers, data: Path) -> dict[int, Drawing]:
    """Return the drawings of all results, and of the queries that are in the index, from a data set: {key_id: drawing}.

    Raises:
        ConfigError: A drawing is missing, or the index is of bitmaps, which have no key_ids.
        SketchDataError: The data set is missing, or a shard cannot be read.
    """
    if not isinstance(found.index, Index) or found.index.of_photos:
        raise ConfigError(f"the index of {found.name} is over photos, which are shown alone: leave out --beside")
    if found.index.facts.get("ids") == ROW_NUMBERS:
        raise ConfigError("the index is of bitmaps, which have no key_ids to look up drawings")
    wanted = {result.key_id for answer in found.answers for result in answer.results}
    wanted |= {a.query.key_id for a in found.answers if a.query.key_id is not None and a.query.drawing is None}
    drawings = find_drawings(open_dataset(data), wanted, first=(str(found.index.facts.get("split")),))
    missing = sorted(wanted - drawings.keys())
    if missing:
        raise ConfigError(
            f"{len(missing):,} of {len(wanted):,} drawings are not in {data}, key_id {missing[0]} among them: use the "
            f"data set that the codes were made from"
        )
    return drawings
