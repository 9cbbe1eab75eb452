"""Every way a network can fail ends in the right file, or in a clear error with nothing half-written left."""

from __future__ import annotations

import base64
import email.utils
import hashlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sketchdata.errors import FetchError
from sketchdata.storage.fetch import (
    CutOffError,
    FetchPolicy,
    NotFoundError,
    SourceChangedError,
    download,
    stat,
    stream,
)
from tests.servers import BucketServer, closed_port

NAME = "full/simplified/aircraft carrier.ndjson"
QUOTED = "full/simplified/aircraft%20carrier.ndjson"
CONTENT = random.Random(0).randbytes(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
QUICK = FetchPolicy(
    pause_seconds=0.001,
    longest_pause=0.002,
    longest_retry_after=0.3,
    connect_seconds=2,
    read_seconds=0.4,
    rate_seconds=0.2,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BucketServer]:
    write(tmp_path / "bucket", CONTENT)
    with BucketServer(tmp_path / "bucket") as server:
        yield server


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "here" / "aircraft carrier.ndjson"


def write(bucket: Path, content: bytes) -> None:
    (bucket / NAME).parent.mkdir(parents=True, exist_ok=True)
    (bucket / NAME).write_bytes(content)


def url(server: BucketServer) -> str:
    return f"{server.url}/{QUOTED}"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def is_whole(target: Path) -> bool:
    """Whether the target is right and alone in its folder."""
    return target.read_bytes() == CONTENT and names(target.parent) == [target.name]


def test_stat_tells_size_hash_and_strong_etag(server: BucketServer) -> None:
    remote = stat(url(server))
    assert (remote.bytes, remote.md5, remote.validator) == (len(CONTENT), MD5, f'"{MD5}"')
    assert server.gets() == []


@pytest.mark.parametrize("status", [405, 501])
def test_stat_asks_by_get_where_head_is_refused(server: BucketServer, status: int) -> None:
    server.fault(NAME, method="HEAD", status=status)
    assert stat(url(server), policy=QUICK).md5 == MD5
    assert [r.method for r in server.requests] == ["HEAD", "GET"]


def test_stat_reads_content_md5_and_takes_a_weak_etag_for_no_validator(tmp_path: Path) -> None:
    write(tmp_path, CONTENT)
    encoded = base64.b64encode(bytes.fromhex(MD5)).decode()
    with BucketServer(tmp_path, hashes=False, validators=("Last-Modified",)) as server:
        server.fault(NAME, method="HEAD", headers=(("Content-MD5", encoded), ("ETag", 'W/"1"')))
        remote = stat(url(server))
    assert remote.md5 == MD5
    assert remote.validator is not None
    assert remote.validator.endswith("GMT")


def test_stat_trusts_no_size_or_hash_of_an_object_that_the_bucket_unpacks(server: BucketServer) -> None:
    server.fault(NAME, method="HEAD", headers=(("x-goog-stored-content-encoding", "gzip"),))
    remote = stat(url(server))
    assert (remote.bytes, remote.md5) == (None, None)


def test_requests_name_the_tool_and_refuse_compression(server: BucketServer) -> None:
    stat(url(server))
    headers = server.requests[0].headers
    assert headers["user-agent"].startswith("sketchdata/")
    assert headers["accept-encoding"] == "identity"


def test_stream_yields_blocks_of_at_most_about_a_mebibyte_from_any_offset(server: BucketServer) -> None:
    blocks = list(stream(url(server), start=12_345))
    assert b"".join(blocks) == CONTENT[12_345:]
    assert max(map(len, blocks)) <= (1 << 20) + (1 << 17)
    assert server.ranges() == ["bytes=12345-"]


def test_stream_from_the_very_end_yields_nothing(server: BucketServer) -> None:
    assert list(stream(url(server), start=len(CONTENT))) == []


def test_stream_goes_on_from_the_byte_reached_after_each_cut(server: BucketServer) -> None:
    server.fault(NAME, cut_after=1_000_000, times=2)
    assert b"".join(stream(url(server), policy=QUICK)) == CONTENT
    assert server.ranges() == [None, "bytes=1000000-", "bytes=2000000-"]
    assert server.requests[-1].headers["if-range"] == f'"{MD5}"'


def test_stream_skips_what_it_has_where_the_server_ignores_ranges(server: BucketServer) -> None:
    server.fault(NAME, cut_after=1_500_000, times=1)
    server.fault(NAME, ignore_range=True)
    assert b"".join(stream(url(server), policy=QUICK)) == CONTENT


@pytest.mark.parametrize("validators", [("ETag",), ("Last-Modified",), ()])
def test_stream_never_mixes_two_versions_of_a_file(tmp_path: Path, validators: tuple[str, ...]) -> None:
    write(tmp_path, CONTENT)
    with BucketServer(tmp_path, validators=validators) as server:
        blocks = stream(url(server), policy=replace(QUICK, pause_seconds=0))
        server.fault(NAME, cut_after=1_500_000, times=1)
        server.fault(NAME, content=CONTENT[:-7], headers=(("Last-Modified", "Thu, 01 Jan 2099 00:00:00 GMT"),))
        with pytest.raises(SourceChangedError, match="replaced by another file"):
            b"".join(blocks)


def test_stream_refuses_a_version_other_than_the_one_asked_for(server: BucketServer) -> None:
    with pytest.raises(SourceChangedError):
        next(stream(url(server), validator='"another"'))


def test_stream_refuses_a_file_that_became_shorter_than_the_offset(server: BucketServer) -> None:
    with pytest.raises(SourceChangedError):
        list(stream(url(server), start=len(CONTENT) + 1))


def test_stream_refuses_a_part_that_is_not_the_one_asked_for(server: BucketServer) -> None:
    server.fault(NAME, range_offset=3)
    with pytest.raises(FetchError, match="asked for the bytes from 1000 on"):
        list(stream(url(server), start=1000, policy=QUICK))


def test_stream_refuses_transport_compression(server: BucketServer) -> None:
    server.fault(NAME, headers=(("Content-Encoding", "gzip"),))
    with pytest.raises(FetchError, match="compressed"):
        list(stream(url(server), policy=QUICK))


def test_slow_drip_counts_as_a_cut_and_what_dripped_is_kept(server: BucketServer) -> None:
    server.fault(NAME, rate=500, times=1)
    assert b"".join(stream(url(server), policy=QUICK)) == CONTENT
    start = int(str(server.ranges()[1]).removeprefix("bytes=").removesuffix("-"))
    assert 0 < start < 1000


def test_time_the_consumer_takes_is_not_held_against_the_server(server: BucketServer) -> None:
    received = b""
    for block in stream(url(server), policy=replace(QUICK, rate_seconds=0.05, least_rate=1e6, read_seconds=5)):
        time.sleep(0.1)
        received += block
    assert received == CONTENT
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"cut_after": 1_000_000, "times": 1},
        {"cut_after": 0, "times": 3},
        {"status": 503, "times": 3},
        {"status": 500, "times": 1},
        {"status": 429, "times": 1, "retry_after": "0"},
        {"silent": True, "times": 1},
        {"length": len(CONTENT) + 10, "cut_after": 2_000_000, "times": 1, "ignore_range": True},
        {"corrupt": True, "times": 1},
        {"redirect": "/elsewhere.ndjson", "method": None},
        {"status": 405, "method": "HEAD"},
        {"status": 503, "method": "HEAD", "times": 2},
    ],
    ids=str,
)
def test_download_gets_the_right_file_in_spite_of(server: BucketServer, target: Path, fault: dict[str, object]) -> None:
    (server.folder / "elsewhere.ndjson").write_bytes(CONTENT)
    server.fault(NAME, **fault)
    got = download(url(server), target, bytes=len(CONTENT), md5=MD5, policy=QUICK)
    assert is_whole(target)
    assert (got.path, got.bytes, got.md5, got.received) == (target, len(CONTENT), MD5, len(CONTENT))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"status": 404, "method": None}, "status 404, it is not there"),
        ({"status": 403, "method": None}, "status 403 .*refuses access"),
        ({"status": 503, "method": None}, "gave up after 5 tries .*status 503"),
        ({"silent": True}, "gave up after 5 tries .*ReadTimeout"),
        ({"cut_after": 0}, "gave up after 5 tries"),
        ({"corrupt": True}, "expected md5 .*once more"),
        ({"content": CONTENT + b"x", "method": None}, "expected 3,000,000 bytes, found 3,000,001"),
        ({"length": 1000}, "expected 3,000,000 bytes, found 1,000"),
        ({"redirect": "file:///etc/passwd", "method": None}, "not http or https"),
        ({"redirect": "/" + QUOTED, "method": None}, "circle of redirects"),
    ],
    ids=str,
)
def test_download_leaves_nothing_behind_after(
    server: BucketServer, target: Path, fault: dict[str, object], message: str
) -> None:
    server.fault(NAME, **fault)
    with pytest.raises(FetchError, match=message):
        download(url(server), target, bytes=len(CONTENT), md5=MD5, policy=QUICK)
    assert names(target.parent) == []


