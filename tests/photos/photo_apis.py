"""A real web server on the loopback interface that answers as the three photo APIs document it, and fails as they do.

with ApiServer(openverse(photos)) as server:
    server.faults.append(Reply(status=429, headers={"Retry-After": "0"}))
    ...  # give server.url to the code under test
    assert [question.parameters["page"] for question in server.questions] == ["1", "1", "2"]
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TOKEN, FLICKR_KEY = "a-token", "a-key"
CLIENT = {"client_id": "an-id", "client_secret": "a-secret"}
_LICENCES = ("by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd", "cc0", "pdm")


@dataclass(frozen=True, kw_only=True)
class Question:
    """A request as it came in; `form` is the body of a POST."""

    path: str
    parameters: dict[str, str]
    headers: dict[str, str]
    form: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer: an object to be written as JSON, or bytes."""

    status: int = 200
    body: object = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Close the connection without a word.
    hang_up: bool = False


Service = Callable[[Question], Reply]


class ApiServer:
    """Serve one API at `url` while the `with` block runs.

    Attributes:
        questions: All that was asked, in order.
        faults: Replies that are given first, one each.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.questions: list[Question] = []
        self.faults: deque[Reply] = deque()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> ApiServer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    api: ApiServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: that a client hangs up is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean; questions are recorded in `ApiServer.questions`."""

    def do_GET(self) -> None:
        self._answer("")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def _answer(self, form: str) -> None:
        parts, api = urlsplit(self.path), self.server.api
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Question(
            path=parts.path, parameters=dict(parse_qsl(parts.query)), headers=headers, form=dict(parse_qsl(form))
        )
        api.questions.append(asked)
        reply = api.faults.popleft() if api.faults else api.service(asked)
        if reply.hang_up:
            self.close_connection = True
            return
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


# ---- Openverse -------------------------------------------------------------------------------------------------------


def openverse_photo(number: int, **changes: object) -> dict[str, object]:
    """Return one result with the documented fields, some of them changed."""
    return {
        "id": f"4bc43a04-ef46-4544-a0c1-{number:012d}",
        "title": f"Tree Bark {number}",
        "foreign_landing_url": f"https://photos.example/photo/{number}",
        "url": f"https://cdn.photos.example/{number}.jpg",
        "creator": "Tim Sullivan",
        "creator_url": "https://photos.example/tim",
        "license": "by-sa",
        "license_version": "2.0",
        "license_url": "https://creativecommons.org/licenses/by-sa/2.0/",
        "provider": "flickr",
        "source": "flickr",
        "category": "photograph",
        "filesize": 896128,
        "filetype": "jpg",
        "tags": [{"accuracy": None, "name": "tree"}],
        "mature": False,
        "height": 768,
        "width": 1024,
        **changes,
    }


