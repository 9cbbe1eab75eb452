"""Holes are filled by the class's next ranks that are no noise, and by nothing that is there or was dropped."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from pathlib import Path

import orjson
import pytest

from sketchdata.curation.audit import read_audit
from sketchdata.curation.entropy import drawing_entropies
from sketchdata.drawings.drawing import concatenate
from sketchdata.drawings.sampling import SPLITS
from sketchdata.formats import ndjson
from sketchdata.storage.dataset import open_dataset
from sketchdata.storage.manifest import read_manifest
from tests.audits import build_in_shards
from tests.curations import (
    apply,
    assert_verifies,
    audit,
    audited,
    dataset,
    decide,
    normal,
    short_shards,
    source_of,
    table,
    totals,
)
from tests.quickdraw_builds import (
    CATEGORIES,
    SIZES,
    build,
    key_ids,
    key_ids_in,
    key_ids_of_class,
    lines_of,
    plain_rank,
    plain_splits,
    write_lines,
)
from tests.servers import BucketServer
from tests.trees import tree_sha256

__all__ = ["audited", "dataset", "short_shards"]


def plain_refill(audited: Path, source: Path, word: str, dropped: set[int]) -> dict[str, list[int]]:
    """Refill one class by its definition: sort the rest of the file by rank, pass over noise, fill split by split."""
    label, audit = CATEGORIES.index(word), read_audit(audited)
    lines = lines_of(source, word)
    chosen = plain_splits(key_ids_in(lines))
    batch = ndjson.parse(lines, word=word, label=label, raw=False).batch
    entropy = dict(zip(batch.key_id.tolist(), drawing_entropies(batch).tolist(), strict=True))
    last = max(plain_rank(key_id) for split in chosen.values() for key_id in split)
    rest = sorted((key_id for key_id in entropy if plain_rank(key_id) > last), key=plain_rank)
    low, high = audit.p_low[label], audit.p_high[label]
    fit = iter([key_id for key_id in rest if low <= entropy[key_id] <= high and key_id not in dropped])
    refilled = {}
    for split, members in chosen.items():
        staying = [key_id for key_id in members if low <= entropy[key_id] <= high and key_id not in dropped]
        holes = len(members) - len(staying)
        refilled[split] = [*staying, *itertools.islice(fit, holes)]
    return refilled


def test_holes_are_filled_by_the_next_ranks_that_are_no_noise(dataset: Path, audited: Path, tmp_path: Path) -> None:
    source, out = source_of(audited), tmp_path / "out"
    ahead = [plain_refill(dataset, source, word, set())["train"][-1] for word in CATEGORIES]
    dropped = {*ahead[:2], *normal(dataset)[:3]}
    decide(dataset, "drop", *dropped)
    manifest = apply(dataset, out, refill=True, source=str(source))
    assert manifest.splits == read_manifest(dataset).splits
    for word in CATEGORIES:
        expected = plain_refill(dataset, source, word, dropped)
        found = key_ids_of_class(out, word)
        assert {split: sorted(ids, key=plain_rank) for split, ids in expected.items()} == found
    assert not dropped & {key_id for split in SPLITS for key_id in key_ids(out, split)}
    assert totals(out)["refilled"] == totals(out)["noise"] + totals(out)["dropped"]
    assert "ranks across splits" not in assert_verifies(out)


def test_a_drawing_beyond_the_data_set_that_is_kept_comes_in_though_noise(
    dataset: Path, audited: Path, tmp_path: Path
) -> None:
    source, word = source_of(audited), "cat"
    usual = {key_id for ids in plain_refill(dataset, source, word, set()).values() for key_id in ids}
    inside = {key_id for split in SPLITS for key_id in key_ids(dataset, split)}
    last = max(plain_rank(key_id) for key_id in usual)
    passed_over = [
        key_id
        for key_id in key_ids_in(lines_of(source, word))
        if key_id not in usual | inside and plain_rank(key_id) < last
    ]
    assert passed_over
    decide(dataset, "keep", passed_over[0])
    apply(dataset, tmp_path / "out", refill=True, source=str(source))
    assert passed_over[0] in {key_id for ids in key_ids_of_class(tmp_path / "out", word).values() for key_id in ids}


def test_without_noise_the_next_ranks_are_taken_whatever_they_are(dataset: Path, audited: Path, tmp_path: Path) -> None:
    source, out = source_of(audited), tmp_path / "out"
    gone = key_ids_of_class(dataset, "cat")["val"][:3]
    decide(dataset, "drop", *gone)
    apply(dataset, out, no_noise=True, refill=True, source=str(source))
    ordered = sorted(key_ids_in(lines_of(source, "cat")), key=plain_rank)
    wanted = sum(SIZES.values())
    assert set(key_ids_of_class(out, "cat")["val"]) - set(key_ids_of_class(dataset, "cat")["val"]) == set(
        ordered[wanted : wanted + 3]
    )
    assert key_ids_of_class(out, "star") == key_ids_of_class(dataset, "star")


def test_a_refill_streams_from_a_server_as_from_a_folder(audited: Path, tmp_path: Path) -> None:
    apply(audited, tmp_path / "local", refill=True, source=str(source_of(audited)))
    with BucketServer(source_of(audited)) as server:
        apply(audited, tmp_path / "served", refill=True, source=server.url)
    assert tree_sha256(tmp_path / "local") == tree_sha256(tmp_path / "served")


def test_a_class_that_runs_out_keeps_what_it_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def shorten(source: Path) -> None:
        write_lines(source, "cat", lines_of(source, "cat")[: sum(SIZES.values()) + 4])

    directory, out = build_in_shards(tmp_path, shorten), tmp_path / "curated"
    audit(directory)
    apply(directory, out, refill=True, source=str(tmp_path / "source"))
    said = " ".join(capsys.readouterr().err.split())
    assert "warning: the source has too few further drawings for cat (train" in said
    assert "star" not in said
    rows = {(row["word"], row["split"]): row for row in table(out)}
    assert 0 < sum(int(rows["cat", split]["refilled"]) for split in SPLITS) <= 4
    assert int(rows["cat", "train"]["drawings"]) < 90
    assert rows["cat", "query"]["refilled"] == "0"
    assert {rows["star", split]["drawings"] for split in SPLITS} == {"90", "10", "1"}
    assert_verifies(out)


def test_a_drawing_in_two_files_comes_into_one_class_alone(tmp_path: Path) -> None:
    shared: list[int] = []

    def share(source: Path) -> None:
        """Give `house` copies of drawings of `cat` that lie behind what both data sets take."""
        ranked = sorted(key_ids_in(lines_of(source, "cat")), key=plain_rank)
        shared.extend(ranked[112:160])
        copies = [line for line in lines_of(source, "cat") if key_ids_in([line])[0] in shared]
        own = sorted(lines_of(source, "house"), key=lambda line: plain_rank(key_ids_in([line])[0]))[:125]
        write_lines(source, "house", [*own, *(line.replace(b'"cat"', b'"house"') for line in copies)])

    directory, out = build_in_shards(tmp_path, share), tmp_path / "curated"
    audit(directory)
    apply(directory, out, refill=True, source=str(tmp_path / "source"))
    found = Counter(key_id for split in SPLITS for key_id in key_ids(out, split))
    assert set(shared) & set(found)
    assert max(found.values()) == 1
    assert_verifies(out)


def test_bad_records_among_the_next_ranks_are_listed(tmp_path: Path) -> None:
    def spoil(source: Path) -> None:
        ordered = sorted(lines_of(source, "cat"), key=lambda line: plain_rank(key_ids_in([line])[0]))
        ordered[111] = ordered[111].replace(b'"drawing":[', b'"drawing":{')
        write_lines(source, "cat", ordered)

    directory, out = build_in_shards(tmp_path, spoil), tmp_path / "curated"
    audit(directory)
    manifest = apply(directory, out, refill=True, source=str(tmp_path / "source"))
    assert manifest.rejects == {"broken JSON": 1}
    rejects = [orjson.loads(line) for line in (out / "rejects.jsonl").read_bytes().splitlines()]
    assert [reject["file"] for reject in rejects] == ["full/simplified/cat.ndjson"]
    assert_verifies(out)


@pytest.mark.slow
@pytest.mark.skipif("SKETCHDATA_REAL_DATA" not in os.environ, reason="SKETCHDATA_REAL_DATA names no real drawings")
def test_real_drawings_are_curated_and_refilled(tmp_path: Path) -> None:
    pool, directory, out = (
        Path(os.environ["SKETCHDATA_REAL_DATA"]) / "quickdraw" / "pool",
        tmp_path / "ds",
        tmp_path / "c",
    )
    counts = {path.stem: path.read_bytes().count(b"\n") for path in pool.glob("*.ndjson")}
    words = [word for word, count in counts.items() if count >= 1000][:4]
    build(pool, directory, categories=",".join(words), train=500, val=50, gallery=100, query=20)
    audit(directory)
    manifest = apply(directory, out, refill=True, source=str(pool))
    assert manifest.splits == {"train": 2000, "val": 200, "gallery": 400, "query": 80}
    assert totals(out)["noise"] > 200
    assert_verifies(out)
    # Judged by the same limits, nothing that came in is noise.
    limits, labels = read_audit(directory), read_manifest(directory).classes
    for split in SPLITS:
        batch = concatenate([*open_dataset(out).batches(split)])
        entropy = drawing_entropies(batch)
        assert (entropy >= limits.p_low[batch.label]).all(), labels
        assert (entropy <= limits.p_high[batch.label]).all(), labels