def test_a_wrong_file_is_fetched_once_more_and_not_more_often(server: BucketServer, target: Path) -> None:
    server.fault(NAME, corrupt=True)
    with pytest.raises(FetchError):
        download(url(server), target, policy=QUICK)
    assert server.ranges() == [None, None]


def test_an_address_where_nothing_listens_is_one_clear_error(target: Path) -> None:
    with pytest.raises(CutOffError, match="ConnectError"):
        download(f"{closed_port()}/x", target, policy=QUICK)
    assert names(target.parent) == []


def test_missing_file_is_told_apart_from_a_refusal(server: BucketServer) -> None:
    with pytest.raises(NotFoundError):
        stat(f"{server.url}/nothing")


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "nonsense", "http://"])
def test_only_http_addresses_are_opened(address: str) -> None:
    with pytest.raises(FetchError, match="not http"):
        stat(address, policy=QUICK)


def test_a_password_in_the_address_is_not_shown(server: BucketServer) -> None:
    with pytest.raises(NotFoundError) as caught:
        stat(f"{server.url}/nothing".replace("//", "//me:secret@"))
    assert "secret" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_waited_for(server: BucketServer, as_date: bool) -> None:
    # An HTTP date has whole seconds, so it takes two of them to be sure of one.
    value = email.utils.formatdate(time.time() + 2, usegmt=True) if as_date else "1"
    server.fault(NAME, method="HEAD", status=503, times=1, retry_after=value)
    begun = time.monotonic()
    stat(url(server), policy=replace(QUICK, longest_retry_after=5))
    assert 0.9 < time.monotonic() - begun < 4


