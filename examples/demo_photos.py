"""Serve the photographs that scikit-image ships, and list them for `sketchdata edgemaps collect --urls`.

    python examples/demo_photos.py demo/photos.csv    # writes the list, then serves until it is stopped

The demo thus has real photographs and a real web server, and needs no network.
"""

from __future__ import annotations

import csv
import functools
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import skimage

#: (file, class, box, author, licence) as scikit-image documents them in skimage.data; the boxes are ours.
PHOTOS = [
    ("chelsea.png", "cat", "", "Stefan van der Walt", "CC0"),
    ("coffee.png", "coffee cup", "160,10,425,320", "Rachel Michetti", "CC0"),
    ("coffee.png", "spoon", "315,190,410,330", "Rachel Michetti", "CC0"),
    ("astronaut.png", "face", "155,10,300,205", "NASA", "public domain"),
    ("astronaut.png", "helmet", "290,340,510,512", "NASA", "public domain"),
    ("camera.png", "camera", "240,115,345,225", "Lav Varshney", "CC0"),
    ("horse.png", "horse", "", "Andreas Preuss", "CC0"),
    ("motorcycle_left.png", "motorbike", "105,95,700,465", "Middlebury 2014 stereo benchmark", ""),
]


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder without logging."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def main() -> None:
    """Write the list to the path that is given, and serve."""
    photos = Path(skimage.__file__).parent / "data"
    handler = functools.partial(QuietHandler, directory=str(photos))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        path = Path(sys.argv[1])
        part = path.with_suffix(".part")
        with part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["url", "class", "box", "author", "licence"])
            writer.writerows([f"{address}/{name}", *facts] for name, *facts in PHOTOS)
        # By renaming, the list appears complete, after the server has begun to listen.
        part.rename(path)
        server.serve_forever()


if __name__ == "__main__":
    main()
