"""Selection of a category's drawings in one pass over its file: only the smallest ranks are stored and parsed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sketchdata.drawings.drawing import DrawingBatch, Parsed, concatenate, empty_batch
from sketchdata.drawings.sampling import BottomK, ranks
from sketchdata.drawings.simplify import simplify_records
from sketchdata.formats import binary, ndjson
from sketchdata.formats.records import RecordBlock

Scan = Callable[[Iterable[bytes]], Iterator[RecordBlock]]
#: Returns which of N valid drawings to take, (N,) bool; called in ascending order of rank.
Accept = Callable[[DrawingBatch], npt.NDArray[np.bool_]]
#: {input format: (find the records, parse some of them)}
READERS: dict[str, tuple[Scan, Callable[..., Parsed]]] = {
    "simplified": (ndjson.scan, ndjson.parse),
    "raw": (ndjson.scan, ndjson.parse),
    "binary": (binary.scan, binary.parse),
}

_DUPLICATE = "duplicate key_id"
_AMBIGUOUS = "ambiguous key_id"
_TRUNCATED = "truncated last record"


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What to select from one category's file.

    Attributes:
        word: The category.
        label: Its index in the class table.
        input_format: A key of READERS.
        count: Maximum number of drawings, those with the smallest ranks.
        seed: Seed of the ranks.
        keep_raw: Whether raw drawings are kept instead of simplified.
        recognized_only: Whether drawings that the game did not recognize are skipped.
        check_all: Whether every record is parsed and checked, selected or not.
        after: Only larger ranks are selected; None for all.
        taken: {key_id: category} of drawings that another category already has.
    """

    word: str
    label: int
    input_format: str
    count: int
    seed: int
    keep_raw: bool = False
    recognized_only: bool = False
    check_all: bool = False
    after: int | None = None
    taken: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RejectedRecord:
    """A rejected record: its offset in the (uncompressed) file, and the reason."""

    offset: int
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The selected drawings in order of rank, and the counts of the pass.

    Attributes:
        batch: At most `count` drawings, in ascending order of rank.
        records: Number of records in the file.
        examined: Number of records that were parsed: those among the smallest ranks, and bad ones without a readable
            key_id; with `check_all`, all.
        passed_over: Number of valid drawings that were skipped: unrecognized or not accepted.
        rejects: The rejects in the order of their offsets.
        bytes: The file's size.
        md5: The file's md5.
    """

    batch: DrawingBatch
    records: int
    examined: int
    passed_over: int
    rejects: list[RejectedRecord]
    bytes: int
    md5: str


def select(
    read: Callable[[], Iterable[bytes]],
    rules: Rules,
    *,
    md5: str | None = None,
    size: int | None = None,
    accept: Accept | None = None,
) -> Selection:
    """Select a category's drawings from its file.

    Args:
        read: Starts reading the (uncompressed) content; called again only if so many of the smallest ranks are bad that
            more of them are needed.
        rules: What to select.
        md5: The md5 of the content, if known; hashing takes as long as everything else together.
        size: The size of the content, if known: then fewer records are stored during the pass.
        accept: Which valid drawings to take; None for all.
    """
    # A few more than needed are stored, since a bad drawing is replaced by the next rank.
    capacity = rules.count + rules.count // 50 + 64
    capacity += rules.count // 2 if rules.recognized_only or accept is not None else 0
    while True:
        pass_ = _Pass(rules, BottomK(capacity), md5, accept)
        selection = pass_.run(read(), size)
        if len(selection.batch) == rules.count or not pass_.held.dropped:
            return selection
        capacity, size = capacity * 4, None


def cross_class_duplicates(chosen: Mapping[str, npt.NDArray[np.uint64]]) -> dict[str, dict[int, str]]:
    """Return the drawings that several categories have selected.

    `chosen` has the (N,) distinct key_ids of each category, in the order of the class table.

    Returns:
        {category: {key_id: the earlier category that also has it}}, for categories that must drop some.
    """
    classes, key_ids = list(chosen), np.concatenate([np.empty(0, np.uint64), *chosen.values()])
    labels = np.repeat(np.arange(len(classes)), [len(ids) for ids in chosen.values()])
    order = np.argsort(key_ids, kind="stable")
    again = np.flatnonzero(key_ids[order[1:]] == key_ids[order[:-1]])
    twice: dict[str, dict[int, str]] = {}
    for first, second in zip(order[again].tolist(), order[again + 1].tolist(), strict=True):
        twice.setdefault(classes[labels[second]], {})[int(key_ids[second])] = classes[labels[first]]
    return twice


class _Pass:
    """One pass over a file."""

    def __init__(self, rules: Rules, held: BottomK, md5: str | None, accept: Accept | None) -> None:
        self.rules = rules
        self.accept = accept
        self.held = held
        self._scan, self._parse = READERS[rules.input_format]
        self._known_md5 = md5
        self._digest = hashlib.md5(usedforsecurity=False)
        self._bytes = self._records = self._examined = 0
        self._rejects: dict[int, RejectedRecord] = {}
        self._last_rank: npt.NDArray[np.uint64] = np.empty(0, np.uint64)

    def run(self, blocks: Iterable[bytes], size: int | None) -> Selection:
        offsets: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
        key_ids: list[npt.NDArray[np.uint64]] = [np.empty(0, np.uint64)]

        def hashed() -> Iterator[bytes]:
            for piece in blocks:
                if self._known_md5 is None:
                    self._digest.update(piece)
                self._bytes += len(piece)
                yield piece

        for block in self._scan(hashed()):
            if self._records == 0 and size is not None and self.rules.after is None:
                self.held.expect(size * len(block) // int(block.ends[-1]))
            self._records += len(block)
            kept, ids = self._check(block)
            if self.rules.check_all:
                offsets.append(block.position + block.starts[kept])
                key_ids.append(ids)
            self._offer(block, kept, ids)
        all_ids, all_offsets = np.concatenate(key_ids), np.concatenate(offsets)
        order = np.argsort(all_ids, kind="stable")
        for row in order[1:][all_ids[order[1:]] == all_ids[order[:-1]]].tolist():
            self._reject(int(all_offsets[row]), _DUPLICATE, str(all_ids[row]))
        batch, passed_over = self._choose()
        return Selection(
            batch=batch,
            records=self._records,
            examined=self._records if self.rules.check_all else self._examined,
            passed_over=passed_over,
            rejects=[self._rejects[offset] for offset in sorted(self._rejects)],
            bytes=self._bytes,
            md5=self._known_md5 or self._digest.hexdigest(),
        )

    def _offer(self, block: RecordBlock, kept: npt.NDArray[np.int64], key_ids: npt.NDArray[np.uint64]) -> None:
        own = ranks(key_ids, self.rules.seed)
        if self.rules.after is not None:
            later = own > np.uint64(self.rules.after)
            own, kept = own[later], kept[later]
        self.held.add(own, block.position + block.starts[kept], lambda rows: block.records(kept[rows]))

    def _check(self, block: RecordBlock) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
        """Return the block's records that may be selected, (R,), and their key_ids, (R,)."""
        doubtful = np.ones(len(block), np.bool_) if self.rules.check_all else ~block.found
        doubtful[-1] |= not block.complete
        rows = np.flatnonzero(doubtful)
        if not len(rows):
            return np.arange(len(block)), block.key_ids
        parsed = self._parse_records(block.records(rows))
        usable = np.ones(len(block), np.bool_)
        for number, error in parsed.faults:
            usable[rows[number]] = False
            self._examined += 1
            truncated = not block.complete and rows[number] == len(block) - 1
            self._reject(
                block.position + int(block.starts[rows[number]]),
                _TRUNCATED if truncated else error.reason,
                error.detail,
            )
        key_ids, good = block.key_ids.copy(), rows[parsed.rows]
        # A record with two key_ids is rejected even without `check_all`, so that the selection does not depend on it.
        ambiguous = block.found[good] & (key_ids[good] != parsed.batch.key_id)
        for number in np.flatnonzero(ambiguous).tolist():
            usable[good[number]] = False
            self._reject_ambiguous(block.position + int(block.starts[good[number]]), int(parsed.batch.key_id[number]))
        key_ids[good] = parsed.batch.key_id
        return np.flatnonzero(usable), key_ids[usable]

    def _reject(self, offset: int, reason: str, detail: str) -> None:
        self._rejects[offset] = RejectedRecord(offset=offset, reason=reason, detail=detail)

    def _reject_ambiguous(self, offset: int, key_id: int) -> None:
        self._reject(offset, _AMBIGUOUS, f"the record names {key_id} and another one")

    def _choose(self) -> tuple[DrawingBatch, int]:
        held_ranks, records = self.held.sorted()
        chosen: list[DrawingBatch] = [empty_batch(raw=self.rules.keep_raw)]
        have = at = passed_over = 0
        while have < self.rules.count and at < len(records):
            stop = at + self.rules.count - have
            good = self._examine(held_ranks[at:stop], records[at:stop])
            accepted = good.recognized.copy() if self.rules.recognized_only else np.ones(len(good), np.bool_)
            if self.accept is not None:
                accepted &= self.accept(good)
            wanted = np.flatnonzero(accepted)
            passed_over += len(good) - len(wanted)
            chosen.append(good if len(wanted) == len(good) else good.take(wanted))
            have += len(wanted)
            at = stop
        return concatenate(chosen), passed_over

    def _examine(self, held_ranks: npt.NDArray[np.uint64], records: list[tuple[int, bytes]]) -> DrawingBatch:
        self._examined += len(records)
        parsed = self._parse_records([record for _, record in records])
        for number, error in parsed.faults:
            self._reject(records[number][0], error.reason, error.detail)
        # A record is ranked by the key_id that the scan found; if it has another one, too, it is ambiguous.
        sure = ranks(parsed.batch.key_id, self.rules.seed) == held_ranks[parsed.rows]
        for row in np.flatnonzero(~sure).tolist():
            self._reject_ambiguous(records[parsed.rows[row]][0], int(parsed.batch.key_id[row]))
        batch, rows = parsed.batch.take(np.flatnonzero(sure)), parsed.rows[sure]
        # Equal ranks are equal key_ids and adjacent; the first valid one is kept.
        own = held_ranks[rows]
        again = np.zeros(len(own), np.bool_)
        again[1:] = own[1:] == own[:-1]
        again[:1] = np.isin(own[:1], self._last_rank)
        taken = np.isin(batch.key_id, np.array(list(self.rules.taken), np.uint64))
        for row in np.flatnonzero(again | taken).tolist():
            key_id = int(batch.key_id[row])
            other = f" is in {self.rules.taken[key_id]} too" if key_id in self.rules.taken else ""
            self._reject(records[rows[row]][0], _DUPLICATE, f"{key_id}{other}")
        self._last_rank = own[-1:] if len(own) else self._last_rank
        return batch.take(np.flatnonzero(~(again | taken)))

    def _parse_records(self, records: Sequence[bytes]) -> Parsed:
        word, label = self.rules.word, self.rules.label
        if self.rules.input_format == "raw" and not self.rules.keep_raw:
            return simplify_records(ndjson.parse(records, word=word, label=label, raw=True, full_precision=True))
        return self._parse(records, word=word, label=label, raw=self.rules.keep_raw)
