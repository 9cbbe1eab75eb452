"""Items of the report and the curation page: N items in C groups, with ids, scores and facts to filter by, as columns.

Items are drawings scored by image entropy or edge maps scored by messiness. To show other scored pictures, write a
`Subject`, a function that returns `Items`, and a class like `Pictures` in `exhibit.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sketchdata.curation.audit import LABELS_FILE, SUSPECT_FLAG, Audit, command_of, read_record, record_path
from sketchdata.errors import SketchDataError
from sketchdata.progress import console
from sketchdata.storage import parquet
from sketchdata.storage.manifest import AUDIT_FOLDER

#: The name of the fact that `class_view.js` shows under a picture and relabels by; value i + 1 is class i.
LOOKS = "looks"
_OWN_CLASS = "its own class"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The words that pages use for one type of items, and the parts of the score's axis that they show.

    Attributes:
        kind: Kind of the pictures, the name of a renderer in `pictures.js`.
        noun: Singular noun.
        nouns: Plural noun.
        score: Name and unit of the score for headings and axes, and its name within a sentence.
        low: Whether there is a lower limit; there is always an upper one.
        zones: (name, title) of the parts of a class on the curation page, see `items.js`.
        places: (name, title) of the places on the axis from which the report shows examples.
        caption: Text below the report's histograms.
        relabels: Whether curators may give an item another class.
    """

    kind: str
    noun: str
    nouns: str
    score: tuple[str, str, str]
    low: bool
    zones: tuple[tuple[str, str], ...]
    places: tuple[tuple[str, str], ...]
    caption: str
    relabels: bool = False


DRAWINGS = Subject(
    kind="strokes",
    noun="drawing",
    nouns="drawings",
    score=("Image entropy", "bits", "entropy"),
    low=True,
    zones=(
        ("low", "Low noise"),
        ("border-low", "Lower border"),
        ("normal", "Normal"),
        ("border-high", "Upper border"),
        ("high", "High noise"),
        ("all", "All"),
        ("decided", "Decided"),
    ),
    places=(
        ("lowest", "Low noise"),
        ("low", "At the lower line"),
        ("median", "At the median"),
        ("high", "At the upper line"),
        ("highest", "High noise"),
    ),
    caption="How many drawings have which entropy; noise lies beyond the two lines. Below, drawings from the left end "
    "of the axis to the right.",
    relabels=True,
)

EDGE_MAPS = Subject(
    kind="edgemap",
    noun="edge map",
    nouns="edge maps",
    score=("Messiness", "mean rank within the class", "messiness"),
    low=False,
    zones=(("normal", "Normal"), ("border-high", "Border"), ("high", "Noise"), ("all", "All"), ("decided", "Decided")),
    places=(
        ("best", "Best"),
        ("better", "Better than three quarters"),
        ("median", "At the median"),
        ("high", "At the line"),
        ("worst", "Worst"),
    ),
    caption="How many edge maps have which messiness; noise lies beyond the line. Below, edge maps from the left end "
    "of the axis to the right.",
)


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A property of items that pages filter by.

    Attributes:
        name: Name of the field on the page, in lower case.
        title: Human-readable title.
        values: The possible values, in the order in which the page offers them.
        index: (N,) uint16, index of each item into `values`.
        words: For each value, the text in the description of an item; None if descriptions leave it out.
        shares: Whether the table of classes has a column with the share of the first value.
    """

    name: str
    title: str
    values: tuple[str, ...]
    index: npt.NDArray[np.uint16]
    words: tuple[str, ...] | None = None
    shares: bool = False


@dataclass(frozen=True, kw_only=True)
class Items:
    """N items, sorted by group, and by ascending score within a group.

    Attributes:
        subject: Type of the items.
        offsets: (C + 1,) int64, index of the first item of each group.
        id: (N,) uint64.
        score: (N,) float64.
        row: (N,) int64, row of the item's picture.
        noise: (N,) bool, beyond the audit's limits.
        reference: (N,) bool, whether the group's limits are computed from the item.
        certain: (N,) bool, noise whatever the limits are; these items are the last ones of their group.
        facts: Facts in the order of the page's filters.
    """

    subject: Subject
    offsets: npt.NDArray[np.int64]
    id: npt.NDArray[np.uint64]
    score: npt.NDArray[np.float64]
    row: npt.NDArray[np.int64]
    noise: npt.NDArray[np.bool_]
    reference: npt.NDArray[np.bool_]
    certain: npt.NDArray[np.bool_]
    facts: tuple[Fact, ...]

    def group(self, group: int) -> slice:
        """Return the slice of a group's items."""
        return slice(int(self.offsets[group]), int(self.offsets[group + 1]))


def wire_columns(items: Items) -> list[tuple[str, str, npt.NDArray[np.generic]]]:
    """Return (name, dtype, column) of the columns that are sent to the page, in order; `items.js` reads them."""
    return [
        ("id", "<u8", items.id),
        ("score", "<f8", items.score),
        *((fact.name, "<u2", fact.index) for fact in items.facts),
        ("reference", "u1", items.reference),
        ("certain", "u1", items.certain),
    ]


