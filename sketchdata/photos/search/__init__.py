"""Searching the web for photos of a class, by APIs that are made for it and say whose a photo is and how licensed.

Each search asks politely and keeps every answer, so that nothing is asked twice and a run that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sketchdata.photos.annotations.record import Reading
from sketchdata.photos.search.api import NO_PHOTO, OTHER_LICENCE, PhotoSearch, SearchResult, SearchSettings
from sketchdata.photos.search.services import Flickr, Openverse, Wikimedia

__all__ = ["NO_PHOTO", "OTHER_LICENCE", "SEARCHES", "PhotoSearch", "SearchResult", "SearchSettings", "find_photos"]

#: {kind of source: what opens the search}.
SEARCHES: dict[str, Callable[[SearchSettings], PhotoSearch]] = {
    "openverse": Openverse,
    "wikimedia": Wikimedia,
    "flickr": Flickr,
}


def find_photos(search: PhotoSearch, word: str, query: str, count: int) -> Iterator[Reading]:
    """Yield the first `count` different photos that a search finds, as photos of a class; and what it had to pass over.

    Args:
        search: One of SEARCHES, open.
        word: The class.
        query: What to search for.
        count: Photos wanted; there may be fewer.

    Raises:
        FetchError: The search gives no answer.
    """
    seen: set[str] = set()
    for found in search.find(query):
        if not isinstance(found, SearchResult):
            yield found
        elif found.url not in seen:
            seen.add(found.url)
            yield found.annotation(word)
            if len(seen) == count:
                return
