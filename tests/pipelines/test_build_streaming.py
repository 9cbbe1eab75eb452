"""Building straight from a web server, which fails as networks do: right in the end, or clearly refused."""

from __future__ import annotations

import gzip
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.storage.manifest import read_manifest
from tests.commands import sketchdata, start
from tests.quickdraw_builds import (
    CATEGORIES,
    build,
    build_command,
    generate,
    key_ids_in,
    lines_of,
    plain_rank,
    source_file,
)
from tests.servers import BucketServer, closed_port
from tests.trees import tree, tree_bytes, tree_sha256

STAR = "full/simplified/star.ndjson"
HTML = b"<!DOCTYPE html>\n<html>\n<body>\nPlease sign in to the network\n</body>\n</html>\n" * 30


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("streaming") / "source")


@pytest.fixture(scope="module")
def expected(source: Path) -> str:
    """The tree's hash when built from the folder."""
    build(source, source.parent / "out")
    return tree_sha256(source.parent / "out")


@pytest.fixture
def server(source: Path) -> Iterator[BucketServer]:
    with BucketServer(source) as server:
        yield server


def test_each_file_is_read_once(server: BucketServer, expected: str, tmp_path: Path) -> None:
    build(server.url, tmp_path / "out")
    assert sorted(server.gets()) == sorted(f"full/simplified/{word}.ndjson" for word in CATEGORIES)
    assert tree_sha256(tmp_path / "out") == expected


def test_a_connection_cut_in_the_middle_is_taken_up_where_it_broke(
    server: BucketServer, expected: str, tmp_path: Path
) -> None:
    server.fault(STAR, cut_after=10_000, times=1)
    build(server.url, tmp_path / "out", categories=",".join(CATEGORIES))
    assert [r.range for r in server.requests if (r.method, r.path) == ("GET", STAR)] == [None, "bytes=10000-"]
    assert tree_sha256(tmp_path / "out") == expected


@pytest.mark.slow
def test_a_connection_cut_again_and_again_gives_the_same_tree(
    server: BucketServer, expected: str, tmp_path: Path
) -> None:
    server.fault(STAR, cut_after=10_000, times=1)
    server.fault(STAR, cut_after=1, times=1)
    server.fault(STAR, cut_after=30_000, times=1)
    build(server.url, tmp_path / "out")
    assert server.gets().count(STAR) == 4
    assert tree_sha256(tmp_path / "out") == expected


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_busy_server_is_asked_again(server: BucketServer, expected: str, tmp_path: Path, method: str) -> None:
    server.fault(STAR, status=503, times=2, method=method)
    build(server.url, tmp_path / "out")
    assert tree_sha256(tmp_path / "out") == expected


def test_bytes_that_are_wrong_once_are_read_once_more(server: BucketServer, expected: str, tmp_path: Path) -> None:
    server.fault(STAR, corrupt=True, times=1)
    build(server.url, tmp_path / "out")
    assert server.gets().count(STAR) == 2
    assert tree_sha256(tmp_path / "out") == expected


def test_one_wrong_letter_in_a_line_that_is_not_chosen_is_noticed_too(
    source: Path, expected: str, tmp_path: Path
) -> None:
    content = source_file(source, "star").read_bytes()
    *_, unchosen = sorted(lines_of(source, "star"), key=lambda line: plain_rank(*key_ids_in([line])))
    wrong = content.replace(unchosen, unchosen.replace(b'"word":"star"', b'"word":"sta_"'))
    assert len(wrong) == len(content)
    # Without an ETag nothing but the md5 of the whole tells the difference.
    with BucketServer(source, validators=("Last-Modified",)) as server:
        server.fault(STAR, content=wrong, times=1)
        build(server.url, tmp_path / "out")
        assert server.gets().count(STAR) == 2
    assert tree_sha256(tmp_path / "out") == expected


