"""Indexes for the draw-to-search page that need no network: what is nearest follows from the drawing's strokes."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import uvicorn

from sketchdata import synth
from sketchdata.drawings.drawing import Drawing, Words, to_batch
from sketchdata.web.exhibit import encode_strokes
from sketchdata.web.search_server import create_app

WORDS = ("cat", "house", "star")


class CountingFinder:
    """Finds drawings of the class that a drawing's number of strokes names: cat for one, house for two, star for more.

    Attributes:
        asked: The drawings that were searched for.
        delay: Seconds that an answer takes, by the number of strokes.
    """

    nouns = "drawings"
    count = 30
    facts: Mapping[str, str] = {"Index": "30 made-up codes"}

    def __init__(self) -> None:
        self.asked: list[Drawing] = []
        self.delay: dict[int, float] = {}
        self.found = {word: list(synth.generate(word, 10, seed=3, start=0, label=0).drawings([word])) for word in WORDS}

    def find(self, drawing: Drawing, k: int) -> list[Mapping[str, Any]]:
        self.asked.append(drawing)
        time.sleep(self.delay.get(len(drawing.strokes), 0))
        first = WORDS[min(len(drawing.strokes), 3) - 1]
        order = [first, *(word for word in WORDS if word != first)]
        nearest = [each for word in order for each in self.found[word]][:k]
        pictures = encode_strokes(to_batch(nearest, Words()))
        return [
            {
                "id": str(each.key_id),
                "word": each.word,
                "distance": place,
                "kind": "strokes",
                "data": base64.b64encode(picture).decode(),
            }
            for place, (each, picture) in enumerate(zip(nearest, pictures, strict=True))
        ]

    def picture(self, key_id: int) -> bytes | None:
        return None


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an application from a thread of this process; yield its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def drawing_page(k: int = 12) -> Iterator[tuple[str, CountingFinder]]:
    """Serve the draw-to-search page of made-up codes; yield its address and its index."""
    finder = CountingFinder()
    with served(create_app(finder, k=k)) as address:
        yield address, finder
