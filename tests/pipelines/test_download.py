"""The download command: right files or clear errors, nothing half-written, and nothing fetched twice."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sketchdata.errors import ConfigError, SketchDataError, TasksFailedError
from sketchdata.pipelines import download
from sketchdata.pipelines.download import Config, DownloadSummary, run
from sketchdata.storage.catalog import OfficialFile
from sketchdata.storage.fetch import FetchPolicy
from tests import commands
from tests.servers import BucketServer, closed_port

NAMES = ("aircraft carrier", "cat", "star")
CONTENT = {name: random.Random(name).randbytes(400_000) for name in NAMES}
QUICK = FetchPolicy(pause_seconds=0.001, longest_pause=0.002, connect_seconds=2, read_seconds=0.5)


def path_of(name: str) -> str:
    return f"full/simplified/{name}.ndjson"


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    for name, content in CONTENT.items():
        put(tmp_path / "bucket", path_of(name), content)
    return tmp_path / "bucket"


@pytest.fixture
def server(bucket: Path) -> Iterator[BucketServer]:
    with BucketServer(bucket) as server:
        yield server


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "data"


def put(folder: Path, path: str, content: bytes) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(content)


def config(source: object, dest: Path, **options: object) -> Config:
    return Config(**{"source": str(source), "dest": dest, "categories": ",".join(NAMES), **options})


def statuses(summary: DownloadSummary) -> list[str]:
    return [file.status for file in summary.files]


def files(dest: Path) -> dict[str, bytes]:
    """Return everything below a folder but the record of checked files."""
    found = {path.relative_to(dest).as_posix(): path.read_bytes() for path in dest.rglob("*") if path.is_file()}
    found.pop(".sketchdata/checked.json", None)
    return found


WHOLE = {path_of(name): content for name, content in CONTENT.items()}


def listing(tmp_path: Path, contents: dict[str, bytes]) -> Path:
    rows = [f"{path},{len(content)},{hashlib.md5(content).hexdigest()}" for path, content in contents.items()]
    (tmp_path / "list.csv").write_text("\n".join(["path,bytes,md5", *rows, ""]))
    return tmp_path / "list.csv"


@pytest.mark.parametrize("kind", ["web", "folder"])
def test_files_arrive_in_the_layout_of_the_bucket(server: BucketServer, bucket: Path, dest: Path, kind: str) -> None:
    summary = run(config(server.url if kind == "web" else bucket, dest), policy=QUICK)
    assert statuses(summary) == ["downloaded"] * 3
    assert files(dest) == WHOLE
    assert summary.received == sum(map(len, CONTENT.values()))


def test_a_second_call_fetches_and_hashes_nothing(server: BucketServer, dest: Path) -> None:
    run(config(server.url, dest), policy=QUICK)
    record = (dest / ".sketchdata/checked.json").stat()
    before = len(server.gets())
    assert statuses(run(config(server.url, dest), policy=QUICK)) == ["present"] * 3
    assert len(server.gets()) == before
    assert (dest / ".sketchdata/checked.json").stat().st_ino == record.st_ino


def test_with_a_binding_list_a_second_call_makes_no_request_at_all(
    server: BucketServer, dest: Path, tmp_path: Path
) -> None:
    chosen = config(server.url, dest, checksums=str(listing(tmp_path, WHOLE)))
    run(chosen, policy=QUICK)
    server.heal()
    assert statuses(run(chosen, policy=QUICK)) == ["present"] * 3
    assert server.requests == []


def test_a_damaged_file_is_found_and_fetched_again(server: BucketServer, dest: Path) -> None:
    run(config(server.url, dest), policy=QUICK)
    damaged = dest / path_of("cat")
    damaged.write_bytes(CONTENT["cat"][::-1])
    assert statuses(run(config(server.url, dest), policy=QUICK)) == ["present", "downloaded", "present"]
    assert files(dest) == WHOLE


def test_a_right_file_without_a_record_is_hashed_and_kept(server: BucketServer, dest: Path) -> None:
    put(dest, path_of("cat"), CONTENT["cat"])
    put(dest, ".sketchdata/checked.json", b"{broken")
    assert statuses(run(config(server.url, dest), policy=QUICK)) == ["downloaded", "present", "downloaded"]


def test_one_bad_file_does_not_keep_the_others_back(server: BucketServer, dest: Path) -> None:
    server.fault(path_of("aircraft carrier"), status=403, method=None)
    server.fault(path_of("cat"), corrupt=True)
    summary = run(config(server.url, dest), policy=QUICK)
    assert statuses(summary) == ["failed", "failed", "downloaded"]
    assert files(dest) == {path_of("star"): CONTENT["star"]}
    with pytest.raises(TasksFailedError, match=r"(?s)2 of 3 files.*carrier.*refuses access.*cat.*expected md5"):
        summary.check()


def test_a_missing_file_is_named_with_the_layout_expected(bucket: Path, dest: Path) -> None:
    (bucket / path_of("cat")).unlink()
    summary = run(config(bucket, dest))
    assert statuses(summary) == ["downloaded", "failed", "downloaded"]
    with pytest.raises(TasksFailedError, match="laid out like the official bucket"):
        summary.check()


def test_failures_are_listed_up_to_ten(bucket: Path, dest: Path) -> None:
    with pytest.raises(TasksFailedError, match=r"342 of 345 .*\n(  full/.*\n){10}  … and 332 more"):
        run(config(bucket, dest, categories=None, dry_run=True)).check()


def test_a_source_that_cannot_be_reached_is_one_error(dest: Path) -> None:
    with pytest.raises(SketchDataError, match="cannot reach the source"):
        run(config(closed_port(), dest, categories=None), policy=QUICK)
    assert not dest.exists()


def test_a_source_that_dies_meanwhile_is_given_up(server: BucketServer, dest: Path) -> None:
    for name in NAMES:
        server.fault(path_of(name), cut_after=0)
    summary = run(config(server.url, dest, jobs=1), policy=QUICK)
    assert [str(file.error)[:9] for file in summary.failed].count("not tried") == 1
    assert files(dest) == {}


def test_gzipped_files_are_stored_gzipped_and_checked(tmp_path: Path, dest: Path) -> None:
    stored = {f"{path}.gz": gzip.compress(content) for path, content in WHOLE.items()}
    for path, content in stored.items():
        put(tmp_path / "zipped", path, content)
    with BucketServer(tmp_path / "zipped") as server:
        # The list has the md5 sums of the content; what is stored is unpacked to be compared with them.
        chosen = config(server.url, dest, checksums=str(listing(tmp_path, WHOLE)))
        assert statuses(run(chosen, policy=QUICK)) == ["downloaded"] * 3
        assert files(dest) == stored
        assert statuses(run(chosen, policy=QUICK)) == ["present"] * 3


def test_gzipped_files_with_other_content_than_listed_are_refused(tmp_path: Path, dest: Path) -> None:
    for path, content in WHOLE.items():
        put(tmp_path / "zipped", f"{path}.gz", gzip.compress(content[::-1]))
    summary = run(config(tmp_path / "zipped", dest, checksums=str(listing(tmp_path, WHOLE))))
    assert statuses(summary) == ["failed"] * 3
    assert "of the unpacked content" in str(summary.files[0].error)
    assert files(dest) == {}


def test_a_damaged_gzip_is_refused(tmp_path: Path, dest: Path) -> None:
    put(tmp_path / "zipped", f"{path_of('cat')}.gz", gzip.compress(CONTENT["cat"])[:-5])
    summary = run(config(tmp_path / "zipped", dest, categories="cat"))
    assert "truncated gzip" in str(summary.files[0].error)
    assert files(dest) == {}


def test_other_files_than_the_published_ones_are_counted_but_taken(server: BucketServer, dest: Path) -> None:
    summary = run(config(server.url, dest), policy=QUICK)
    assert len(summary.not_official) == 3
    summary.check()


def test_the_official_list_binds_any_source_when_asked(server: BucketServer, dest: Path) -> None:
    summary = run(config(server.url, dest, checksums="official"), policy=QUICK)
    assert all("not the listed file" in str(file.error) for file in summary.failed)
    assert statuses(summary) == ["failed"] * 3
    assert server.gets() == []


def test_a_listed_file_is_official_when_its_content_is(
    bucket: Path, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = {p: OfficialFile(path=p, bytes=len(c), md5=hashlib.md5(c).hexdigest()) for p, c in WHOLE.items()}
    monkeypatch.setattr(download, "read_official_files", lambda _: published)
    summary = run(config(bucket, dest, checksums="official"))
    assert [file.official for file in summary.files] == [True] * 3
    assert [file.official for file in run(config(bucket, dest)).files] == [True] * 3


def test_sketchrnn_has_no_published_md5_and_takes_the_source_s(server: BucketServer, dest: Path) -> None:
    put(server.folder, "sketchrnn/cat.npz", b"npz")
    chosen = config(server.url, dest, format="sketchrnn", categories="cat", checksums="official")
    summary = run(chosen, policy=QUICK)
    assert [(file.status, file.official) for file in summary.files] == [("downloaded", None)]


def test_checksums_none_takes_what_comes(server: BucketServer, dest: Path) -> None:
    server.fault(path_of("cat"), corrupt=True)
    summary = run(config(server.url, dest, categories="cat", checksums="none"), policy=QUICK)
    assert statuses(summary) == ["downloaded"]
    assert files(dest) == {path_of("cat"): bytes(b ^ 0xFF for b in CONTENT["cat"])}


def test_a_list_that_lacks_files_is_refused_before_anything_is_fetched(
    server: BucketServer, dest: Path, tmp_path: Path
) -> None:
    short = listing(tmp_path, {path_of("cat"): CONTENT["cat"]})
    with pytest.raises(ConfigError, match=r"lacks 2 of 3 files, such as full/simplified/aircraft carrier"):
        run(config(server.url, dest, checksums=str(short)), policy=QUICK)
    assert server.requests == []


def test_too_little_space_is_said_before_anything_is_fetched(server: BucketServer, dest: Path) -> None:
    server.fault(path_of("cat"), method="HEAD", length=10**15)
    with pytest.raises(ConfigError, match=r"not enough space .*1\.0 PB remain to be fetched"):
        run(config(server.url, dest), policy=QUICK)
    assert server.gets() == []
    assert not dest.exists()


def test_dry_run_tells_and_fetches_nothing(server: BucketServer, dest: Path) -> None:
    summary = run(config(server.url, dest, dry_run=True), policy=QUICK)
    assert statuses(summary) == ["planned"] * 3
    assert summary.size("planned") == sum(map(len, CONTENT.values()))
    assert server.gets() == []
    assert not dest.exists()


def test_what_was_downloaded_is_itself_a_source(server: BucketServer, dest: Path, tmp_path: Path) -> None:
    run(config(server.url, dest), policy=QUICK)
    assert statuses(run(config(dest, tmp_path / "copy"))) == ["downloaded"] * 3
    assert files(tmp_path / "copy") == WHOLE
    assert statuses(run(config(dest, dest))) == ["present"] * 3


def test_more_jobs_fetch_at_once(server: BucketServer, dest: Path) -> None:
    for name in NAMES:
        server.fault(path_of(name), rate=800_000)
    begun = time.monotonic()
    run(config(server.url, dest, jobs=3))
    # One after the other they take 1.5 s at the least.
    assert time.monotonic() - begun < 1.2
    assert files(dest) == WHOLE


# -- the real command ---------------------------------------------------------------------------------------------


def command(source: str, dest: Path, *options: str) -> list[str]:
    names = ",".join(NAMES)
    words = ["download", "quickdraw", "--source", source, "--dest", str(dest), "--categories", names, *options]
    return [sys.executable, "-m", "sketchdata", *words]


def sketchdata(source: str, dest: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return commands.sketchdata(*command(source, dest, *options)[3:], expect=None)


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_the_command_prints_a_table_and_exits_0(server: BucketServer, dest: Path) -> None:
    done = sketchdata(server.url, dest)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "downloaded" in done.stderr
    assert "warning: not the official content" in done.stderr
    assert files(dest) == WHOLE


def test_json_is_all_there_is_on_standard_output(server: BucketServer, dest: Path) -> None:
    done = sketchdata(server.url, dest, "--json")
    summary = json.loads(done.stdout)
    assert summary["counts"] == {"downloaded": 3}
    assert summary["received"] == summary["bytes"] == sum(map(len, CONTENT.values()))
    assert [file["path"] for file in summary["files"]] == list(WHOLE)


def test_failures_exit_1_with_json_and_without_a_traceback(server: BucketServer, dest: Path) -> None:
    server.fault(path_of("cat"), status=404, method=None)
    done = sketchdata(server.url, dest, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["counts"] == {"downloaded": 2, "failed": 1}
    assert "1 of 3 files could not be downloaded" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["--categories", "cta"], 1, "did you mean"),
        (["--source", "s3://bucket"], 1, "a source is a folder, http"),
        (["--checksums", "nothing.csv"], 1, "nothing.csv is not a list of files"),
        (["--format", "jpeg"], 2, "'jpeg' is not one of"),
        (["--jobs", "0"], 2, "0 is not in the range"),
    ],
)
def test_wrong_options_end_in_one_clear_line(dest: Path, options: list[str], code: int, text: str) -> None:
    done = sketchdata("http://127.0.0.1:9", dest, *options)
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_stopped_download_goes_on_by_range(server: BucketServer, dest: Path, signal_number: signal.Signals) -> None:
    server.fault(path_of("cat"), rate=100_000, times=1)
    part = dest / f"{path_of('cat')}.part"
    with subprocess.Popen(command(server.url, dest), stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: part.exists() and part.stat().st_size > 0)
        process.send_signal(signal_number)
        _, said = process.communicate(timeout=10)
    assert process.returncode == (130 if signal_number == signal.SIGINT else -signal_number)
    assert "Traceback" not in said
    assert not (dest / path_of("cat")).exists()
    kept = part.stat().st_size
    assert 0 < kept < len(CONTENT["cat"])

    server.heal()
    summary = run(config(server.url, dest), policy=QUICK)
    assert summary.count("resumed") == 1
    assert f"bytes={kept}-" in server.ranges()
    assert files(dest) == WHOLE


@pytest.mark.slow
def test_ctrl_c_does_not_wait_for_a_server_that_does_not_answer(server: BucketServer, dest: Path) -> None:
    server.fault(path_of("cat"), silent=True)
    with subprocess.Popen(command(server.url, dest), stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: path_of("cat") in server.gets())
        time.sleep(0.3)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
    assert time.monotonic() - begun < 3
    assert process.returncode == 130
    assert "stopped; finished work is kept" in said


@pytest.mark.slow
@pytest.mark.skipif("SKETCHDATA_REAL_DATA" not in os.environ, reason="needs SKETCHDATA_REAL_DATA")
@pytest.mark.parametrize("format_name", ["simplified", "raw"])
def test_real_files_of_all_categories_arrive_unchanged(dest: Path, format_name: str) -> None:
    real = Path(os.environ["SKETCHDATA_REAL_DATA"]) / "quickdraw"
    with BucketServer(real) as server:
        summary = run(config(server.url, dest, categories=None, format=format_name, jobs=8))
        assert len(summary.files) == summary.count("downloaded") == 345
        folder = f"full/{format_name}"
        assert files(dest / folder) == files(real / folder)
        assert run(config(server.url, dest, categories=None, format=format_name)).count("present") == 345
        assert len(server.gets()) == 345
