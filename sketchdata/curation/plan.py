"""The plan of a curation: which drawings or edge maps an audit and the curators' decisions remove and keep."""

from __future__ import annotations

import csv
import hashlib
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sketchdata.curation.audit import Audit, csv_text, read_audit, record_path
from sketchdata.curation.decisions import DECISIONS_FILE, Decision, DecisionLog, in_force, parse
from sketchdata.curation.entropy import NORMAL, ClassLimits, drawing_entropies, reference
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats.files import Fault, FaultCounts
from sketchdata.names import names_in
from sketchdata.storage.cards import dataset_card
from sketchdata.storage.dataset import open_dataset
from sketchdata.storage.manifest import AUDIT_FOLDER, Manifest, hash_file, replacing

CURATION_FILE = "curation.csv"

KeyIds = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
#: {split: {class: rows}}
Counts = dict[str, dict[str, int]]
#: A file of the work folder: its path and sha256.
Stored = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Curation:
    """The audit of N drawings or edge maps with the decisions about them; row i is row i of the audit.

    Attributes:
        audit: The audit, with each row's score and measures.
        splits: The splits that are curated; rows of the others stay as they are.
        decisions: sha256 of the log of decisions.
        removes_noise: Whether noise is removed, where no decision keeps it.
        noise: (N,) bool, rows removed as noise.
        dropped: (N,) bool, rows removed by a decision.
        kept: (N,) bool, noise kept by a decision, or relabelled.
        label: (N,) uint16, the label of each row after the decisions to relabel.
        keep: (K,) key_ids that a decision keeps, sorted; some may not be in the data set.
        drop: (D,) key_ids that a decision drops, sorted.
        relabel: (R,) key_ids that a decision relabels, sorted.
    """

    audit: Audit
    splits: tuple[str, ...]
    decisions: str
    removes_noise: bool
    noise: Mask
    dropped: Mask
    kept: Mask
    label: npt.NDArray[np.uint16]
    keep: KeyIds
    drop: KeyIds
    relabel: KeyIds

    @property
    def parent(self) -> Manifest:
        """The manifest of the data set that is curated."""
        return self.audit.manifest

    @property
    def removed(self) -> Mask:
        """(N,) bool, the rows that are removed."""
        return self.noise | self.dropped

    @property
    def moved(self) -> Mask:
        """(N,) bool, the rows that get another label."""
        moved: Mask = self.label != self.audit.label
        return moved

    @property
    def unknown_ids(self) -> int:
        """The number of decided key_ids that are not in the data set."""
        decided = np.concatenate([self.keep, self.drop, self.relabel])
        return len(decided) - int(contains(np.sort(self.audit.key_id), decided).sum())

    def limits(self, label: int) -> list[float] | None:
        """Return the minimum and maximum entropy for new drawings of a class; None without limits."""
        limits = [float(self.audit.p_low[label]), float(self.audit.p_high[label])]
        return limits if self.removes_noise and not np.isnan(limits).any() else None

    def count(self, wanted: Mask, label: npt.NDArray[np.uint16] | None = None) -> Counts:
        """Count the rows of an (N,) bool mask by split and class, by the parent's labels or other (N,) ones."""
        label = self.audit.label if label is None else label
        counts = {split: dict.fromkeys(self.audit.classes, 0) for split in self.parent.counts}
        for split in self.audit.splits:
            rows = self.audit.rows(split)
            found = np.bincount(label[rows][wanted[rows]], minlength=len(self.audit.classes))
            counts[split] = dict(zip(self.audit.classes, found.tolist(), strict=True))
        return counts


def removals(key_id: npt.NDArray[np.uint64], noise: Mask, dropped: Mask) -> FaultCounts:
    """Count removals by reason, given (N,) key_ids and whether each is noise and whether a curator dropped it."""
    rows = ((mask, reason) for mask, reason in ((noise, "noise by the audit"), (dropped, "dropped by curators")))
    return FaultCounts(
        Fault(where=f"key_id {each}", reason=reason, detail="")
        for mask, reason in rows
        for each in key_id[mask].tolist()
    )


