"""The server of the draw-to-search page: it receives a drawing and returns the nearest items of an index."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, HTTPException
from fastapi import Path as InPath
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from sketchdata.drawings.drawing import Drawing, DrawingBatch, offsets_of
from sketchdata.drawings.simplify import simplify
from sketchdata.errors import FormatError
from sketchdata.photos.image import trace_picture
from sketchdata.retrieval.query import read_svg
from sketchdata.web.finder import PICTURES, Finder, votes
from sketchdata.web.site import make_site, serve_site

#: Limits of one drawing: far more than people draw, and few enough for a quick answer.
MOST_STROKES, MOST_POINTS = 1_000, 50_000
#: The server is reachable from this machine only.
HOST = "127.0.0.1"


class SearchRequest(BaseModel):
    """A request of the page: the strokes of a drawing, each as all x and all y, in any unit, y downwards."""

    strokes: list[tuple[list[float], list[float]]] = Field(min_length=1)


class FileRequest(BaseModel):
    """A file of the user: the text of an SVG, or a picture in base64."""

    svg: str | None = None
    picture: str | None = None


def to_drawing(strokes: list[tuple[list[float], list[float]]]) -> Drawing:
    """Return strokes as a simplified drawing, in the official form.

    Raises:
        FormatError: There are too many, one is empty, or a coordinate is not a finite number.
    """
    lengths = [len(x) for x, _ in strokes]
    if len(strokes) > MOST_STROKES or sum(lengths) > MOST_POINTS:
        raise FormatError(
            "drawing too large",
            f"{len(strokes):,} lines of {sum(lengths):,} points, where {MOST_STROKES:,} lines of {MOST_POINTS:,} "
            "points are the limit: erase some",
        )
    if any(len(x) != len(y) for x, y in strokes):
        raise FormatError("unequal x and y", "expected equally many x and y in each line")
    batch = DrawingBatch(
        key_id=np.zeros(1, np.uint64),
        label=np.zeros(1, np.uint16),
        countrycode=np.zeros(1, "S2"),
        timestamp=np.zeros(1, np.int64),
        recognized=np.ones(1, np.bool_),
        strokes=np.array([0, len(strokes)], np.int64),
        points=offsets_of(np.array(lengths, np.int64)),
        x=np.concatenate([np.array(x, np.float64) for x, _ in strokes]),
        y=np.concatenate([np.array(y, np.float64) for _, y in strokes]),
    )
    return next(simplify(batch).drawings([""]))


def read_file(file: FileRequest) -> Drawing:
    """Return the drawing in a file, simplified.

    Raises:
        FormatError: The file is neither an SVG nor a picture of a drawing.
    """
    if file.svg is not None:
        drawing = read_svg(file.svg.encode("utf-8", "replace"), "").drawing
        assert drawing is not None  # noqa: S101 - only a key_id has none
        return drawing
    try:
        content = base64.b64decode(file.picture or "", validate=True)
    except ValueError as error:
        raise FormatError("not a picture", f"expected base64: {error}") from error
    return trace_picture(content)


def create_app(finder: Finder, *, k: int) -> FastAPI:
    """Return the application of the draw-to-search page; it is served at the root of an address.

    Args:
        finder: The index.
        k: Number of items to show, at most `finder.count`.
    """
    title = f"Draw to search {finder.count:,} {finder.nouns}"
    remedy = "draw less, or choose a smaller file"
    app = make_site(
        title=title, module="draw.js", styles=["style.css", "search.css", "draw.css"], host=HOST, remedy=remedy
    )
    about = {
        "title": title,
        "nouns": finder.nouns,
        "count": finder.count,
        "facts": finder.facts,
        "most_strokes": MOST_STROKES,
        "most_points": MOST_POINTS,
    }
    # Two concurrent forward passes on the same cores each take more than twice as long as one.
    busy = threading.Lock()

    @app.get("/api/about")
    def about_index() -> JSONResponse:
        return JSONResponse(about)

    @app.post("/api/search")
    def search(query: SearchRequest) -> JSONResponse:
        drawing = to_drawing(query.strokes)
        started = time.perf_counter()
        with busy:
            found = finder.find(drawing, k)
        took = 1000 * (time.perf_counter() - started)
        return JSONResponse({"results": found, "votes": votes(found), "milliseconds": round(took, 1)})

    @app.get(f"/{PICTURES}/{{key_id}}")
    def picture(key_id: Annotated[int, InPath(ge=0, lt=2**64)]) -> Response:
        if (content := finder.picture(key_id)) is None:
            raise HTTPException(404, f"the index has no picture of key_id {key_id}")
        return Response(content, media_type="image/jpeg")

    @app.post("/api/read")
    def read(file: FileRequest) -> JSONResponse:
        strokes = [stroke[:, :2].T.tolist() for stroke in read_file(file).strokes]
        return JSONResponse({"strokes": strokes})

    return app


def serve(
    finder: Callable[[], Finder], *, k: int, port: int, announce: Callable[[dict[str, Any]], None], open_browser: bool
) -> None:
    """Serve the draw-to-search page until Ctrl-C; port 0 is any free one.

    Args:
        finder: Reads the index, once the port is known to be free.
        k: Number of items to show; all items if the index has fewer.
        port: Where to listen, on the loopback interface.
        announce: Called with `address`, `nouns` and `count` when the page is ready.
        open_browser: Whether to open the page in a browser.

    Raises:
        ConfigError: The server cannot listen on the port.
        SketchDataError: The index, the run or the data set is missing or damaged, or they do not match.
    """
    facts: dict[str, Any] = {}

    def make() -> FastAPI:
        found = finder()
        facts.update(nouns=found.nouns, count=found.count)
        return create_app(found, k=min(k, found.count))

    serve_site(
        make,
        host=HOST,
        port=port,
        announce=lambda address: announce({"address": address, **facts}),
        open_browser=open_browser,
    )
