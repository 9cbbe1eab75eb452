"""Photos of the web: from lists and from searches, fetched by the crawler, each once, with whose they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sketchdata.errors import FetchError, SketchDataError
from tests.labelled_folders import EPOCH, collect, url_list, voc_folder
from tests.photo_servers import PhotoServer
from tests.photos.photo_apis import (
    FLICKR_KEY,
    ApiServer,
    Question,
    Reply,
    commons_file,
    flickr,
    flickr_photo,
    openverse,
    openverse_photo,
    wikimedia,
)
from tests.trees import tree

pytest.importorskip("scrapy")


@pytest.fixture(autouse=True)
def one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in EPOCH.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server() -> Iterator[PhotoServer]:
    with PhotoServer() as running:
        yield running


def fetched(server: PhotoServer) -> list[str]:
    """Return the photos that were asked for, sorted."""
    return sorted(server.photos_asked())


@pytest.mark.slow
def test_a_list_of_addresses_becomes_photos_with_their_facts(server: PhotoServer, tmp_path: Path) -> None:
    server.robots = "User-agent: *\nDisallow: /private/\n"
    server.answer("/gone.jpg", status=404)
    server.answer("/wish.jpg", headers=(("X-Robots-Tag", "noai"),))
    server.answer("/page.jpg", body=b"<html><body>login</body></html>", content_type="text/html")
    names = ["/a.jpg", "/b.jpg", "/gone.jpg", "/wish.jpg", "/page.jpg", "/private/c.jpg"]
    made = collect(tmp_path / "out", urls=url_list(tmp_path / "list.csv", server, names))
    rows = {row["photo"].removeprefix(server.url("")): row for row in made.collection.photos.to_pylist()}
    assert {name: (row["status"], row["error"]) for name, row in rows.items()} == {
        "/a.jpg": ("ok", None),
        "/b.jpg": ("ok", None),
        "/gone.jpg": ("failed", "http 404"),
        "/wish.jpg": ("refused", "opt-out"),
        "/page.jpg": ("refused", "not a photo"),
        "/private/c.jpg": ("refused", "robots.txt"),
    }
    assert (rows["/a.jpg"]["author"], rows["/a.jpg"]["licence"]) == ("Ann", "CC BY 4.0")
    assert f"{rows['/a.jpg']['fetched']}" == "2024-05-06"
    assert (tmp_path / "out" / rows["/a.jpg"]["path"]).is_file()
    assert made.counts["licences"] == {"CC BY 4.0": 2}
    assert "| opt-out | 1 |" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_an_address_on_two_lists_is_fetched_once_and_keeps_all_its_boxes(
    server: PhotoServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = url_list(tmp_path / "first.csv", server, ["/a.jpg", "/b.jpg"])
    second = url_list(tmp_path / "second.csv", server, ["/b.jpg", "/c.jpg"], category="dog")
    local = voc_folder(tmp_path / "raccoons", photos=1)
    made = collect(tmp_path / "out", urls=(first, second), voc=local, crawl={"contact": None})
    assert "no --contact is given" in capsys.readouterr().err
    assert fetched(server) == ["/a.jpg", "/b.jpg", "/c.jpg"]
    shared = [row["word"] for row in made.collection.boxes.to_pylist() if row["photo"].endswith("/b.jpg")]
    assert shared == ["cat", "dog"]
    named = {row["name"]: (row["photos"], row["named_before"]) for row in made.counts["sources"]}
    assert named == {"raccoons": (1, 0), "first.csv": (2, 0), "second.csv": (1, 1)}


@pytest.mark.slow
def test_retry_failed_asks_for_the_failed_alone_and_nothing_is_lost(server: PhotoServer, tmp_path: Path) -> None:
    server.answer("/busy.jpg", status=500, times=1)
    server.answer("/wish.jpg", headers=(("X-Robots-Tag", "noindex"),))
    source = url_list(tmp_path / "list.csv", server, ["/a.jpg", "/busy.jpg", "/wish.jpg"])
    made = collect(tmp_path / "out", urls=source)
    assert made.counts["photos"] == {"asked": 3, "ok": 1, "failed": 1, "refused": 1}
    server.requests.clear()
    again = collect(tmp_path / "out", urls=source, crawl={"retry_failed": True})
    assert fetched(server) == ["/busy.jpg"]
    assert again.counts["photos"] == {"asked": 3, "ok": 2, "failed": 0, "refused": 1}
    # Nothing is left to be asked for again, so nothing is kept for it.
    assert not (tmp_path / "out" / ".collect").exists()


@pytest.mark.slow
def test_too_many_failures_keep_what_is_there_for_another_try(server: PhotoServer, tmp_path: Path) -> None:
    names = [f"/{number}.jpg" for number in range(4)]
    for name in names[1:]:
        server.answer(name, status=500, times=1)
    source = url_list(tmp_path / "list.csv", server, names)
    with pytest.raises(SketchDataError, match=r"of 4 photos 3 failed .*--retry-failed tries again"):
        collect(tmp_path / "out", urls=source)
    server.requests.clear()
    made = collect(tmp_path / "out", urls=source, crawl={"retry_failed": True})
    assert fetched(server) == names[1:]
    assert made.counts["photos"]["ok"] == 4


# ---- searches --------------------------------------------------------------------------------------------------------


def addresses(server: PhotoServer, name: str, count: int) -> list[str]:
    return [server.url(f"/{name}-{number}.jpg") for number in range(count)]


def by_query(found: dict[str, list[dict[str, object]]]) -> Callable[[Question], Reply]:
    """Answer as Openverse does, each query with photos of its own."""
    return lambda question: openverse(found.get(question.parameters["q"], []))(question)


@pytest.mark.slow
def test_openverse_is_asked_class_by_class_for_so_many_photos(
    server: PhotoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bears, cats = addresses(server, "bear", 30), addresses(server, "cat", 3)
    found = {
        "teddy bear toy": [openverse_photo(number, url=url) for number, url in enumerate(bears)],
        "domestic cat": [openverse_photo(number, url=url) for number, url in enumerate([*cats, bears[0]])],
    }
    with ApiServer(by_query(found)) as api:
        monkeypatch.setenv("OPENVERSE_API", api.url)
        made = collect(tmp_path / "out", openverse=True, categories="teddy-bear,cat,zebra", per_class=25)
        asked = [(question.parameters["q"], question.parameters["page"]) for question in api.questions]
    assert asked == [
        ("domestic cat", "1"),
        ("teddy bear toy", "1"),
        ("teddy bear toy", "2"),
        ("zebra animal", "1"),
    ]
    assert api.questions[0].headers["user-agent"].endswith("(+me@example.org)")
    counts = made.collection.manifest.counts["all"]
    assert (counts["cat"], counts["teddy-bear"], counts["zebra"]) == (4, 25, 0)
    # The bear that a cat was found with is one photo with two classes.
    assert made.counts["photos"]["ok"] == len(fetched(server)) == 28
    [row, *_] = made.collection.photos.to_pylist()
    facts = (row["source"], row["author"], row["licence"], row["title"], row["page"])
    assert facts == ("openverse", "Tim Sullivan", "CC BY-SA 2.0", "Tree Bark 3", "https://photos.example/photo/3")


@pytest.mark.slow
def test_three_searches_together_and_a_licence_for_all_of_them(
    server: PhotoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = {name: addresses(server, name, 2) for name in ("openverse", "wikimedia", "flickr")}
    other = {"LicenseShortName": "CC BY-SA 4.0", "LicenseUrl": None}
    attribution = {"LicenseShortName": "CC BY 4.0", "LicenseUrl": None}
    services = {
        "OPENVERSE_API": openverse(
            [openverse_photo(n, url=url, license="by", license_url=None) for n, url in enumerate(urls["openverse"])]
        ),
        "WIKIMEDIA_API": wikimedia(
            [
                *(commons_file(n, thumburl=url, extmetadata=attribution) for n, url in enumerate(urls["wikimedia"])),
                commons_file(9, extmetadata=other),
            ]
        ),
        "FLICKR_API": flickr([flickr_photo(n, url_l=url) for n, url in enumerate(urls["flickr"])]),
    }
    monkeypatch.setenv("FLICKR_API_KEY", FLICKR_KEY)
    with ExitStack() as running:
        for name, service in services.items():
            monkeypatch.setenv(name, running.enter_context(ApiServer(service)).url)
        made = collect(
            tmp_path / "out", openverse=True, wikimedia=True, flickr=True, categories="cat", licence="by", per_class=5
        )
    assert made.counts["licences"] == {"CC BY 2.0": 4, "CC BY 4.0": 2}
    found = {row["source"]: (row["photos"], row["ok"], row["left_out"]) for row in made.counts["sources"]}
    assert found == {"openverse": (2, 2, 0), "wikimedia": (2, 2, 1), "flickr": (2, 2, 0)}
    assert made.collection.manifest.rejects == {}
    kept = b"".join(tree(tmp_path / "out").values())
    assert FLICKR_KEY.encode() not in kept


@pytest.mark.slow
def test_a_search_that_was_broken_off_goes_on_without_asking_twice(
    server: PhotoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cats = [openverse_photo(number, url=url) for number, url in enumerate(addresses(server, "cat", 45))]
    with ApiServer(openverse(cats)) as api:
        monkeypatch.setenv("OPENVERSE_API", api.url)
        settings: dict[str, Any] = {"openverse": True, "categories": "cat", "per_class": 45}
        good = api.service
        api.service = lambda question: good(question) if question.parameters["page"] == "1" else Reply(status=403)
        with pytest.raises(FetchError, match="status 403"):
            collect(tmp_path / "out", **settings)
        api.service = good
        made = collect(tmp_path / "out", **settings)
        assert [question.parameters["page"] for question in api.questions] == ["1", "2", "2", "3"]
    assert made.counts["photos"]["ok"] == 45


def test_a_search_that_finds_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ApiServer(openverse([])) as api:
        monkeypatch.setenv("OPENVERSE_API", api.url)
        with pytest.raises(SketchDataError, match="no photo of the classes is named by the sources"):
            collect(tmp_path / "out", openverse=True, categories="cat")
