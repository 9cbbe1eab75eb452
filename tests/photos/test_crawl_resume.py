"""Whatever ends a crawl, the same call goes on: nothing is lost, and nothing that is done is asked for again."""

from __future__ import annotations

import fcntl
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from sketchdata.errors import SketchDataError
from sketchdata.photos.crawl import CrawlOptions, PhotoOutcome, crawl
from tests.photo_servers import PhotoServer, read_outcomes

pytestmark = pytest.mark.slow

FAST: dict[str, Any] = {"delay": 0, "allow_private": True, "concurrency": 8, "concurrency_per_host": 8}
OPTIONS = CrawlOptions(**FAST, fetch_retries=0)
#: A crawl in a process of its own, as a command would do it. Arguments: folder, URLs as JSON.
SCRIPT = f"""
import json, sys
from pathlib import Path
from sketchdata.photos.crawl import CrawlOptions, crawl
from sketchdata.errors import SketchDataError
try:
    crawl(json.loads(sys.argv[2]), Path(sys.argv[1]), CrawlOptions(**{FAST!r}))
except SketchDataError as error:
    sys.exit(f"{{type(error).__name__}}: {{error}}")
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PhotoServer]:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1714953600")
    with PhotoServer() as server:
        yield server


def photos(server: PhotoServer, count: int) -> list[str]:
    return [server.url(f"/{number}.jpg") for number in range(count)]


def slow_photos(server: PhotoServer, count: int, rate: int = 8000) -> list[str]:
    """Return photos of about 2,000 bytes that come at so many a second."""
    return [server.answer(f"/{number}.jpg", rate=rate) for number in range(count)]


def start(folder: Path, urls: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder), orjson.dumps(urls).decode()]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def lines(folder: Path) -> int:
    log = folder / ".collect" / "outcomes.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in (folder / "photos").rglob("*") if path.is_file()}


def assert_whole(folder: Path, outcomes: dict[str, PhotoOutcome], urls: list[str]) -> None:
    """Assert that all photos are there, and nothing else."""
    assert set(outcomes) == set(urls)
    assert {outcome.status for outcome in outcomes.values()} == {"ok"}
    assert files(folder) == {outcome.path for outcome in outcomes.values()}


def test_what_has_an_outcome_is_not_asked_for_again(server: PhotoServer, tmp_path: Path) -> None:
    server.answer("/broken", status=500)
    server.answer("/page", body=b"<html>")
    urls = [*photos(server, 4), server.url("/broken"), server.url("/page")]
    first = crawl(iter(urls[:3] * 2), tmp_path, OPTIONS)
    assert sorted(server.photos_asked()) == ["/0.jpg", "/1.jpg", "/2.jpg"]
    server.heal()
    second = crawl(urls, tmp_path, OPTIONS)
    assert sorted(server.photos_asked()) == ["/3.jpg", "/broken", "/page"]
    server.heal()
    assert crawl(urls, tmp_path, OPTIONS) == second == read_outcomes(tmp_path)
    assert server.requests == []
    assert first.items() < second.items()
    assert crawl(urls[:1], tmp_path, OPTIONS) == {urls[0]: first[urls[0]]}


def test_retry_failed_asks_for_the_failed_ones_alone(server: PhotoServer, tmp_path: Path) -> None:
    server.answer("/broken.jpg", status=500)
    server.answer("/page", body=b"<html>")
    urls = [server.url(path) for path in ("/0.jpg", "/broken.jpg", "/page")]
    crawl(urls, tmp_path, OPTIONS)
    server.heal()
    again = crawl(urls, tmp_path, CrawlOptions(**FAST, retry_failed=True))
    assert server.photos_asked() == ["/broken.jpg"]
    assert [again[url].status for url in urls] == ["ok", "ok", "refused"]


def test_ctrl_c_ends_in_good_order_and_the_queue_is_gone_on_with(server: PhotoServer, tmp_path: Path) -> None:
    urls = slow_photos(server, 40)
    with start(tmp_path, urls) as process:
        wait_until(lambda: lines(tmp_path) > 3)
        [child] = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=60)
    assert "InterruptedRunError" in message
    assert "Traceback" not in message
    assert not child.is_running()
    done = lines(tmp_path)
    # In good order: what was under way has its outcome, and the queue is known to hold the rest.
    assert len(set(server.photos_asked())) == done < len(urls)
    assert orjson.loads((tmp_path / ".collect/queue/pending.json").read_bytes())["count"] == len(urls) - done
    assert_whole(tmp_path, crawl(urls, tmp_path, OPTIONS), urls)
    assert max(Counter(server.photos_asked()).values()) == 1


@pytest.mark.parametrize("pause", [0.0, 0.7])
def test_ctrl_c_while_the_crawl_is_starting_ends_it_too(server: PhotoServer, tmp_path: Path, pause: float) -> None:
    # Each takes a second, so that a busy machine does not finish them before the signal is sent.
    urls = slow_photos(server, 40, rate=2000)
    with start(tmp_path, urls) as process:
        wait_until(psutil.Process(process.pid).children)
        children = psutil.Process(process.pid).children()
        time.sleep(pause)
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=60)
    assert "InterruptedRunError" in message
    assert "Traceback" not in message
    assert not any(map(is_alive, children))
    assert len(server.photos_asked()) < len(urls)
    server.heal()  # the same photos, no longer slow
    assert_whole(tmp_path, crawl(urls, tmp_path, OPTIONS), urls)


def test_a_queue_is_not_gone_on_with_when_the_list_has_changed(server: PhotoServer, tmp_path: Path) -> None:
    urls = slow_photos(server, 30)
    with start(tmp_path, urls) as process:
        wait_until(lambda: lines(tmp_path) > 3)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    wanted = [*urls[:25], *photos(server, 35)[30:]]
    outcomes = crawl(wanted, tmp_path, OPTIONS)
    assert set(outcomes) == set(wanted)
    assert max(Counter(server.photos_asked()).values()) == 1
    # Of those that are no longer wanted, none was asked for but by the first crawl.
    assert set(read_outcomes(tmp_path)) - set(wanted) <= set(urls[25:])


def test_a_queue_that_a_stranger_filled_runs_nothing_and_is_built_again(server: PhotoServer, tmp_path: Path) -> None:
    urls = slow_photos(server, 30)
    with start(tmp_path, urls) as process:
        wait_until(lambda: lines(tmp_path) > 3)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    proof = tmp_path / "proof"
    command = f"cos\nsystem\n(S'touch {proof}'\ntR.".encode()
    for path in (tmp_path / ".collect/queue/requests.queue").rglob("q*"):
        path.write_bytes(len(command).to_bytes(4, "big") + command + b"\0" * path.stat().st_size)
    assert_whole(tmp_path, crawl(urls, tmp_path, OPTIONS), urls)
    assert not proof.exists()


def test_kill_9_at_any_moment_loses_and_repeats_nothing(server: PhotoServer, tmp_path: Path) -> None:
    urls = slow_photos(server, 400, rate=4000)
    chance = random.Random(0)
    for _ in range(10):
        goal, pause = lines(tmp_path) + chance.randrange(8), chance.uniform(0, 0.2)
        with start(tmp_path, urls) as process:
            wait_until(psutil.Process(process.pid).children)
            children = psutil.Process(process.pid).children()
            wait_until(lambda: lines(tmp_path) >= goal)  # noqa: B023
            time.sleep(pause)
            process.kill()
        wait_until(lambda: not any(map(is_alive, children)))  # noqa: B023
    done = lines(tmp_path)
    assert done < len(urls)
    # Asked for once more was only what was under way when the end came: 8 photos on the line, and some being judged.
    assert len(server.photos_asked()) <= done + 10 * 2 * 8
    server.heal()  # the same photos, no longer slow
    outcomes = crawl(urls, tmp_path, OPTIONS)
    assert len(server.photos_asked()) == len(urls) - done
    assert_whole(tmp_path, outcomes, urls)
    assert outcomes == crawl(urls, tmp_path / "undisturbed", OPTIONS)
    assert files(tmp_path) == files(tmp_path / "undisturbed")
    assert list((tmp_path / ".collect/parts").iterdir()) == []


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_the_crawling_process_is_started_again_when_it_dies(server: PhotoServer, tmp_path: Path) -> None:
    urls = slow_photos(server, 30)
    with start(tmp_path, urls) as process:
        wait_until(lambda: lines(tmp_path) > 3)
        [child] = psutil.Process(process.pid).children()
        child.kill()
        _, message = process.communicate(timeout=60)
    assert (process.returncode, message) == (0, "")
    assert_whole(tmp_path, read_outcomes(tmp_path), urls)


def test_a_crawl_that_dies_again_and_again_is_given_up_with_its_last_words(
    server: PhotoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sketchdata.photos.crawl._START", "raise SystemExit('the roof is on fire')")
    with pytest.raises(SketchDataError, match=r"died 3 times in a row with 2 photos to go.*the roof is on fire"):
        crawl(photos(server, 2), tmp_path, OPTIONS)


def test_a_disk_that_takes_no_photos_ends_the_crawl_with_its_reason(server: PhotoServer, tmp_path: Path) -> None:
    (tmp_path / "photos").write_text("in the way")
    with pytest.raises(SketchDataError, match=r"cannot go on: .*photos.*fix that"):
        crawl(photos(server, 3), tmp_path, OPTIONS)
    (tmp_path / "photos").unlink()
    urls = photos(server, 3)
    assert_whole(tmp_path, crawl(urls, tmp_path, OPTIONS), urls)


def test_two_crawls_do_not_share_a_folder(server: PhotoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sketchdata.photos.crawl._LOCK_SECONDS", 0.2)
    (tmp_path / ".collect").mkdir()
    with (tmp_path / ".collect" / "lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(SketchDataError, match="another process fetches photos"):
            crawl(photos(server, 1), tmp_path, OPTIONS)
    assert server.requests == []


def test_without_scrapy_the_extra_is_named(tmp_path: Path) -> None:
    code = f"import sys; sys.modules['scrapy'] = None; sys.argv[1:] = [{str(tmp_path)!r}, '[]']\n{SCRIPT}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    assert re.fullmatch(r"ConfigError: .*pip install 'sketchdata\[crawl\]'\n", done.stderr)
