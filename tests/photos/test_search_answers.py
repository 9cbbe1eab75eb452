"""Questions are asked once, politely and patiently, and every fault ends in words that help."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from sketchdata.errors import FetchError
from sketchdata.photos.web_api import WebApi
from sketchdata.storage.fetch import FetchPolicy
from tests.photos.photo_apis import ApiServer, Reply
from tests.servers import closed_port
from tests.trees import tree

QUICK = FetchPolicy(tries=3, pause_seconds=0.001, longest_retry_after=1.0, connect_seconds=2, read_seconds=0.5)
HELLO = Reply(body={"hello": "world"})


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(lambda question: Reply(body={"asked": question.parameters.get("q")})) as running:
        yield running


def answers(url: str, folder: Path, pause: float = 0.0, **fields: Any) -> WebApi:
    agent = "sketchdata/1 (+me@a.test)"
    return WebApi(name="api", address=url, user_agent=agent, pause=pause, folder=folder, policy=QUICK, **fields)


def test_an_answer_is_kept_and_not_asked_for_again_even_by_another_run(server: ApiServer, tmp_path: Path) -> None:
    for _ in range(2):
        assert answers(server.url, tmp_path).ask({"q": "cat", "page": "1"}) == {"asked": "cat"}
        assert answers(server.url, tmp_path).ask({"page": "1", "q": "cat"}) == {"asked": "cat"}
    assert len(server.questions) == 1
    answers(server.url, tmp_path).ask({"q": "dog", "page": "1"})
    assert len(server.questions) == 2


def test_who_asks_is_said_and_secrets_are_sent_and_kept_nowhere(server: ApiServer, tmp_path: Path) -> None:
    asking = answers(server.url, tmp_path, secret={"api_key": "s3cret"}, headers={"Authorization": "Bearer t0ken"})
    asking.ask({"q": "cat"})
    [question] = server.questions
    assert question.headers["user-agent"] == "sketchdata/1 (+me@a.test)"
    assert question.parameters == {"q": "cat", "api_key": "s3cret"}
    assert question.headers["authorization"] == "Bearer t0ken"
    assert "s3cret" not in repr(asking) + repr(tree(tmp_path))
    assert "t0ken" not in repr(asking) + repr(tree(tmp_path))


def test_a_damaged_answer_on_disk_is_asked_for_again(server: ApiServer, tmp_path: Path) -> None:
    answers(server.url, tmp_path).ask({"q": "cat"})
    [kept] = tmp_path.rglob("*.json")
    kept.write_bytes(kept.read_bytes()[:-3])
    assert answers(server.url, tmp_path).ask({"q": "cat"}) == {"asked": "cat"}
    assert len(server.questions) == 2


@pytest.mark.parametrize(
    "fault",
    [
        Reply(status=429, headers={"Retry-After": "0"}),
        Reply(status=429, headers={"Retry-After": formatdate(time.time() - 5, usegmt=True)}),
        Reply(status=429),
        Reply(status=408),
        Reply(status=503),
        Reply(status=500, body=b"<html>oops</html>"),
        Reply(hang_up=True),
        Reply(body=b'{"cut off'),
        Reply(body=b"<html>down for maintenance</html>"),
        Reply(body=[1, 2]),
        Reply(body=b""),
    ],
    ids=lambda fault: f"{fault.status} {fault.body!r:.12}",
)
def test_a_passing_fault_is_waited_out(server: ApiServer, tmp_path: Path, fault: Reply) -> None:
    server.faults.extend([fault, fault])
    assert answers(server.url, tmp_path).ask({"q": "cat"}) == {"asked": "cat"}
    assert len(server.questions) == 3


def test_faults_that_do_not_pass_end_in_words_and_keep_nothing(server: ApiServer, tmp_path: Path) -> None:
    server.faults.extend([Reply(status=503)] * 3)
    with pytest.raises(FetchError, match=r"api gave no answer in 3 tries; .*status 503.*the same command resumes"):
        answers(server.url, tmp_path).ask({"q": "cat"})
    assert tree(tmp_path) == {}


@pytest.mark.slow
def test_retry_after_is_honoured(server: ApiServer, tmp_path: Path) -> None:
    server.faults.append(Reply(status=429, headers={"Retry-After": "1"}))
    started = time.monotonic()
    answers(server.url, tmp_path).ask({"q": "cat"})
    assert time.monotonic() - started >= 1.0


def test_a_wait_of_hours_is_said_instead_of_waited(server: ApiServer, tmp_path: Path) -> None:
    server.faults.append(Reply(status=429, headers={"Retry-After": "7200"}))
    with pytest.raises(FetchError, match=r"asks to wait 120 minutes .*status 429.*run the same command then"):
        answers(server.url, tmp_path).ask({"q": "cat"})
    assert len(server.questions) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_final_and_says_what_to_do(server: ApiServer, tmp_path: Path, status: int) -> None:
    server.faults.append(Reply(status=status, body=b'{"detail": "no such licence"}'))
    with pytest.raises(FetchError, match=rf"status {status} .*no such licence.*; check the key"):
        answers(server.url, tmp_path, advice="check the key", secret={"key": "s3cret"}).ask({"q": "cat"})
    assert len(server.questions) == 1


def test_a_redirect_is_not_followed_with_our_secrets(server: ApiServer, tmp_path: Path) -> None:
    server.faults.append(Reply(status=302, headers={"Location": f"{server.url}/elsewhere"}))
    with pytest.raises(FetchError, match="status 302"):
        answers(server.url, tmp_path, secret={"key": "s3cret"}).ask({"q": "cat"})
    assert len(server.questions) == 1


def test_an_endless_answer_is_cut_off(server: ApiServer, tmp_path: Path) -> None:
    server.faults.append(Reply(body=b" " * (17 << 20)))
    with pytest.raises(FetchError, match="more than 16,777,216 bytes"):
        answers(server.url, tmp_path).ask({"q": "cat"})


@pytest.mark.parametrize("address", ["ftp://a.test/", "nonsense", "http://a.test:port/"])
def test_an_address_that_is_none_is_said(tmp_path: Path, address: str) -> None:
    with pytest.raises(FetchError, match=f"api cannot be reached at {address}"):
        answers(address, tmp_path).ask({"q": "cat"})


def test_an_api_that_cannot_be_reached_is_tried_a_few_times(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"no answer in 3 tries.*ConnectError"):
        answers(closed_port(), tmp_path).ask({"q": "cat"})


def test_questions_keep_their_distance(server: ApiServer, tmp_path: Path) -> None:
    asking, started = answers(server.url, tmp_path, pause=0.2), time.monotonic()
    for page in "123":
        asking.ask({"page": page})
    assert time.monotonic() - started >= 0.4