def read_curation(directory: Path, kind: str, *, splits: str | None = None, noise: bool = True) -> Curation:
    """Read the audit and the decisions of a data set.

    Args:
        directory: The audited data set.
        kind: `entropy` for drawings, `messiness` for edge maps.
        splits: Comma-separated names of the splits that rows are removed from; None for all.
        noise: Whether flagged rows are removed, unless a decision keeps them.

    Raises:
        ConfigError: The split does not exist, or a decision relabels an edge map, or to a class that does not exist.
        SketchDataError: There is no finished audit of this data set, or a line of the log is not a decision.
    """
    audit, log = read_audit(directory, kind), DecisionLog(directory / AUDIT_FOLDER / DECISIONS_FILE)
    # The log is read once, so that the hash is that of the decisions that are applied.
    content = log.content()
    state = in_force(parse(content, log.path))
    keep, drop, relabel = (
        np.array(sorted(key_id for key_id, decision in state.items() if decision.verdict == verdict), np.uint64)
        for verdict in ("keep", "drop", "relabel")
    )
    known = audit.manifest.counts
    names = set(known) if splits is None else set(names_in(splits))
    unknown = sorted(names - set(known))
    if unknown or not names:
        found = f"no split {', '.join(unknown)}" if unknown else "no name"
        raise ConfigError(f"there is {found} in --splits; {directory} has {', '.join(known)}")
    chosen = np.isin(audit.split, [number for number, split in enumerate(audit.splits) if split in names])
    flagged = chosen & audit.noise & noise
    kept = contains(keep, audit.key_id) | contains(relabel, audit.key_id)
    dropped = contains(drop, audit.key_id)
    return Curation(
        audit=audit,
        splits=tuple(split for split in known if split in names),
        decisions=hashlib.sha256(content).hexdigest(),
        removes_noise=noise,
        noise=flagged & ~kept & ~dropped,
        dropped=chosen & dropped,
        kept=flagged & kept,
        label=_new_labels(audit, chosen & contains(relabel, audit.key_id), state),
        keep=keep,
        drop=drop,
        relabel=relabel,
    )


def _new_labels(audit: Audit, rows: Mask, state: Mapping[int, Decision]) -> npt.NDArray[np.uint16]:
    """Return the (N,) labels, with those of the (N,) bool rows by the decisions to relabel."""
    label = audit.label.copy()
    places = {word: place for place, word in enumerate(audit.classes)}
    for row in np.flatnonzero(rows).tolist():
        key_id = int(audit.key_id[row])
        word = state[key_id].word or ""
        if audit.record.kind == "messiness":
            raise ConfigError(f"edge maps keep the class of their photo, and {key_id} is relabelled: undo it")
        if word not in places:
            raise ConfigError(
                f"{key_id} is relabelled to {word!r}, which is not a class of {audit.directory}: decide again"
            )
        label[row] = places[word]
    return label


def contains(ids: KeyIds, key_ids: KeyIds) -> Mask:
    """Return which of (N,) key_ids are among (M,) sorted `ids`: (N,) bool."""
    if not len(ids):
        return np.zeros(len(key_ids), np.bool_)
    at = np.minimum(np.searchsorted(ids, key_ids), len(ids) - 1)
    found: Mask = ids[at] == key_ids
    return found


def write_ids(path: Path, ids: KeyIds) -> Stored:
    """Write sorted key_ids to a file that every task can memory-map."""
    with replacing(path) as file:
        np.save(file, ids)
    return str(path), hash_file(path, "sha256")


def curation_table(curation: Curation, drawings: Counts) -> str:
    """Return `curation.csv`: what happened to each class in each split.

    Columns: label, word, split, and numbers of drawings: in the `parent`; removed as `noise`; `dropped` by a decision;
        noise `kept` by a decision; `relabelled_away` to other classes and `relabelled_here` from them; `refilled` from
        the next ranks; `drawings` in the result.
    """
    masks = {"noise": curation.noise, "dropped": curation.dropped, "kept": curation.kept}
    counts = {name: curation.count(mask) for name, mask in masks.items()}
    counts["relabelled_away"] = curation.count(curation.moved)
    counts["relabelled_here"] = curation.count(curation.moved, curation.label)
    rows: list[list[object]] = [["label", "word", "split", "parent", *counts, "refilled", "drawings"]]
    for label, word in enumerate(curation.audit.classes):
        for split, before in curation.parent.counts.items():
            noise, dropped, kept, away, here = (found[split][word] for found in counts.values())
            now = drawings[split][word]
            refilled = now - (before[word] - noise - dropped - away + here)
            rows.append([label, word, split, before[word], noise, dropped, kept, away, here, refilled, now])
    return csv_text(rows)


