"""A folder, a mirror and a bucket give the same files, and damaged ones give clear errors."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.errors import ConfigError, FormatError
from sketchdata.formats.files import gunzip
from sketchdata.storage.fetch import FetchPolicy, SourceChangedError
from sketchdata.storage.sources import Source, WebSource, describe_missing, open_source, read_content
from tests.servers import BucketServer

PATH = "full/simplified/aircraft carrier.ndjson"
CONTENT = b'{"word":"aircraft carrier"}\n' * 100_000
QUICK = FetchPolicy(pause_seconds=0.001, longest_pause=0.002, read_seconds=2)


def put(folder: Path, path: str, content: bytes) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(content)


@pytest.fixture(params=["folder", "web"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    """A source over tmp_path, which the tests fill."""
    if request.param == "folder":
        yield open_source(str(tmp_path))
    else:
        with BucketServer(tmp_path) as server:
            yield open_source(server.url + "/", policy=QUICK)


def test_a_file_is_found_and_read(source: Source, tmp_path: Path) -> None:
    put(tmp_path, PATH, CONTENT)
    file = source.find(PATH)
    assert file is not None
    assert (file.path, file.stored_path, file.bytes, file.gzipped) == (PATH, PATH, len(CONTENT), False)
    assert b"".join(read_content(source, file)) == CONTENT
    assert b"".join(source.read(file, 1000)) == CONTENT[1000:]


def test_a_gzipped_file_stands_for_the_plain_one(source: Source, tmp_path: Path) -> None:
    put(tmp_path, PATH + ".gz", gzip.compress(CONTENT))
    file = source.find(PATH)
    assert file is not None
    assert (file.path, file.stored_path, file.gzipped) == (PATH, PATH + ".gz", True)
    assert file.bytes == (tmp_path / (PATH + ".gz")).stat().st_size
    assert b"".join(read_content(source, file)) == CONTENT


def test_a_plain_file_is_preferred_to_a_gzipped_one(source: Source, tmp_path: Path) -> None:
    put(tmp_path, PATH, CONTENT)
    put(tmp_path, PATH + ".gz", gzip.compress(b"other"))
    file = source.find(PATH)
    assert file is not None
    assert not file.gzipped


def test_only_ndjson_is_looked_for_gzipped(source: Source, tmp_path: Path) -> None:
    put(tmp_path, "full/binary/cat.bin.gz", gzip.compress(b"x"))
    assert source.find("full/binary/cat.bin") is None


def test_what_is_not_there_is_none(source: Source) -> None:
    assert source.find(PATH) is None


def test_identity_changes_with_the_file_and_only_then(source: Source, tmp_path: Path) -> None:
    put(tmp_path, PATH, CONTENT)
    first, again = source.find(PATH), source.find(PATH)
    put(tmp_path, PATH, CONTENT[::-1])
    changed = source.find(PATH)
    assert first is not None
    assert again is not None
    assert changed is not None
    assert first.identity == again.identity != changed.identity


def test_a_file_replaced_since_it_was_found_is_not_read(source: Source, tmp_path: Path) -> None:
    put(tmp_path, PATH, CONTENT)
    file = source.find(PATH)
    put(tmp_path, PATH, CONTENT[:-1])
    assert file is not None
    with pytest.raises(SourceChangedError):
        list(source.read(file))


def test_a_source_travels_to_another_process(source: Source, tmp_path: Path) -> None:
    put(tmp_path, PATH, CONTENT)
    copy = pickle.loads(pickle.dumps(source))
    assert copy == source
    assert copy.find(PATH) == source.find(PATH)


def test_web_source_survives_a_cut(tmp_path: Path) -> None:
    put(tmp_path, PATH, CONTENT)
    with BucketServer(tmp_path) as server:
        source = open_source(server.url, policy=QUICK)
        file = source.find(PATH)
        server.fault(PATH, cut_after=1_000_000, times=2)
        assert file is not None
        assert b"".join(source.read(file)) == CONTENT


@pytest.mark.parametrize(
    "place",
    [
        PATH,
        "simplified/aircraft carrier.ndjson",
        "aircraft carrier.ndjson",
        "full_simplified_aircraft carrier.ndjson",
        "full_simplified_aircraft%20carrier.ndjson",
        "full%2Fsimplified%2Faircraft%20carrier.ndjson",
        "simplified/aircraft%20carrier.ndjson",
        "aircraft+carrier.ndjson",
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_may_be_laid_out_like_the_bucket_or_as_downloads_are(tmp_path: Path, place: str, suffix: str) -> None:
    put(tmp_path, place + suffix, gzip.compress(CONTENT) if suffix else CONTENT)
    source = open_source(str(tmp_path))
    file = source.find(PATH)
    assert file is not None
    assert file.local == tmp_path / (place + suffix)
    assert b"".join(read_content(source, file)) == CONTENT


@pytest.mark.parametrize(
    ("location", "base"),
    [
        ("gs://quickdraw_dataset", "https://storage.googleapis.com/quickdraw_dataset"),
        ("gs://mine/mirrors/quickdraw/", "https://storage.googleapis.com/mine/mirrors/quickdraw"),
        ("http://127.0.0.1:1/a/", "http://127.0.0.1:1/a"),
    ],
)
def test_addresses_of_buckets_and_mirrors(location: str, base: str) -> None:
    source = open_source(location)
    assert isinstance(source, WebSource)
    assert (source.location, source.base) == (location, base)


@pytest.mark.parametrize("location", ["/no/such/folder", "s3://bucket", "gs://", "http://", "file:///tmp"])
def test_other_locations_are_refused_with_what_would_work(location: str) -> None:
    with pytest.raises(ConfigError, match=r"http\(s\)://|full/simplified"):
        open_source(location)


def test_missing_files_are_counted_and_the_layout_explained(tmp_path: Path) -> None:
    paths = [f"full/simplified/{i}.ndjson" for i in range(42)]
    text = describe_missing(open_source(str(tmp_path)), paths, 345)
    assert text.startswith("42 of 345 files are not at")
    assert "39.ndjson and 2 more" in text
    assert f"{tmp_path}/full/simplified/0.ndjson" in text


def test_truncated_gzip_is_named_as_such(source: Source, tmp_path: Path) -> None:
    put(tmp_path, PATH + ".gz", gzip.compress(CONTENT)[:-9])
    file = source.find(PATH)
    assert file is not None
    with pytest.raises(FormatError, match="truncated gzip"):
        list(read_content(source, file))


@pytest.mark.parametrize("stored", [b"no gzip at all", gzip.compress(b"x", mtime=0) + b"rubbish"])
def test_damaged_gzip_is_named_as_such(stored: bytes) -> None:
    with pytest.raises(FormatError, match="damaged gzip: here"):
        list(gunzip(iter([stored]), "here"))


def test_empty_gzip_is_truncated() -> None:
    with pytest.raises(FormatError, match="truncated"):
        list(gunzip(iter([]), "here"))


def test_a_gzip_bomb_comes_out_in_small_pieces() -> None:
    pieces = list(gunzip(iter([gzip.compress(bytes(50_000_000))]), "here"))
    assert max(map(len, pieces)) <= 1 << 20
    assert sum(map(len, pieces)) == 50_000_000


@given(members=st.lists(st.binary(max_size=3000), min_size=1), padding=st.integers(0, 5), step=st.integers(1, 500))
def test_gzip_of_any_members_cut_into_any_blocks_is_unpacked(members: list[bytes], padding: int, step: int) -> None:
    stored = b"".join(gzip.compress(member) + bytes(padding) for member in members)
    blocks = (stored[at : at + step] for at in range(0, len(stored), step))
    assert b"".join(gunzip(blocks, "here")) == b"".join(members)
