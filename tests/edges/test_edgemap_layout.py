"""Which split a photo falls into, what a sample says, and what is refused as an edge map or an index."""

from __future__ import annotations

import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.edges import dataset
from sketchdata.edges.dataset import decode_map, falls_into_val, index_schema, read_index, sample, write_index
from sketchdata.errors import FormatError, SketchDataError
from tests.quickdraw_builds import plain_rank

hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
photos = st.lists(hashes, min_size=1, max_size=50)
seeds = st.integers(0, 2**64 - 1)
shares = st.fractions(0, 1)


# ---- the split -------------------------------------------------------------------------------------------------------


@given(sha256=hashes, seed=seeds, share=shares)
def test_a_photo_falls_into_val_when_its_rank_lies_below_the_share(sha256: str, seed: int, share: Fraction) -> None:
    rank = plain_rank(int.from_bytes(bytes.fromhex(sha256)[:8], "big"), seed)
    assert falls_into_val([sha256], seed, share).tolist() == [rank < share * 2**64]


@given(photos=photos, seed=seeds, one=shares, other=shares)
def test_a_larger_share_only_adds_photos(photos: list[str], seed: int, one: Fraction, other: Fraction) -> None:
    smaller, larger = (falls_into_val(photos, seed, share) for share in sorted((one, other)))
    assert not (smaller & ~larger).any()


@given(photos=photos, more=photos, seed=seeds, share=shares)
def test_more_photos_move_nobody(photos: list[str], more: list[str], seed: int, share: Fraction) -> None:
    alone = falls_into_val(photos, seed, share)
    together = falls_into_val([*more, *photos], seed, share)
    assert together[len(more) :].tolist() == alone.tolist()


@given(photos=photos, seed=seeds)
def test_a_share_of_nothing_takes_none_and_one_of_everything_takes_all(photos: list[str], seed: int) -> None:
    assert not falls_into_val(photos, seed, Fraction(0)).any()
    assert falls_into_val(photos, seed, Fraction(1)).all()


def test_the_share_is_met_in_expectation() -> None:
    share, count = Fraction(26626, 290281), 20_000
    found = int(falls_into_val([f"{number * 2654435761:064x}"[::-1] for number in range(count)], 0, share).sum())
    # Five standard deviations.
    assert abs(found - share * count) < 5 * (share * (1 - share) * count) ** 0.5


@pytest.mark.parametrize("wrong", ["", "a photo", "-" * 64])
def test_what_is_no_hash_has_no_split(wrong: str) -> None:
    with pytest.raises(SketchDataError, match="expected the sha256 of each photo, from which its split follows"):
        falls_into_val(["ab" * 32, wrong], 0, Fraction(1, 2))


# ---- samples ---------------------------------------------------------------------------------------------------------


def row(**changes: Any) -> dict[str, Any]:
    texts = dict.fromkeys(("category", "source", "photo", "photo_sha256"), "x")
    unknown = dict.fromkeys(("page", "author", "licence", "title", "fetched", "x0", "y0", "x1", "y1"))
    return {"key_id": 2**64 - 1, "word": "star", "label": 7, "phash": 1, **texts, **unknown, **changes}


@given(
    known=st.fixed_dictionaries(
        {name: st.none() | st.text() for name in ("page", "author", "licence", "title")}
        | {"fetched": st.none() | st.dates()}
    ),
    box=st.none() | st.tuples(*[st.integers(0, 9999)] * 4),
)
def test_samples_have_one_type_a_field_whatever_is_known(known: dict[str, Any], box: tuple[int, ...] | None) -> None:
    edges = dict(zip(("x0", "y0", "x1", "y1"), box or [None] * 4, strict=True))
    found = orjson.loads(sample(row(**known, **edges), {"messiness": 0.5}, "canny"))
    unknown = orjson.loads(sample(row(), {"messiness": 0.5}, "canny"))
    assert {name: type(value) for name, value in found.items()} == {name: type(v) for name, v in unknown.items()}
    assert found["box"] == ("whole" if box is None else ",".join(map(str, box)))
    assert all(found[name] == (known[name] or "") for name in ("page", "author", "licence", "title"))


def test_64_bits_survive_in_a_sample() -> None:
    found = orjson.loads(sample(row(phash=2**64 - 2, fetched=datetime.date(2024, 5, 6)), {}, "canny"))
    assert (found["key_id"], found["phash"], found["fetched"]) == ("18446744073709551615", "f" * 15 + "e", "2024-05-06")


# ---- pictures and indexes --------------------------------------------------------------------------------------------


def encoded(suffix: str, *shape: int) -> bytes:
    return bytes(cv2.imencode(suffix, np.full(shape, 200, np.uint8))[1].tobytes())


@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 3)])
def test_a_map_is_decoded_to_three_channels(shape: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(decode_map(encoded(".png", *shape), 16), np.full((16, 16, 3), 200))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a PNG"),
        (b"<html>", "not a PNG"),
        (encoded(".jpg", 16, 16), "not a PNG"),
        (encoded(".png", 16, 17), "another size"),
        (encoded(".png", 16, 16)[:60], "truncated picture"),
    ],
)
def test_what_is_no_map_is_refused_with_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(FormatError) as raised:
        decode_map(content, 16)
    assert raised.value.reason == reason


def test_an_index_is_read_as_it_was_written(tmp_path: Path) -> None:
    schema = index_schema(["messiness", "density"])
    rows = [{**row(), "messiness": 0.25, "density": None, "tar": "shards/a.tar", "offset": 2**40, "bytes": 9}] * 3
    table = pa.Table.from_pylist(rows, schema)
    write_index(tmp_path / "a.parquet", table, {"name": "x"})
    found = read_index(tmp_path / "a.parquet")
    assert found.to_pylist() == table.to_pylist()
    assert dataset.score_columns(found.schema) == ["messiness", "density"]
    write_index(tmp_path / "b.parquet", pa.concat_tables([table.slice(0, 1), table.slice(1)]), {"name": "x"})
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_other_files_are_refused_as_an_index(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(SketchDataError, match="is missing"):
        read_index(path)
    path.write_bytes(b"PAR1")
    with pytest.raises(SketchDataError, match="cannot be read as Parquet"):
        read_index(path)
    pq.write_table(pa.table({"key_id": [1]}), path)
    with pytest.raises(SketchDataError, match="other columns"):
        read_index(path)
    with pytest.raises(SketchDataError, match="is damaged"):
        read_index(path, "00" * 32)