def curated_card(manifest: Manifest) -> str:
    """Return the card of a curated data set: the parent's card, and what was removed."""
    options, parent = manifest.config["curation"], manifest.parent
    audit = options["audit"]
    origin = "" if parent is None else f" from {parent.name} (sha256 of its manifest: `{parent.sha256}`)"
    noise = (
        f"drawings whose image entropy ({audit['size']} × {audit['size']} pixels, lines {audit['line_width']} px wide) "
        f"lies outside of percentiles {audit['low']:g} to {audit['high']:g} of their class in {audit['by_split']}, "
        "unless a curator kept them, and "
    )
    refilled = (
        "The holes were filled with the class's next ranks, so the ranks of a class no longer rise from split to split."
        if options["refill"]
        else "The holes were left, so classes have unequal numbers of drawings."
    )
    moved = options.get("relabelled", 0)
    relabelled = f"Curators gave {moved:,} drawings another class, in the same split. " if moved else ""
    done = (
        f"**Curated**{origin}. Removed from {', '.join(options['splits'])}: {noise if options['noise'] else ''}"
        f"drawings that a curator dropped (sha256 of the decisions: `{options['decisions']}`). {relabelled}{refilled} "
        f"`{CURATION_FILE}` counts by class and split what was removed, kept and new."
    )
    return f"{dataset_card(manifest)}\n{textwrap.fill(done, 120, break_long_words=False, break_on_hyphens=False)}\n"


def read_totals(directory: Path) -> dict[str, int]:
    """Return the sums of the numeric columns of a curated data set's `curation.csv`.

    Raises:
        SketchDataError: It cannot be read.
    """
    path, names = (
        directory / CURATION_FILE,
        ("parent", "noise", "dropped", "kept", "relabelled_here", "refilled", "drawings"),
    )
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {name: sum(int(row[name]) for row in rows) for name in names}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise SketchDataError(
            f"{path} cannot be read as the numbers of a curation ({error!r}): curate again"
        ) from error


def normal_rows(data: Path, words: Sequence[str] | None = None, table: Path | None = None) -> npt.NDArray[np.bool_]:
    """Return which training drawings have a normal entropy for their class, in the order of their rows.

    An audit (`sketchdata audit entropy`) decides, if there is one; otherwise drawings between the 5th and the 95th
    percentile of their class, inclusive, are normal (Xu et al., Eq. 3). Class centres are computed from these.

    Args:
        data: The data set.
        words: The classes to return rows of; None for all.
        table: The class table of tars without a manifest.

    Returns:
        (N,) bool.

    Raises:
        SketchDataError: The audit is of another data set, or a shard cannot be read.
    """
    dataset = open_dataset(data, table)
    classes = dataset.manifest.classes
    if record_path(data, "entropy").exists():
        audit = read_audit(data)
        rows = audit.rows("train")
        label = np.concatenate([batch.label for batch in dataset.batches("train")])
        normal = audit.judged[rows] & ~audit.noise[rows]
    else:
        found = [(batch.label, drawing_entropies(batch)) for batch in dataset.batches("train")]
        label, entropy = (np.concatenate(columns) for columns in zip(*found, strict=True))
        once = np.ones(len(label), np.int64)
        own = [label == each for each in range(len(classes))]
        limits = ClassLimits.fit([reference(entropy[rows], once[rows]) for rows in own], low=5, high=95)
        normal = limits.classify(label, entropy)[1] == NORMAL
    return np.asarray(normal[np.isin(label, [classes.index(word) for word in words or classes])])