def test_retry_after_is_capped(server: BucketServer) -> None:
    server.fault(NAME, method="HEAD", status=429, times=1, retry_after="3600")
    begun = time.monotonic()
    stat(url(server), policy=QUICK)
    assert 0.29 < time.monotonic() - begun < 3


def test_progress_makes_earlier_failures_forgotten(server: BucketServer) -> None:
    server.fault(NAME, cut_after=300_000)
    assert b"".join(stream(url(server), policy=replace(QUICK, tries=2, progress_bytes=250_000))) == CONTENT
    with pytest.raises(CutOffError):
        list(stream(url(server), policy=replace(QUICK, tries=2)))


def test_a_part_is_kept_after_the_last_cut_and_continued_by_range(server: BucketServer, target: Path) -> None:
    server.fault(NAME, cut_after=400_000)
    with pytest.raises(CutOffError):
        download(url(server), target, policy=QUICK)
    assert names(target.parent) == ["aircraft carrier.ndjson.part", "aircraft carrier.ndjson.part.json"]
    server.heal()
    got = download(url(server), target, policy=QUICK)
    assert is_whole(target)
    assert (got.status, got.received) == ("resumed", len(CONTENT) - 5 * 400_000)
    assert server.ranges() == ["bytes=2000000-"]


def test_a_part_of_another_version_is_not_continued(server: BucketServer, target: Path) -> None:
    server.fault(NAME, cut_after=400_000, content=CONTENT[::-1], method=None)
    with pytest.raises(CutOffError):
        download(url(server), target, policy=QUICK)
    server.heal()
    assert download(url(server), target, policy=QUICK).status == "downloaded"
    assert is_whole(target)
    assert server.ranges() == [None]


