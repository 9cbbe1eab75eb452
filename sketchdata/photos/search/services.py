"""Flickr.

Sources: flickr.com/services/api, "flickr.photos.search" (at most 4,000 results of a search), "flickr.photos.licenses.
getInfo" and "misc.urls"; its developer guide asks for at most 3,600 questions an hour and for links to photos' pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sketchdata.errors import ConfigError, FetchError
from sketchdata.photo_search.answers import Answer, Answers, Api, PassingError
from sketchdata.photo_search.licences import Licence, parse_licence
from sketchdata.photo_search.record import Facts, Finding, SearchSettings, result

ADDRESS = "https://api.flickr.com/services/rest/"
_PAGE_SIZE, _MAX_RESULTS = 250, 4000
#: Sizes of a photo, the best first: 1,024, 800, 640 and 500 pixels on the longer side.
_SIZES = ("l", "c", "z", "m")
#: "Service currently unavailable" and "Write operation failed", which is temporary by its description.
_PASSING = (105, 106)
_BAD_KEY = 100
_NO_KEY = "FLICKR_API_KEY is not set: Flickr answers no one without a key (flickr.com/services/apps/create)"


class Flickr:
    """Searches photos with Flickr. In the environment, FLICKR_API_KEY is needed, and FLICKR_API is another address.

    Raises:
        ConfigError: There is no key.
    """

    def __init__(self, settings: SearchSettings) -> None:
        key = settings.environment.get("FLICKR_API_KEY")
        if not key:
            raise ConfigError(_NO_KEY)
        self.settings = settings
        address, pause = settings.address("FLICKR_API", ADDRESS, 1.0)
        api = Api(
            name="flickr",
            address=address,
            user_agent=settings.user_agent,
            pause=pause,
            secret={"api_key": key},
            advice="check FLICKR_API_KEY",
            judge=_judge,
        )
        self._answers = Answers(api, settings.folder, settings.policy)
        self._licences: dict[str, tuple[Licence | None, str]] | None = None

    def find(self, query: str) -> Iterator[Finding]:
        """Yield photos that Flickr finds, the best first."""
        licences = self._known_licences()
        question = {
            "method": "flickr.photos.search",
            "format": "json",
            "nojsoncallback": "1",
            "text": query,
            "media": "photos",
            "content_types": "0",
            "safe_search": "1",
            "sort": "relevance",
            "extras": ",".join(["license", "owner_name", *(f"url_{size}" for size in _SIZES)]),
            "per_page": str(_PAGE_SIZE),
        }
        if self.settings.licences is not None:
            wanted = sorted(number for number, (licence, _) in licences.items() if self.settings.lets_in(licence))
            if not wanted:
                return  # an empty list would stand for all
            question["license"] = ",".join(wanted)
        for page in range(1, _MAX_RESULTS // _PAGE_SIZE + 1):
            photos = self._answers.ask({**question, "page": str(page)}).get("photos")
            photos = photos if isinstance(photos, dict) else {}
            found = photos.get("photo")
            for number, photo in enumerate(found if isinstance(found, list) else [], 1):
                yield self._result(photo, licences, f"flickr: {query}, page {page}, result {number}")
            # Beyond its last page Flickr gives that page again.
            if not found or not isinstance(photos.get("pages"), int) or page >= photos["pages"]:
                return

    def _known_licences(self) -> dict[str, tuple[Licence | None, str]]:
        """Return Flickr's licences by their numbers: asked for, since there are new ones from time to time."""
        if self._licences is None:
            question = {"method": "flickr.photos.licenses.getInfo", "format": "json", "nojsoncallback": "1"}
            entries = _under(self._answers.ask(question), "licenses", "license")
            self._licences = {
                str(entry.get("id")): (parse_licence(_text(entry.get("url"))), _text(entry.get("name")))
                for entry in entries
            }
            if not self._licences:
                raise FetchError("flickr lists no licences: its API has changed, or FLICKR_API is no API of Flickr")
        return self._licences

    def _result(self, found: object, licences: dict[str, tuple[Licence | None, str]], where: str) -> Finding:
        values = found if isinstance(found, dict) else {}
        size = next((size for size in _SIZES if values.get(f"url_{size}")), _SIZES[0])
        licence, name = licences.get(str(values.get("license")), (None, ""))
        owner, number = values.get("owner"), values.get("id")
        facts = Facts(
            url=values.get(f"url_{size}"),
            page=f"https://www.flickr.com/photos/{owner}/{number}" if owner and number else None,
            author=values.get("ownername"),
            licence=licence,
            licence_name=name,
            title=values.get("title"),
            width=values.get(f"width_{size}"),
            height=values.get(f"height_{size}"),
        )
        return result(facts, self.settings, where)


def _judge(answer: Answer) -> None:
    """Raise what an answer of status 200 says has gone wrong."""
    if answer.get("stat") == "ok":
        return
    code, message = answer.get("code"), f"{answer.get('message')}"[:200]
    if code in _PASSING:
        raise PassingError(f"{message} (code {code})")
    advice = "check FLICKR_API_KEY" if code == _BAD_KEY else "see flickr.com/services/api for the code"
    raise FetchError(f"flickr refuses the question: {message} (code {code}); {advice}")


def _under(answer: Answer, outer: str, inner: str) -> list[dict[str, Any]]:
    values = answer.get(outer)
    entries = values.get(inner) if isinstance(values, dict) else None
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
