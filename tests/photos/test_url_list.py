from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sketchdata.errors import ConfigError, FormatError
from sketchdata.photos.annotations.record import Annotation, PixelBox, Reading
from sketchdata.photos.annotations.url_list import read_url_list
from tests.photos.labelled_photos import only, reasons, write

FACTS = {
    "url": "http://a.test/1.jpg",
    "class": "cat",
    "License": "CC BY 4.0",
    "author": "A, B",
    "page": "http://a.test",
    "title": "A cat",
}
SUFFIXES = [".csv", ".tsv", ".jsonl", ".parquet"]


def write_list(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    if path.suffix == ".jsonl":
        return write(path, "".join(json.dumps(row) + "\n" for row in rows))
    comma = "," if path.suffix == ".csv" else "\t"
    lines = [list(rows[0]), *(["" if value is None else str(value) for value in row.values()] for row in rows)]
    return write(path, "".join(comma.join(f'"{cell}"' for cell in line) + "\r\n" for line in lines))


def read_row(folder: Path, **changes: object) -> list[Reading]:
    return list(read_url_list(write_list(folder / "list.jsonl", [{**FACTS, **changes}])))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_the_same_photos(tmp_path: Path, suffix: str) -> None:
    edges = {"x0": 1, "y0": 2, "x1": 30, "y1": 40}
    rows = [{**FACTS, **edges}, {**FACTS, "page": None, **dict.fromkeys(edges)}]
    first, second = read_url_list(write_list(tmp_path / f"list{suffix}", rows))
    where = f"list{suffix}: {'row' if suffix == '.parquet' else 'line'}"
    start = 2 if suffix in (".csv", ".tsv") else 1
    expected = {"photo": FACTS["url"], "category": "cat", "author": "A, B", "licence": "CC BY 4.0", "title": "A cat"}
    assert first == Annotation(**expected, box=PixelBox(1, 2, 30, 40), where=f"{where} {start}", page="http://a.test")
    assert second == Annotation(**expected, box=None, where=f"{where} {start + 1}")


@pytest.mark.parametrize("box", ["1,2,30,40", "[1, 2, 30, 40]", [1, 2, 30, 40]])
def test_a_box_may_be_one_column(tmp_path: Path, box: object) -> None:
    assert only(read_row(tmp_path, box=box)).box == PixelBox(1, 2, 30, 40)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"url": "file:///etc/passwd"}, "not a web address"),
        ({"url": "/etc/passwd"}, "not a web address"),
        ({"url": "http://user:key@a.test/"}, "not a web address"),
        ({"url": "http://a.test:99999/"}, "not a web address"),
        ({"url": "http://[::1"}, "not a web address"),
        ({"url": "http://a.test/\n1"}, "not a web address"),
        ({"url": ""}, "no address"),
        ({"class": None}, "no class"),
        ({"box": "1,2,3"}, "no box"),
        ({"box": "9,2,3,8"}, "box without area"),
        ({"x0": 1}, "not a number"),
    ],
)
def test_an_unusable_row_is_a_fault(tmp_path: Path, changes: dict[str, object], reason: str) -> None:
    assert reasons(read_row(tmp_path, **changes)) == [("list.jsonl: line 1", reason)]


def test_a_broken_line_of_json_is_a_fault_and_the_others_stay(tmp_path: Path) -> None:
    path = write(tmp_path / "list.jsonl", f'{{"url": \n[]\n{json.dumps(FACTS)}\n')
    readings = list(read_url_list(path))
    assert reasons(readings) == [("list.jsonl: line 1", "broken JSON"), ("list.jsonl: line 2", "broken JSON")]
    assert only(readings[2:]).category == "cat"


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl"])
def test_a_byte_order_mark_costs_nothing(tmp_path: Path, name: str) -> None:
    row = json.dumps({"url": "http://a.test/1", "class": "cat"})
    content = "\ufeffurl,class\nhttp://a.test/1,cat\n" if name.endswith("csv") else f"\ufeff{row}\n"
    assert only(list(read_url_list(write(tmp_path / name, content)))).photo == "http://a.test/1"


@pytest.mark.parametrize("content", ["", "\n", "url,name\n"])
def test_an_empty_list_without_the_needed_columns_is_refused_too(tmp_path: Path, content: str) -> None:
    with pytest.raises(FormatError, match="missing columns"):
        list(read_url_list(write(tmp_path / "list.csv", content)))


def test_a_cut_row_is_a_fault(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "url,class\nhttp://a.test/1\nhttp://a.test/2,cat\n")
    readings = list(read_url_list(path))
    assert reasons(readings) == [("list.csv: line 2", "no class")]
    assert only(readings[1:]).photo == "http://a.test/2"


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_list_without_the_needed_columns_is_refused(tmp_path: Path, suffix: str) -> None:
    path = write_list(tmp_path / f"list{suffix}", [{"url": "http://a.test/", "name": "cat"}])
    with pytest.raises(FormatError, match=r"missing columns.*list.*class or category.*url, name"):
        list(read_url_list(path))


def test_a_cut_parquet_file_is_refused_with_its_path(tmp_path: Path) -> None:
    path = write_list(tmp_path / "list.parquet", [FACTS])
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(FormatError, match=r"broken Parquet.*list\.parquet"):
        list(read_url_list(path))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_list_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(FormatError, match=f"none{suffix}"):
        list(read_url_list(tmp_path / f"none{suffix}"))


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"list\.xls is not a list.*\.jsonl"):
        list(read_url_list(tmp_path / "list.xls"))