def pack(items: Items, group: int) -> bytes:
    """Return the bytes of a group's columns, in the order of `wire_columns`."""
    rows = items.group(group)
    return b"".join(column[rows].astype(kind).tobytes() for _, kind, column in wire_columns(items))


def items_of(
    audit: Audit, subject: Subject, facts: Sequence[Fact], certain: npt.NDArray[np.bool_] | None = None
) -> Items:
    """Return the rows of an audit as items, one class per group; `facts` and `certain` (N,) are in the rows' order."""
    order = np.lexsort((audit.key_id, audit.score, audit.label))
    certain = np.zeros(len(audit), np.bool_) if certain is None else certain
    return Items(
        subject=subject,
        offsets=np.searchsorted(audit.label[order], np.arange(len(audit.classes) + 1)).astype(np.int64),
        id=audit.key_id[order],
        score=audit.score[order],
        row=order.astype(np.int64),
        noise=audit.noise[order],
        reference=audit.reference[order],
        certain=certain[order],
        facts=tuple(Fact(**{**vars(fact), "index": fact.index[order]}) for fact in facts),
    )


def audited_drawings(audit: Audit) -> Items:
    """Return the drawings of an entropy audit as items.

    Raises:
        SketchDataError: A shard cannot be read, or has other drawings than the audit.
    """
    table = read_facts(audit, ("countrycode", "recognized"))
    recognized = Fact(
        name="recognized",
        title="Recognized",
        values=("yes", "no"),
        index=(~table.column("recognized").to_numpy()).astype(np.uint16),
        words=("recognized", "not recognized"),
        shares=True,
    )
    country = named_fact("country", "Country", table.column("countrycode"))
    facts = [split_fact(audit), recognized, country]
    if (looks := suggested_fact(audit)) is not None:
        facts.append(looks)
    return items_of(audit, DRAWINGS, facts)


def suggested_fact(audit: Audit) -> Fact | None:
    """Return the class that each suspect of `audit labels` looks like; None without a valid audit of labels."""
    if not record_path(audit.directory, "labels").exists():
        return None
    try:
        read_record(audit.directory, "labels")
    except SketchDataError as error:
        console.print(f"note: suggested classes are not shown: {error}", soft_wrap=True, highlight=False)
        return None
    table = pq.read_table(
        audit.directory / AUDIT_FOLDER / LABELS_FILE, columns=["flag", "suggested"], partitioning=None
    )
    suspect = np.asarray(table.column("flag").cast(pa.string()).to_numpy(zero_copy_only=False) == SUSPECT_FLAG)
    index = np.where(suspect, table.column("suggested").to_numpy() + 1, 0).astype(np.uint16)
    words = ("", *(f"looks like {word}" for word in audit.classes))
    return Fact(name=LOOKS, title="Looks like", values=(_OWN_CLASS, *audit.classes), index=index, words=words)


def split_fact(audit: Audit) -> Fact:
    """Return each row's split."""
    return Fact(name="split", title="Split", values=audit.splits, index=audit.split.astype(np.uint16))


def named_fact(name: str, title: str, column: pa.ChunkedArray, *, unknown: str = "unknown", said: bool = False) -> Fact:
    """Return a column of texts as a fact with values in alphabetical order.

    Args:
        name: The fact's name.
        title: Its title.
        column: (N,) strings, plain or dictionary-encoded; null and the empty string become `unknown`.
        unknown: Value of items without a string.
        said: Whether the description of an item includes the value.
    """
    texts = column.cast(pa.string()).fill_null("").combine_chunks().dictionary_encode()
    found = [text or unknown for text in texts.dictionary.to_pylist()]
    values = tuple(sorted(set(found), key=lambda text: (text.casefold(), text)))
    places = np.array([values.index(text) for text in found] or [0], np.uint16)
    return Fact(
        name=name, title=title, values=values, index=places[texts.indices.to_numpy()], words=values if said else None
    )


def shard_paths(audit: Audit) -> list[Path]:
    """Return the data set's shards in the order of the audit's rows."""
    return [audit.directory / shard.path for split in audit.splits for shard in audit.manifest.shards(split)]


def read_facts(audit: Audit, columns: Sequence[str]) -> pa.Table:
    """Read some columns of an audited data set, in the order of the audit's rows.

    Raises:
        SketchDataError: A shard cannot be read, or has other rows than the audit.
    """
    tables, start = [], 0
    for path in shard_paths(audit):
        for table in parquet.read_row_groups(path, ("key_id", *columns)):
            stop = start + table.num_rows
            if not np.array_equal(audit.key_id[start:stop], table.column("key_id").to_numpy()):
                raise SketchDataError(
                    f"{audit.directory} has other {'drawings' if audit.record.kind == 'entropy' else 'pictures'} than "
                    f"its audit from row {start:,} on: run `{command_of(audit.record.kind, audit.directory)}`"
                )
            tables.append(table)
            start = stop
    return pa.concat_tables(tables).unify_dictionaries()
