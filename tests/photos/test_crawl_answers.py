"""Every way in which a server can answer ends in a photo or in a clear reason: one crawl over many paths."""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from sketchdata.photos.crawl import CrawlOptions, PhotoOutcome, crawl
from sketchdata.photos.image import decode, perceptual_hash
from tests.photo_servers import PhotoServer, encoded, photo_of, read_outcomes
from tests.servers import closed_port

OPTIONS = CrawlOptions(
    delay=0,
    allow_private=True,
    timeout=3,
    fetch_retries=1,
    concurrency=32,
    concurrency_per_host=32,
    max_bytes=200_000,
    max_pixels=1_000_000,
)
PICTURE = Image.new("RGB", (40, 30), "teal")
HTML = b"<!DOCTYPE html><html><body>no photo here</body></html>"
LARGE = bytes(100_000_000)


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that declares a size and holds next to nothing."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b"\0"), b"IEND")
    framed = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def turned() -> bytes:
    """Return a photo that is stored lying on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(PICTURE, "JPEG", exif=exif)


def damaged() -> bytes:
    photo = bytearray(photo_of("/damaged.jpg"))
    photo[20:-2] = bytes(len(photo) - 22)
    return bytes(photo)


def answers(server: PhotoServer) -> None:
    """Make a server misbehave, each path in its own way."""
    packed = (("Content-Encoding", "gzip"),)
    tag = "X-Robots-Tag"
    for kind in ("PNG", "WEBP", "GIF", "BMP"):
        server.answer(f"/{kind}", body=encoded(PICTURE, kind), content_type="application/octet-stream")
    server.answer("/turned", body=turned())
    server.answer("/twin", body=photo_of("/plain.jpg"))
    server.answer("/chunked", body=photo_of("/chunked.jpg"), chunked=True)
    server.answer("/gzipped", body=gzip.compress(photo_of("/gzipped.jpg")), headers=packed)
    server.answer("/moved", redirect="/there.jpg")
    server.answer("/moved-for-good", status=301, headers=(("Location", server.url("/there.jpg")),))
    server.answer("/busy", status=503, times=1)
    server.answer("/busy", body=photo_of("/busy.jpg"))
    server.answer("/cut-once", body=photo_of("/cut-once.jpg"), cut_after=500, times=1)
    server.answer("/cut-once", body=photo_of("/cut-once.jpg"))
    server.answer("/other-robot", body=photo_of("/other.jpg"), headers=((tag, "otherbot: noindex"), (tag, "all")))
    server.answer("/short-page", body=HTML)
    server.answer("/long-page", body=HTML * 1000, endless=True, length=-1)
    server.answer("/empty", body=b"")
    server.answer("/no-content", status=204, body=b"", length=-1)
    for status in (400, 403, 404, 410, 451, 408, 429, 500, 503):
        server.answer(f"/{status}", status=status)
    server.answer("/cut", body=photo_of("/cut.jpg"), cut_after=500)
    server.answer("/hang-up", hang_up=True)
    server.answer("/silent", silent=True)
    server.answer("/drip", body=photo_of("/drip.jpg"), rate=50)
    server.answer("/opt-out", headers=((tag, "noai, noimageai"),), body=photo_of("/o.jpg"), endless=True, length=-1)
    server.answer("/long-opt-out", headers=((tag, "noai"),), body=LARGE)
    server.answer("/opt-out-of-ours", headers=((tag, "sketchdata: noindex"),), body=photo_of("/o.jpg"))
    server.answer("/opt-out-on-the-way", headers=((tag, "none"),), redirect="/there.jpg")
    server.answer("/opt-out-of-nothing", headers=((tag, "noindex"),), status=404)
    server.answer("/announced", body=photo_of("/a.jpg"), length=1_000_000_000)
    server.answer("/endless", body=photo_of("/e.jpg"), endless=True, length=-1)
    server.answer("/endless-chunks", body=photo_of("/e.jpg"), endless=True, chunked=True)
    server.answer("/bomb", body=gzip.compress(LARGE), headers=packed)
    server.answer("/not-packed", body=photo_of("/n.jpg"), headers=packed)
    server.answer("/pixels", body=png_header(30_000, 30_000))
    server.answer("/announces-less", body=photo_of("/less.jpg"), length=700)
    server.answer("/ends-early", body=photo_of("/early.jpg"), cut_after=700, length=-1)
    server.answer("/damaged", body=damaged())
    server.answer("/circle", redirect="/circle")
    for scheme in ("file:///etc/passwd", "ftp://127.0.0.1/a.jpg", "data:image/gif;base64,R0lGOD"):
        server.answer(f"/to-{scheme.partition(':')[0]}", redirect=scheme)
    server.answer("/nowhere", status=302)
    server.robots = "User-agent: *\nDisallow: /secret/\n"


TAKEN = [
    "/plain.jpg", "/twin", "/PNG", "/WEBP", "/GIF", "/BMP", "/turned", "/chunked", "/gzipped", "/moved",
    "/moved-for-good", "/busy", "/cut-once", "/other-robot",
]  # fmt: skip
REFUSED = {
    "/short-page": "not a photo",
    "/long-page": "not a photo",
    "/empty": "not a photo",
    "/opt-out": "opt-out",
    "/long-opt-out": "opt-out",
    "/opt-out-of-ours": "opt-out",
    "/opt-out-on-the-way": "opt-out",
    "/announced": "too many bytes",
    "/endless": "too many bytes",
    "/endless-chunks": "too many bytes",
    "/bomb": "too many bytes",
    "/pixels": "too many pixels",
    "/to-file": "not http",
    "/to-ftp": "not http",
    "/to-data": "not http",
    "/secret/a.jpg": "robots.txt",
}
FAILED = {
    **{f"/{status}": f"http {status}" for status in (400, 403, 404, 410, 451, 408, 429, 500, 503)},
    "/no-content": "http 204",
    "/opt-out-of-nothing": "http 404",
    "/nowhere": "http 302",
    "/cut": "connection broken",
    "/hang-up": "connection broken",
    "/silent": "timeout",
    "/drip": "timeout",
    "/circle": "too many redirects",
    "/announces-less": "truncated photo",
    "/ends-early": "truncated photo",
    "/damaged": "damaged photo",
}
TRIED_AGAIN = {"/busy", "/cut-once", "/408", "/429", "/500", "/503", "/cut", "/hang-up", "/silent", "/drip"}
ELSEWHERE = {
    "http://photos.invalid/a.jpg": ("failed", "unknown host"),
    "ftp://127.0.0.1/a.jpg": ("refused", "not http"),
    "nonsense": ("refused", "not http"),
    "http://": ("refused", "bad address"),
    "http://me:secret@127.0.0.1/a.jpg": ("refused", "bad address"),
    "http://127.0.0.1/a b.jpg": ("refused", "bad address"),
}


class Crawled:
    """A finished crawl, and the server's memory of it."""

    def __init__(self, server: PhotoServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.closed = f"{closed_port()}/a.jpg"
        urls = [server.url(path) for path in (*TAKEN, *REFUSED, *FAILED, "/plain.jpg")]
        self.outcomes = crawl([*urls, self.closed, *ELSEWHERE], folder, OPTIONS)

    def outcome(self, path: str) -> PhotoOutcome:
        return self.outcomes[self.server.url(path)]

    def verdict(self, path: str) -> tuple[str, str | None]:
        return self.outcome(path).status, self.outcome(path).error


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawled]:
    with PhotoServer() as server:
        answers(server)
        yield Crawled(server, tmp_path_factory.mktemp("photos"))


