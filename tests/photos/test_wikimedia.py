from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from sketchdata.errors import FetchError
from sketchdata.formats.files import Fault
from sketchdata.photos.annotations.record import Annotation, Reading
from sketchdata.photos.search import FREE, SearchSettings, Wikimedia
from sketchdata.storage.fetch import FetchPolicy
from tests.photos.photo_apis import ApiServer, Reply, commons_file, wikimedia

QUICK = FetchPolicy(tries=2, pause_seconds=0.001)


def search(server: ApiServer, folder: Path, *, licences: frozenset[str] | None = frozenset(FREE)) -> Wikimedia:
    variables = {"WIKIMEDIA_API": f"{server.url}/w/api.php"}
    return Wikimedia(
        SearchSettings(folder=folder, user_agent="us", licences=licences, delay=0, environment=variables, policy=QUICK)
    )


def find(folder: Path, *files: dict[str, Any], licences: frozenset[str] | None = frozenset(FREE)) -> list[Reading]:
    with ApiServer(wikimedia(files)) as server:
        return list(search(server, folder, licences=licences).find("cat"))


def test_a_result_has_the_documented_facts_as_plain_text(tmp_path: Path) -> None:
    with ApiServer(wikimedia([commons_file(0)])) as server:
        found = list(search(server, tmp_path).find("house cat"))
    assert found == [
        Annotation(
            category="house cat",
            box=None,
            photo="https://upload.wikimedia.example/wikipedia/commons/thumb/a/ab/Cat_0.jpg/1280px-Cat_0.jpg",
            page="https://commons.wikimedia.example/wiki/File:Cat_0.jpg",
            author="A. Author 0",
            licence="CC BY-SA 4.0",
            title="Cat 0",
            where="wikimedia: house cat, page 1, result 1",
        )
    ]
    [question] = server.questions
    assert question.parameters["gsrsearch"] == "house cat filetype:bitmap"
    assert question.parameters["iiurlwidth"] == "1280"
    assert question.parameters["maxlag"] == "5"


def test_a_small_photo_is_taken_in_its_own_size(tmp_path: Path) -> None:
    whole = {"url": "https://a.test/cat.jpg", "thumburl": "https://a.test/cat.jpg?x", "width": 800, "height": 600}
    [found] = find(tmp_path, commons_file(0, **whole, thumbwidth=800, thumbheight=600))
    assert isinstance(found, Annotation)
    assert found.photo == "https://a.test/cat.jpg"


def test_results_come_in_the_order_of_the_search_over_all_pages(tmp_path: Path) -> None:
    with ApiServer(wikimedia([commons_file(number) for number in range(120)])) as server:
        found = search(server, tmp_path).find("cat")
        first = [each.title for each in islice(found, 50) if isinstance(each, Annotation)]
        assert len(server.questions) == 1
        rest = [each.title for each in found if isinstance(each, Annotation)]
    assert first + rest == [f"Cat {number}" for number in range(120)]
    assert [question.parameters.get("gsroffset") for question in server.questions] == [None, "50", "100"]


@pytest.mark.parametrize(
    ("name", "url", "expected"),
    [
        ("CC BY 2.0", "https://creativecommons.org/licenses/by/2.0", "CC BY 2.0"),
        ("CC BY-SA 3.0 de", None, "CC BY-SA 3.0 DE"),
        ("CC0", "http://creativecommons.org/publicdomain/zero/1.0/deed.en", "CC0 1.0"),
        ("CC0", None, "CC0 1.0"),
        ("Public domain", None, "Public domain"),
    ],
)
def test_free_licences_are_recognized(tmp_path: Path, name: str, url: str | None, expected: str) -> None:
    [found] = find(tmp_path, commons_file(0, extmetadata={"LicenseShortName": name, "LicenseUrl": url}))
    assert isinstance(found, Annotation)
    assert found.licence == expected


@pytest.mark.parametrize(
    ("name", "detail"),
    [("GFDL", "GFDL"), ("CC BY-NC 4.0", "CC BY-NC 4.0"), ("<i>Fair use</i>", "Fair use"), (None, "none is stated")],
)
def test_other_licences_are_passed_over_unless_any_will_do(tmp_path: Path, name: str | None, detail: str) -> None:
    file = commons_file(0, extmetadata={"LicenseShortName": name, "LicenseUrl": None})
    [found] = find(tmp_path / "free", file)
    assert isinstance(found, Fault)
    assert (found.reason, found.detail) == ("other licence", detail)
    [found] = find(tmp_path / "any", file, licences=None)
    assert isinstance(found, Annotation)
    assert found.licence == (None if name is None else detail)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mime": "application/pdf"}, "no photo"),
        ({"mime": None}, "no photo"),
        ({"thumburl": "javascript:alert(1)"}, "not a web address"),
        ({"thumburl": None, "url": None}, "no address"),
    ],
)
def test_what_is_no_photo_is_passed_over_with_the_reason(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    first, second = find(tmp_path, commons_file(0, **changes), commons_file(1))
    assert isinstance(first, Fault)
    assert (first.where, first.reason) == ("wikimedia: cat, page 1, result 1", reason)
    assert isinstance(second, Annotation)


def test_files_without_facts_are_passed_over(tmp_path: Path) -> None:
    bare: list[dict[str, Any]] = [{"title": "File:A.jpg"}, {"imageinfo": []}, {"imageinfo": "?"}, {"imageinfo": [7]}]
    assert [found.reason for found in find(tmp_path, *bare) if isinstance(found, Fault)] == ["other licence"] * 4


def test_metadata_of_another_shape_are_missing_ones(tmp_path: Path) -> None:
    file = commons_file(0)
    file["imageinfo"][0]["extmetadata"] = {"Artist": "?", "LicenseShortName": {"value": 7}, "LicenseUrl": {}}
    [found] = find(tmp_path, file, licences=None)
    assert isinstance(found, Annotation)
    assert (found.author, found.licence, found.title) == (None, None, "Cat 0.jpg")


@pytest.mark.parametrize("body", [{}, {"batchcomplete": True}, {"query": {}}, {"query": {"pages": {}}}, {"query": 7}])
def test_an_answer_without_files_is_the_end(tmp_path: Path, body: object) -> None:
    with ApiServer(lambda question: Reply(body=body)) as server:
        assert list(search(server, tmp_path).find("cat")) == []


@pytest.mark.parametrize("code", ["ratelimited", "readonly", "internal_api_error_DBQueryError"])
def test_a_fault_that_passes_is_waited_out_though_the_status_is_200(tmp_path: Path, code: str) -> None:
    with ApiServer(wikimedia([commons_file(0)])) as server:
        server.faults.append(Reply(body={"error": {"code": code, "info": "wait"}}))
        assert len(list(search(server, tmp_path).find("cat"))) == 1
        assert len(server.questions) == 2


def test_a_fault_that_stays_is_said(tmp_path: Path) -> None:
    body = {"error": {"code": "badvalue", "info": 'Unrecognized value for parameter "prop"'}}
    with (
        ApiServer(lambda question: Reply(body=body)) as server,
        pytest.raises(FetchError, match="wikimedia refuses the request: badvalue: Unrecognized value"),
    ):
        list(search(server, tmp_path).find("cat"))


def test_a_refusal_asks_for_a_contact(tmp_path: Path) -> None:
    with (
        ApiServer(lambda question: Reply(status=403, body=b"Please set a user-agent")) as server,
        pytest.raises(FetchError, match=r"status 403.*Please set a user-agent; .*--contact"),
    ):
        list(search(server, tmp_path).find("cat"))