def openverse(photos: Sequence[Mapping[str, object]]) -> Service:
    """Answer as api.openverse.org/v1 does: pages, limits of who has no token, licences, OAuth2."""

    def answer(question: Question) -> Reply:
        if question.path == "/v1/auth_tokens/token/":
            good = question.form == {**CLIENT, "grant_type": "client_credentials"}
            return Reply(body={"access_token": TOKEN, "expires_in": 43200}) if good else Reply(status=401, body={})
        authorization, asked = question.headers.get("authorization"), question.parameters
        if question.path != "/v1/images/" or authorization not in (None, f"Bearer {TOKEN}"):
            return Reply(status=401 if authorization else 404, body={"detail": "Authentication credentials are wrong."})
        size, page = int(asked["page_size"]), int(asked["page"])
        if authorization is None and size > 20:
            return Reply(status=401, body={"detail": "Ensure this value is less than or equal to 20."})
        wanted = asked.get("license", ",".join(_LICENCES)).split(",")
        if set(wanted) - set(_LICENCES):
            return Reply(status=400, body={"detail": "Invalid input given for fields. 'license'"})
        found = [photo for photo in photos if photo.get("license") in (None, *wanted)]
        return Reply(
            body={
                "result_count": len(found),
                "page_count": min(-(-len(found) // size), 20),
                "page_size": size,
                "page": page,
                "results": found[(page - 1) * size : page * size],
            }
        )

    return answer


# ---- Wikimedia Commons -----------------------------------------------------------------------------------------------


def commons_file(number: int, **changes: object) -> dict[str, Any]:
    """Return one file with the documented fields; `changes` are of its imageinfo, `extmetadata` of that."""
    metadata = {
        "Artist": f'<a href="//commons.wikimedia.org/wiki/User:A" title="User:A">A. <b>Author</b> {number}</a>',
        "LicenseShortName": "CC BY-SA 4.0",
        "LicenseUrl": "https://creativecommons.org/licenses/by-sa/4.0",
        "ObjectName": f"Cat {number}",
        **changes.pop("extmetadata", {}),  # type: ignore[dict-item]
    }
    name = f"https://upload.wikimedia.example/wikipedia/commons/thumb/a/ab/Cat_{number}.jpg"
    info = {
        "url": name.replace("thumb/", ""),
        "descriptionurl": f"https://commons.wikimedia.example/wiki/File:Cat_{number}.jpg",
        "size": 9_000_000,
        "width": 6000,
        "height": 4000,
        "thumburl": f"{name}/1280px-Cat_{number}.jpg",
        "thumbwidth": 1280,
        "thumbheight": 853,
        "mime": "image/jpeg",
        "extmetadata": {
            key: {"value": value, "source": "commons-desc-page"} for key, value in metadata.items() if value is not None
        },
        **changes,
    }
    return {"pageid": 1000 - number, "ns": 6, "title": f"File:Cat {number}.jpg", "imageinfo": [info]}


def wikimedia(files: Sequence[Mapping[str, Any]]) -> Service:
    """Answer as commons.wikimedia.org/w/api.php does: pages by `continue`, in the order of their ids and not of the
    search, of which `index` tells."""

    def answer(question: Question) -> Reply:
        asked = question.parameters
        known = {"action": "query", "generator": "search", "gsrnamespace": "6", "prop": "imageinfo", "format": "json"}
        assert {name: asked.get(name) for name in known} == known
        start, size = int(asked.get("gsroffset", 0)), int(asked["gsrlimit"])
        ranked = [{**file, "index": start + at + 1} for at, file in enumerate(files[start : start + size])]
        more = {"continue": {"gsroffset": start + size, "continue": "gsroffset||"}} if start + size < len(files) else {}
        if not ranked:
            return Reply(body={"batchcomplete": True})
        pages = sorted(ranked, key=lambda file: file.get("pageid", 0))
        return Reply(body={"batchcomplete": True, **more, "query": {"pages": pages}})

    return answer


# ---- Flickr ----------------------------------------------------------------------------------------------------------

#: As flickr.photos.licenses.getInfo lists them, with numbers that are not to be relied on.
FLICKR_LICENCES = (
    ("0", "All Rights Reserved", "https://www.flickrhelp.com/hc/en-us/articles/10710266545556"),
    ("2", "Attribution-NonCommercial License", "https://creativecommons.org/licenses/by-nc/2.0/"),
    ("4", "Attribution License", "https://creativecommons.org/licenses/by/2.0/"),
    ("5", "Attribution-ShareAlike License", "https://creativecommons.org/licenses/by-sa/2.0/"),
    ("7", "No known copyright restrictions", "https://www.flickr.com/commons/usage/"),
    ("9", "Public Domain Dedication (CC0)", "https://creativecommons.org/publicdomain/zero/1.0/"),
    ("10", "Public Domain Mark", "https://creativecommons.org/publicdomain/mark/1.0/"),
    ("31", "CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/deed.en"),
)


def flickr_photo(number: int, **changes: object) -> dict[str, object]:
    """Return one photo with the documented fields and extras, some of them changed."""
    return {
        "id": f"{number}",
        "owner": "18090920@N07",
        "secret": "07595dc42e",
        "server": "4065",
        "farm": 5,
        "title": f"cat {number}",
        "ispublic": 1,
        "license": "4",
        "ownername": "Sean",
        "url_l": f"https://live.staticflickr.example/4065/{number}_b.jpg",
        "height_l": 683,
        "width_l": "1024",
        "url_z": f"https://live.staticflickr.example/4065/{number}_z.jpg",
        "height_z": 427,
        "width_z": 640,
        **changes,
    }


def flickr(photos: Sequence[Mapping[str, object]]) -> Service:
    """Answer as api.flickr.com does: faults with status 200, licences by numbers, the last page beyond the end."""

    def answer(question: Question) -> Reply:
        asked = question.parameters
        if asked.get("api_key") != FLICKR_KEY:
            return Reply(body={"stat": "fail", "code": 100, "message": "Invalid API Key (Key has invalid format)"})
        if asked["method"] == "flickr.photos.licenses.getInfo":
            entries = [{"id": number, "name": name, "url": url} for number, name, url in FLICKR_LICENCES]
            return Reply(body={"licenses": {"license": entries}, "stat": "ok"})
        assert asked["method"] == "flickr.photos.search"
        wanted = asked["license"].split(",") if "license" in asked else [number for number, _, _ in FLICKR_LICENCES]
        found = [photo for photo in photos if photo.get("license") in (None, *wanted)]
        size = int(asked["per_page"])
        pages = -(-len(found) // size)
        page = min(int(asked["page"]), max(pages, 1))
        shown = found[(page - 1) * size : page * size]
        facts = {"page": page, "pages": pages, "perpage": size, "total": len(found), "photo": shown}
        return Reply(body={"photos": facts, "stat": "ok"})

    return answer