@pytest.mark.slow
@pytest.mark.parametrize("path", TAKEN)
def test_a_photo_is_on_disk_with_all_that_is_known_of_it(crawled: Crawled, path: str) -> None:
    found = crawled.outcome(path)
    assert (found.status, found.error, found.http_status) == ("ok", None, 200), found
    assert found.path is not None
    content = (crawled.folder / found.path).read_bytes()
    photo = decode(content)
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert found.path.startswith(f"photos/{found.sha256[:2]}/{found.sha256}.")
    assert (found.bytes, found.height, found.width) == (len(content), *photo.shape[:2])
    assert found.phash == perceptual_hash(photo)


@pytest.mark.slow
def test_bytes_are_those_that_the_server_has_whatever_the_transport(crawled: Crawled) -> None:
    for path in ("/plain.jpg", "/chunked", "/gzipped", "/busy", "/cut-once"):
        content = photo_of(path if path.endswith(".jpg") else f"{path}.jpg")
        assert crawled.outcome(path).sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP"])
def test_a_format_is_told_by_the_first_bytes(crawled: Crawled, kind: str) -> None:
    found = crawled.outcome(f"/{kind}")
    assert (found.format, Path(found.path or "").suffix) == (kind, f".{kind.lower()}")


@pytest.mark.slow
def test_width_and_height_are_those_of_the_upright_photo(crawled: Crawled) -> None:
    assert (crawled.outcome("/turned").width, crawled.outcome("/turned").height) == (30, 40)


