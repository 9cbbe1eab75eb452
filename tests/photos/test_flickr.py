from __future__ import annotations

from pathlib import Path

import pytest

from sketchdata.errors import ConfigError, FetchError
from sketchdata.formats.files import Fault
from sketchdata.photos.annotations.record import Annotation, Reading
from sketchdata.photos.search import FREE, Flickr, SearchSettings
from sketchdata.storage.fetch import FetchPolicy
from tests.photos.photo_apis import FLICKR_KEY, ApiServer, Reply, flickr, flickr_photo

QUICK = FetchPolicy(tries=2, pause_seconds=0.001)


def search(
    server: ApiServer, folder: Path, *, licences: frozenset[str] | None = frozenset(FREE), key: str = FLICKR_KEY
) -> Flickr:
    variables = {"FLICKR_API": f"{server.url}/services/rest/", "FLICKR_API_KEY": key}
    return Flickr(
        SearchSettings(folder=folder, user_agent="us", licences=licences, delay=0, environment=variables, policy=QUICK)
    )


def find(folder: Path, *photos: dict[str, object], licences: frozenset[str] | None = frozenset(FREE)) -> list[Reading]:
    with ApiServer(flickr(photos)) as server:
        return list(search(server, folder, licences=licences).find("cat"))


def test_a_result_has_the_documented_facts(tmp_path: Path) -> None:
    with ApiServer(flickr([flickr_photo(7)])) as server:
        found = list(search(server, tmp_path).find("house cat"))
    assert found == [
        Annotation(
            category="house cat",
            box=None,
            photo="https://live.staticflickr.example/4065/7_b.jpg",
            page="https://www.flickr.com/photos/18090920@N07/7",
            author="Sean",
            licence="CC BY 2.0",
            title="cat 7",
            where="flickr: house cat, page 1, result 1",
        )
    ]
    licences, question = server.questions
    assert licences.parameters["method"] == "flickr.photos.licenses.getInfo"
    assert question.parameters["text"] == "house cat"
    assert question.parameters["api_key"] == FLICKR_KEY


def test_licences_go_by_what_flickr_calls_them_and_not_by_numbers_known_beforehand(tmp_path: Path) -> None:
    photos = [flickr_photo(number, license=f"{number}") for number in (0, 2, 4, 5, 7, 9, 10, 31)]
    with ApiServer(flickr(photos)) as server:
        found = list(search(server, tmp_path).find("cat"))
        assert server.questions[-1].parameters["license"] == "10,31,4,5,9"
    assert [each.licence for each in found if isinstance(each, Annotation)] == [
        "CC BY 2.0",
        "CC BY-SA 2.0",
        "CC0 1.0",
        "Public Domain Mark 1.0",
        "CC BY 4.0",
    ]


def test_any_licence_lets_all_in_under_their_own_names(tmp_path: Path) -> None:
    found = find(tmp_path, flickr_photo(1, license="0"), flickr_photo(2, license="7"), licences=None)
    names = [each.licence for each in found if isinstance(each, Annotation)]
    assert names == ["All Rights Reserved", "No known copyright restrictions"]


def test_licences_that_flickr_does_not_have_find_nothing_instead_of_everything(tmp_path: Path) -> None:
    assert find(tmp_path, flickr_photo(1), licences=frozenset({"by-nc-nd"})) == []


def test_pages_go_on_to_the_last_and_not_beyond(tmp_path: Path) -> None:
    with ApiServer(flickr([flickr_photo(number) for number in range(501)])) as server:
        found = list(search(server, tmp_path).find("cat"))
    assert len({each.photo for each in found if isinstance(each, Annotation)}) == len(found) == 501
    assert [question.parameters.get("page") for question in server.questions] == [None, "1", "2", "3"]


def test_the_licences_are_asked_for_once(tmp_path: Path) -> None:
    with ApiServer(flickr([flickr_photo(1)])) as server:
        searching = search(server, tmp_path)
        list(searching.find("cat"))
        list(searching.find("dog"))
    assert sum("licenses" in question.parameters["method"] for question in server.questions) == 1


def test_the_next_best_size_is_taken(tmp_path: Path) -> None:
    [found] = find(tmp_path, flickr_photo(7, url_l=None))
    assert isinstance(found, Annotation)
    assert found.photo == "https://live.staticflickr.example/4065/7_z.jpg"


def test_a_photo_without_an_address_is_passed_over_and_missing_facts_are_missing(tmp_path: Path) -> None:
    first, second = find(tmp_path, flickr_photo(7, url_l=None, url_z=""), {"license": "4", "url_l": "http://a.test/1"})
    assert isinstance(first, Fault)
    assert first.reason == "no address"
    assert isinstance(second, Annotation)
    assert (second.page, second.author, second.title) == (None,) * 3


def test_no_key_and_a_wrong_key_are_said(tmp_path: Path) -> None:
    with ApiServer(flickr([])) as server:
        with pytest.raises(ConfigError, match="FLICKR_API_KEY is not set"):
            search(server, tmp_path, key="")
        with pytest.raises(FetchError, match=r"Invalid API Key.*code 100.*check FLICKR_API_KEY"):
            list(search(server, tmp_path, key="wrong").find("cat"))


def test_a_fault_that_passes_is_waited_out_though_the_status_is_200(tmp_path: Path) -> None:
    with ApiServer(flickr([flickr_photo(1)])) as server:
        server.faults.append(Reply(body={"stat": "fail", "code": 105, "message": "Service currently unavailable"}))
        assert len(list(search(server, tmp_path).find("cat"))) == 1


@pytest.mark.parametrize("body", [{"stat": "ok"}, {"stat": "ok", "licenses": {"license": []}}])
def test_an_api_without_licences_is_none_of_flickrs(tmp_path: Path, body: object) -> None:
    with ApiServer(lambda question: Reply(body=body)) as server, pytest.raises(FetchError, match="lists no licences"):
        list(search(server, tmp_path).find("cat"))


@pytest.mark.parametrize("photos", [None, {}, {"photo": None}, {"photo": [], "pages": 3}, {"photo": "?"}, 7])
def test_an_answer_without_photos_is_the_end(tmp_path: Path, photos: object) -> None:
    with ApiServer(flickr([])) as server:
        searching = search(server, tmp_path)
        list(searching.find("dog"))
        server.faults.append(Reply(body={"stat": "ok", "photos": photos}))
        assert list(searching.find("cat")) == []
