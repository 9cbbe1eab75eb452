from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from sketchdata.errors import ConfigError, FetchError
from sketchdata.formats.files import Fault
from sketchdata.photos.annotations.record import Annotation
from sketchdata.photos.search import FREE, Openverse, SearchSettings
from sketchdata.storage.fetch import FetchPolicy
from tests.photos.photo_apis import CLIENT, TOKEN, ApiServer, Reply, openverse, openverse_photo

QUICK = FetchPolicy(tries=2, pause_seconds=0.001)
PHOTOS = [openverse_photo(number) for number in range(45)]


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(openverse(PHOTOS)) as running:
        yield running


def search(
    server: ApiServer, folder: Path, *, licences: frozenset[str] | None = frozenset(FREE), **environment: str
) -> Openverse:
    variables = {"OPENVERSE_API": server.url, **environment}
    settings = SearchSettings(
        folder=folder, user_agent="us", licences=licences, delay=0, environment=variables, policy=QUICK
    )
    return Openverse(settings)


def test_a_result_has_the_documented_facts(server: ApiServer, tmp_path: Path) -> None:
    assert next(search(server, tmp_path).find("tree bark")) == Annotation(
        category="tree bark",
        box=None,
        photo="https://cdn.photos.example/0.jpg",
        page="https://photos.example/photo/0",
        author="Tim Sullivan",
        licence="CC BY-SA 2.0",
        title="Tree Bark 0",
        where="openverse: tree bark, page 1, result 1",
    )
    [question] = server.questions
    assert question.parameters == {
        "q": "tree bark",
        "license": "by,by-sa,cc0,pdm",
        "page_size": "20",
        "page": "1",
        "mature": "false",
    }


def test_pages_are_asked_for_as_they_are_needed_up_to_the_last(server: ApiServer, tmp_path: Path) -> None:
    found = search(server, tmp_path).find("tree")
    assert len(list(islice(found, 20))) == 20
    assert len(server.questions) == 1
    assert len(list(found)) == 25
    assert [question.parameters["page"] for question in server.questions] == ["1", "2", "3"]


def test_a_token_lets_in_larger_pages(server: ApiServer, tmp_path: Path) -> None:
    assert len(list(search(server, tmp_path, OPENVERSE_TOKEN=TOKEN).find("tree"))) == 45
    [question] = server.questions
    assert question.headers["authorization"] == f"Bearer {TOKEN}"
    assert question.parameters["page_size"] == "50"


def test_a_clients_id_and_secret_get_a_token(server: ApiServer, tmp_path: Path) -> None:
    variables = {f"OPENVERSE_{name.upper()}": value for name, value in CLIENT.items()}
    assert len(list(search(server, tmp_path, **variables).find("tree"))) == 45
    assert [question.path for question in server.questions] == ["/v1/auth_tokens/token/", "/v1/images/"]


def test_a_wrong_secret_a_wrong_token_and_half_a_pair_are_said(server: ApiServer, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"no token.*status 401.*OPENVERSE_CLIENT_SECRET"):
        search(server, tmp_path, OPENVERSE_CLIENT_ID="an-id", OPENVERSE_CLIENT_SECRET="wrong")
    with pytest.raises(ConfigError, match="belong together"):
        search(server, tmp_path, OPENVERSE_CLIENT_ID="an-id")
    with pytest.raises(FetchError, match=r"status 401.*OPENVERSE_TOKEN"):
        next(search(server, tmp_path, OPENVERSE_TOKEN="wrong").find("tree"))


@pytest.mark.parametrize("body", [b"", b"[]", b'{"detail": "gone"}', b"<html>"])
def test_a_token_that_is_none_is_said(server: ApiServer, tmp_path: Path, body: bytes) -> None:
    server.faults.append(Reply(body=body))
    with pytest.raises(FetchError, match="gives no token"):
        search(server, tmp_path, OPENVERSE_CLIENT_ID="an-id", OPENVERSE_CLIENT_SECRET="a-secret")


def test_every_licence_is_named_and_others_than_asked_for_are_passed_over(tmp_path: Path) -> None:
    named = [
        ("cc0", "1.0", "https://creativecommons.org/publicdomain/zero/1.0/", "CC0 1.0"),
        ("pdm", "1.0", "https://creativecommons.org/publicdomain/mark/1.0/", "Public Domain Mark 1.0"),
        ("by", "3.0", "https://creativecommons.org/licenses/by/3.0/de/", "CC BY 3.0 DE"),
        ("by", "4.0", None, "CC BY 4.0"),
        ("cc0", "1.0", None, "CC0 1.0"),
    ]
    photos = [
        openverse_photo(number, license=code, license_version=version, license_url=url)
        for number, (code, version, url, _) in enumerate(named)
    ]
    # A server that gives more than was asked for.
    photos.append(openverse_photo(9, license="by-nc", license_url="https://creativecommons.org/licenses/by-nc/2.0/"))
    body = {"page_count": 1, "results": photos}
    with ApiServer(lambda question: Reply(body=body)) as server:
        *found, last = search(server, tmp_path).find("tree")
        assert [each.licence for each in found if isinstance(each, Annotation)] == [name for *_, name in named]
        assert isinstance(last, Fault)
        assert (last.reason, last.detail) == ("other licence", "CC BY-NC 2.0")
        assert all(isinstance(each, Annotation) for each in search(server, tmp_path, licences=None).find("tree"))
        assert "license" not in server.questions[-1].parameters


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"url": None}, "no address"),
        ({"url": 7}, "no address"),
        ({"url": "file:///etc/passwd"}, "not a web address"),
        ({"license": None, "license_url": None}, "other licence"),
    ],
)
def test_a_result_that_lacks_what_it_needs_is_passed_over_with_the_reason(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    with ApiServer(openverse([openverse_photo(0, **changes), openverse_photo(1)])) as server:
        first, second = search(server, tmp_path).find("tree")
    assert isinstance(first, Fault)
    assert (first.where, first.reason) == ("openverse: tree, page 1, result 1", reason)
    assert isinstance(second, Annotation)


def test_missing_facts_are_missing_and_not_made_up(tmp_path: Path) -> None:
    bare = {name: openverse_photo(0)[name] for name in ("url", "license", "license_version")}
    with ApiServer(openverse([bare])) as server:
        [found] = search(server, tmp_path).find("tree")
    assert isinstance(found, Annotation)
    assert (found.page, found.author, found.title) == (None,) * 3


@pytest.mark.parametrize("body", [{}, {"results": []}, {"results": None}, {"results": "none"}, {"detail": "?"}])
def test_an_answer_without_results_is_the_end(tmp_path: Path, body: object) -> None:
    with ApiServer(lambda question: Reply(body=body)) as server:
        assert list(search(server, tmp_path).find("tree")) == []


def test_results_that_are_no_objects_are_passed_over(tmp_path: Path) -> None:
    with ApiServer(lambda question: Reply(body={"page_count": 1, "results": [7, None, "x"]})) as server:
        found = list(search(server, tmp_path, licences=None).find("tree"))
    assert [each.reason for each in found if isinstance(each, Fault)] == ["no address"] * 3


def test_the_api_is_never_asked_for_more_pages_than_it_lets_in(tmp_path: Path) -> None:
    page = {"page_count": 10_000, "results": [openverse_photo(0)]}
    with ApiServer(lambda question: Reply(body=page)) as server:
        assert len(list(search(server, tmp_path).find("tree"))) == 20