@pytest.mark.slow
def test_bytes_that_are_always_wrong_fail_in_words_and_leave_no_manifest(
    server: BucketServer, expected: str, tmp_path: Path
) -> None:
    server.fault(STAR, corrupt=True)
    failed = sketchdata(*build_command(server.url, tmp_path / "out", "--workers", 2), expect=1)
    assert "md5" in failed.stderr
    assert "star.ndjson" in failed.stderr
    assert "twice" in failed.stderr
    assert not (tmp_path / "out" / "manifest.json").exists()
    server.heal()
    build(server.url, tmp_path / "out")
    assert server.gets() == [STAR], "the other categories were finished already"
    assert tree_sha256(tmp_path / "out") == expected


def test_a_file_that_changes_between_asking_and_reading_is_named(
    source: Path, server: BucketServer, tmp_path: Path
) -> None:
    server.fault(STAR, content=source_file(source, "star").read_bytes()[:-500])
    with pytest.raises(SketchDataError, match=r"star.*\n?.*(changed|replaced|another)"):
        build(server.url, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_every_missing_category_is_named_in_one_error(source: Path, server: BucketServer, tmp_path: Path) -> None:
    more = (*CATEGORIES, "The Eiffel Tower", "zebra")
    failed = sketchdata(*build_command(server.url, tmp_path / "out", categories=more), expect=1)
    assert "2 of 6 files" in failed.stderr
    assert "full/simplified/The Eiffel Tower.ndjson" in failed.stderr
    assert "full/simplified/zebra.ndjson" in failed.stderr
    assert server.gets() == [], "nothing is read before all is known to be there"
    assert not (tmp_path / "out").exists()


def test_a_server_that_refuses_is_named(server: BucketServer, tmp_path: Path) -> None:
    server.fault(STAR, status=403, method=None)
    failed = sketchdata(*build_command(server.url, tmp_path / "out"), expect=1)
    assert f"{server.url}/{quote(STAR)}" in failed.stderr
    assert "403" in failed.stderr


def test_a_sign_in_page_instead_of_drawings_is_not_taken_for_drawings(server: BucketServer, tmp_path: Path) -> None:
    server.fault(STAR, content=HTML, method=None)
    failed = sketchdata(*build_command(server.url, tmp_path / "out", "--workers", 0), expect=1)
    assert "broken JSON" in failed.stderr
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.slow
def test_a_source_where_nothing_listens_is_named(tmp_path: Path) -> None:
    address = closed_port()
    with pytest.raises((ConfigError, SketchDataError), match=address):
        build(address, tmp_path / "out", categories="star")


def test_a_gzipped_file_on_a_server_is_read(source: Path, expected: str, tmp_path: Path) -> None:
    for word in CATEGORIES:
        packed = source_file(tmp_path / "gz", word, ".ndjson.gz")
        packed.parent.mkdir(parents=True, exist_ok=True)
        packed.write_bytes(gzip.compress(source_file(source, word).read_bytes()))
    with BucketServer(tmp_path / "gz") as server:
        server.fault(f"{STAR}.gz", cut_after=5_000, times=1)
        build(server.url, tmp_path / "out")
    assert tree_sha256(tmp_path / "out") == expected


@pytest.mark.slow
def test_nothing_of_the_source_is_stored_on_disk(tmp_path: Path) -> None:
    categories = ("cat", "star")
    big = generate(tmp_path / "big", categories, drawings=8_000)
    size = sum(source_file(big, word).stat().st_size for word in categories)
    places = {name: tmp_path / name for name in ("out", "home", "temporary")}
    for path in places.values():
        path.mkdir()
    environment = {**os.environ, "HOME": str(places["home"]), "TMPDIR": str(places["temporary"])}
    most = 0
    with BucketServer(big) as server:
        for word in categories:
            server.fault(f"full/simplified/{word}.ndjson", rate=size)
        command = build_command(server.url, places["out"], "--workers", 2, categories=categories)
        process = start(*command, env=environment, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            most = max(most, sum(map(tree_bytes, places.values())))
            time.sleep(0.01)
    assert process.returncode == 0
    assert sum(source.bytes for source in read_manifest(places["out"]).sources) == size > 5_000_000
    assert 0 < most < size / 10
    assert tree(places["home"]) == tree(places["temporary"]) == {}