@pytest.mark.slow
def test_the_same_bytes_from_two_urls_are_one_file(crawled: Crawled) -> None:
    assert crawled.outcome("/plain.jpg").path == crawled.outcome("/twin").path


@pytest.mark.slow
def test_the_folder_holds_the_photos_and_nothing_half_written(crawled: Crawled) -> None:
    files = {str(path.relative_to(crawled.folder)) for path in (crawled.folder / "photos").rglob("*") if path.is_file()}
    assert files == {found.path for found in crawled.outcomes.values() if found.path}
    assert list((crawled.folder / ".collect" / "parts").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/moved", "/moved-for-good"])
def test_a_redirect_is_followed_and_named(crawled: Crawled, path: str) -> None:
    assert crawled.outcome(path).final_url == crawled.server.url("/there.jpg")
    assert crawled.outcome("/plain.jpg").final_url is None


@pytest.mark.slow
@pytest.mark.parametrize("path", REFUSED)
def test_what_must_not_or_will_not_be_had_is_refused(crawled: Crawled, path: str) -> None:
    assert crawled.verdict(path) == ("refused", REFUSED[path])
    assert crawled.outcome(path).detail
    assert crawled.outcome(path).path is None


@pytest.mark.slow
@pytest.mark.parametrize("path", FAILED)
def test_what_cannot_be_had_fails_with_its_reason(crawled: Crawled, path: str) -> None:
    assert crawled.verdict(path) == ("failed", FAILED[path])


@pytest.mark.slow
@pytest.mark.parametrize("url", ELSEWHERE)
def test_an_address_that_leads_nowhere_has_its_reason(crawled: Crawled, url: str) -> None:
    assert (crawled.outcomes[url].status, crawled.outcomes[url].error) == ELSEWHERE[url]
    assert "secret" not in (crawled.outcomes[url].detail or "")


@pytest.mark.slow
def test_a_host_where_nothing_listens_fails(crawled: Crawled) -> None:
    assert crawled.outcomes[crawled.closed].error == "no connection"


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted({*TAKEN, *REFUSED, *FAILED} - {"/circle", "/hang-up"}))
def test_only_faults_that_may_pass_are_tried_again_and_not_more_often_than_allowed(crawled: Crawled, path: str) -> None:
    expected = 0 if path == "/secret/a.jpg" else 2 if path in TRIED_AGAIN else 1
    assert crawled.server.paths().count(path) == expected


@pytest.mark.slow
def test_a_server_that_hangs_up_is_tried_again_on_connections_of_their_own(crawled: Crawled) -> None:
    # Where a connection was one used before, Twisted takes the hanging up for its age and asks on a new one.
    assert 2 <= crawled.server.paths().count("/hang-up") <= 4


@pytest.mark.slow
def test_a_circle_of_redirects_ends(crawled: Crawled) -> None:
    assert 2 < crawled.server.paths().count("/circle") < 25


@pytest.mark.slow
def test_an_opt_out_on_the_way_is_not_followed(crawled: Crawled) -> None:
    assert crawled.server.paths().count("/there.jpg") == 2  # by the two other redirects


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/opt-out", "/long-opt-out", "/long-page", "/announced"])
def test_no_more_of_a_body_is_read_than_it_takes_to_refuse_it(crawled: Crawled, path: str) -> None:
    # What the system's buffers swallow has been sent, too: some megabytes on the loopback interface.
    assert crawled.server.sent.get(path, 0) < 20_000_000


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/endless", "/endless-chunks"])
def test_a_body_without_end_is_cut_off(crawled: Crawled, path: str) -> None:
    assert crawled.server.sent[path] < 20_000_000


@pytest.mark.slow
def test_robots_txt_is_asked_for_once(crawled: Crawled) -> None:
    assert crawled.server.paths().count("/robots.txt") == 1


@pytest.mark.slow
def test_all_outcomes_are_in_the_log_and_a_fault_of_the_program_was_none(crawled: Crawled) -> None:
    assert read_outcomes(crawled.folder) == crawled.outcomes
    assert len(crawled.outcomes) == len(TAKEN) + len(REFUSED) + len(FAILED) + len(ELSEWHERE) + 1
    assert not (crawled.folder / ".collect" / "messages.txt").exists()