def test_a_part_that_nothing_can_vouch_for_starts_again(tmp_path: Path, target: Path) -> None:
    write(tmp_path / "bucket", CONTENT)
    target.parent.mkdir()
    target.with_name(f"{target.name}.part").write_bytes(b"whatever")
    with BucketServer(tmp_path / "bucket", hashes=False, validators=()) as server:
        assert download(url(server), target, policy=QUICK).status == "downloaded"
        assert server.ranges() == [None]
    assert is_whole(target)


def test_a_cut_without_anything_to_vouch_for_the_part_keeps_none(tmp_path: Path, target: Path) -> None:
    write(tmp_path / "bucket", CONTENT)
    with BucketServer(tmp_path / "bucket", hashes=False, validators=()) as server:
        server.fault(NAME, cut_after=1000)
        with pytest.raises(CutOffError):
            download(url(server), target, policy=QUICK)
    assert names(target.parent) == []


def test_a_wrong_part_is_found_by_its_md5_and_fetched_again(server: BucketServer, target: Path) -> None:
    target.parent.mkdir()
    target.with_name(f"{target.name}.part").write_bytes(b"wrong bytes")
    assert download(url(server), target, md5=MD5, policy=QUICK).status == "downloaded"
    assert is_whole(target)
    assert server.ranges() == ["bytes=11-", None]


def test_a_finished_part_needs_no_request_for_bytes(server: BucketServer, target: Path) -> None:
    target.parent.mkdir()
    target.with_name(f"{target.name}.part").write_bytes(CONTENT)
    assert download(url(server), target, policy=QUICK).received == 0
    assert is_whole(target)
    assert server.gets() == []


def test_a_file_replaced_at_the_source_is_taken_in_its_new_version(server: BucketServer, target: Path) -> None:
    server.fault(NAME, method="HEAD", content=b"the old one", times=1)
    download(url(server), target, policy=QUICK)
    assert is_whole(target)


def test_a_right_file_is_left_alone_and_a_wrong_one_replaced(server: BucketServer, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    assert download(url(server), target, md5=MD5, policy=QUICK).status == "present"
    assert server.requests == []
    target.write_bytes(CONTENT[::-1])
    assert download(url(server), target, policy=QUICK).status == "downloaded"
    assert is_whole(target)


def test_on_bytes_tells_what_is_on_disk(server: BucketServer, target: Path) -> None:
    server.fault(NAME, corrupt=True, times=1)
    positions: list[int] = []
    download(url(server), target, policy=QUICK, on_bytes=positions.append)
    assert positions.count(0) == 2
    assert positions[-1] == len(CONTENT)


@pytest.mark.slow
def test_two_processes_do_not_write_into_one_part(server: BucketServer, target: Path) -> None:
    server.fault(NAME, rate=2_000_000, times=1)
    with start_download(server, target) as first:
        wait_until(lambda: server.gets() != [])
        wait_until(lambda: target.with_name(f"{target.name}.part").exists())
        with pytest.raises(FetchError, match="by another process"):
            download(url(server), target, policy=QUICK)
        assert first.wait(timeout=30) == 0
    assert is_whole(target)


@pytest.mark.slow
def test_an_interrupted_process_leaves_a_part_that_is_continued(server: BucketServer, target: Path) -> None:
    server.fault(NAME, rate=1_000_000, times=1)
    part = target.with_name(f"{target.name}.part")
    with start_download(server, target) as process:
        wait_until(lambda: part.exists() and part.stat().st_size > 0)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) != 0
    assert not target.exists()
    assert download(url(server), target, policy=QUICK).status == "resumed"
    assert is_whole(target)


def start_download(server: BucketServer, target: Path) -> subprocess.Popen[bytes]:
    call = f"download({url(server)!r}, Path({str(target)!r}))"
    code = f"from pathlib import Path; from sketchdata.storage.fetch import download; {call}"
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
