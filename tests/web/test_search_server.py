"""The draw-to-search page's server, asked by other means than its own page: it answers, or refuses and says why."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from sketchdata.drawings.drawing import Words, to_batch
from sketchdata.drawings.raster import raster

pytest.importorskip("fastapi", reason="the draw-to-search page needs the extra `web`")

from sketchdata.web.search_server import MOST_POINTS, MOST_STROKES
from tests.uploads import shows, uploads_of
from tests.web.finders import CountingFinder, drawing_page

LINE = [[0, 10, 20], [0, 30, 10]]


@pytest.fixture(scope="module")
def page() -> Iterator[tuple[str, CountingFinder]]:
    with drawing_page() as served:
        yield served


@pytest.fixture
def client(page: tuple[str, CountingFinder]) -> Iterator[httpx.Client]:
    address, _ = page
    with httpx.Client(base_url=address, headers={"Origin": address.rstrip("/")}, trust_env=False) as opened:
        yield opened


def error_of(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    return str(response.json()["error"])


def strokes(count: int) -> dict[str, Any]:
    return {"strokes": [LINE] * count}


def test_a_drawing_is_answered_by_what_is_nearest_and_the_classes_of_it(client: httpx.Client) -> None:
    found = client.post("/api/search", json=strokes(2)).json()
    assert [each["word"] for each in found["results"]] == ["house"] * 10 + ["cat"] * 2
    assert [each["distance"] for each in found["results"]] == list(range(12))
    assert found["votes"] == [["house", 10 / 12], ["cat", 2 / 12]]
    assert found["milliseconds"] >= 0


def test_a_drawing_comes_to_the_network_as_official_ones_do(
    client: httpx.Client, page: tuple[str, CountingFinder]
) -> None:
    # Twice as wide as high, and on a straight line through three points.
    client.post("/api/search", json={"strokes": [[[100, 200.5, 301], [50, 75, 100]], [[100, 301], [50, 150.5]]]})
    first, second = (stroke.tolist() for stroke in page[1].asked[-1].strokes)
    assert first == [[0, 0], [255, 63]]
    assert second == [[0, 0], [255, 128]]


def test_a_drawing_of_one_dot_is_a_drawing(client: httpx.Client, page: tuple[str, CountingFinder]) -> None:
    found = client.post("/api/search", json={"strokes": [[[256.5], [100]]]}).json()
    assert len(found["results"]) == 12
    assert [stroke.tolist() for stroke in page[1].asked[-1].strokes] == [[[0, 0], [0, 0]]]


@pytest.mark.parametrize(
    ("question", "status", "said"),
    [
        (strokes(MOST_STROKES + 1), 422, "1,001 lines of 3,003 points, where 1,000 lines of 50,000 points are"),
        (strokes(10_000), 422, "10,000 lines"),
        ({"strokes": [[[0.5] * (MOST_POINTS + 1)] * 2]}, 422, "50,001 points"),
        ({"strokes": []}, 422, "strokes: List should have at least 1 item"),
        ({"strokes": [[[], []]]}, 422, "empty stroke"),
        ({"strokes": [[[1, 2], [1]]]}, 422, "unequal x and y"),
        ({"strokes": [[["a"], [1]]]}, 422, "valid number"),
        ({"lines": [LINE]}, 422, "strokes: Field required"),
        (b'{"strokes": [[[1e999], [0]]]}', 422, "finite"),
        (b'{"strokes": [[[NaN], [0]]]}', 422, ""),
        (b"{strokes", 422, "JSON"),
        (b"[" * 100_000, 400, "error parsing the body"),
        (b'{"strokes": "' + b"x" * (2 << 20) + b'"}', 413, "a request has at most 2,097,152 bytes: draw less"),
    ],
)
def test_what_is_no_drawing_is_refused_in_words(
    client: httpx.Client, question: dict[str, Any] | bytes, status: int, said: str
) -> None:
    headers = {"Content-Type": "application/json"}
    content = {"content": question} if isinstance(question, bytes) else {"json": question}
    error = error_of(client.post("/api/search", headers=headers, **content), status)
    assert said in error
    assert "Traceback" not in error


def test_an_svg_and_a_picture_become_strokes(client: httpx.Client, page: tuple[str, CountingFinder]) -> None:
    house = page[1].found["house"][0]
    read = client.post("/api/read", json={"svg": house.svg()}).json()["strokes"]
    assert read == [stroke.T.tolist() for stroke in house.strokes]
    plain = '<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0 L20 100" fill="none" stroke="black"/></svg>'
    assert client.post("/api/read", json={"svg": plain}).json()["strokes"] == [[[0, 51], [0, 255]]]
    ink = 255 - raster(to_batch([house], Words()), size=256, line_width=3)[0]
    picture = base64.b64encode(cv2.imencode(".png", ink)[1].tobytes()).decode()
    traced = client.post("/api/read", json={"picture": picture}).json()["strokes"]
    drawn = np.zeros((256, 256), np.uint8)
    for x, y in traced:
        cv2.polylines(drawn, [np.stack([x, y], 1).astype(np.int32)], False, 255, 9)
    assert (drawn[ink == 0] > 0).mean() > 0.9


def test_uploads_as_people_have_them_become_strokes_of_their_ink_alone(
    client: httpx.Client, page: tuple[str, CountingFinder]
) -> None:
    house = page[1].found["house"][0]
    for name, content in uploads_of(house).items():
        own = {"svg": content.decode()} if name.endswith(".svg") else {"picture": base64.b64encode(content).decode()}
        read = client.post("/api/read", json=own).json()["strokes"]
        assert shows([np.transpose(stroke) for stroke in read], house), name


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ({"svg": "<html/>"}, "not SVG"),
        ({"svg": "<svg"}, "broken XML"),
        ({"svg": '<svg xmlns="http://www.w3.org/2000/svg"/>'}, "empty drawing"),
        ({"svg": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><svg>&b;</svg>'}, "entit"),
        ({"picture": "a§"}, "expected base64"),
        ({"picture": base64.b64encode(b"hello").decode()}, "not a picture"),
        ({}, "not a picture"),
    ],
)
def test_files_that_show_no_drawing_are_refused_in_words(client: httpx.Client, file: dict[str, str], said: str) -> None:
    assert said in error_of(client.post("/api/read", json=file), 422)


def test_other_sites_neither_read_nor_ask(client: httpx.Client) -> None:
    assert "open the page by its address" in error_of(client.get("/api/about", headers={"Host": "evil.example"}), 403)
    for origin in ("https://evil.example", "null", ""):
        response = client.post("/api/search", json=strokes(1), headers={"Origin": origin})
        assert "answers requests of its own page only" in error_of(response, 403)
    assert error_of(client.post("/api/search", content="{}"), 415) == "expected JSON"


def test_the_page_loads_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "http" not in page.text.replace("http-equiv", "")
    static = Path(__file__).parents[2] / "sketchdata/web/static"
    for path in static.iterdir():
        assert client.get(f"/static/{path.name}").status_code == 200
    assert client.get("/static/..%2fsite.py").status_code == 404
