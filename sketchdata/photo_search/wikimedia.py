"""Wikimedia Commons, by the search of its files.

Sources: mediawiki.org, "API:Search", "API:Imageinfo" and "API:Etiquette" (one question at a time, `maxlag`, a user
agent with a contact), "Extension:CommonsMetadata" (the keys of `extmetadata`, whose values are HTML) and "Common
thumbnail sizes" (1280 is one of those that are served).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sketchdata.errors import FetchError
from sketchdata.formats.files import Fault
from sketchdata.photo_search.answers import Answer, Answers, Api, PassingError
from sketchdata.photo_search.licences import parse_licence
from sketchdata.photo_search.record import NO_PHOTO, Facts, Finding, SearchSettings, result

ADDRESS = "https://commons.wikimedia.org/w/api.php"
#: Wide enough for any detector, and some hundred kilobytes instead of some ten megabytes.
_WIDTH = 1280
#: More would not be scaled in one answer; and as far as the search looks.
_PAGE_SIZE, _MAX_RESULTS = 50, 10_000
_KINDS = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/tiff")
_PASSING = ("maxlag", "ratelimited", "readonly")
_METADATA = ("Artist", "LicenseShortName", "LicenseUrl", "ObjectName")


class Wikimedia:
    """Searches photos with Wikimedia Commons; WIKIMEDIA_API in the environment is another address."""

    def __init__(self, settings: SearchSettings) -> None:
        self.settings = settings
        address, pause = settings.address("WIKIMEDIA_API", ADDRESS, 0.5)
        api = Api(
            name="wikimedia",
            address=address,
            user_agent=settings.user_agent,
            pause=pause,
            advice="Wikimedia wants a user agent with a contact: give --contact",
            judge=_judge,
        )
        self._answers = Answers(api, settings.folder, settings.policy)

    def find(self, query: str) -> Iterator[Finding]:
        """Yield photos that Wikimedia Commons finds, the best first."""
        question = {
            "action": "query",
            "format": "json",
            "formatversion": "2",
            "maxlag": "5",
            "generator": "search",
            "gsrsearch": f"{query} filetype:bitmap",
            "gsrnamespace": "6",
            "gsrlimit": str(_PAGE_SIZE),
            "prop": "imageinfo",
            "iiprop": "url|size|mime|extmetadata",
            "iiurlwidth": str(_WIDTH),
            "iiextmetadatafilter": "|".join(_METADATA),
        }
        following: dict[str, str] = {}
        for page in range(1, _MAX_RESULTS // _PAGE_SIZE + 1):
            answer = self._answers.ask({**question, **following})
            for number, found in enumerate(_ranked(answer), 1):
                yield self._result(found, f"wikimedia: {query}, page {page}, result {number}")
            rest = answer.get("continue")
            if not isinstance(rest, dict) or not rest:
                return
            following = {str(name): str(value) for name, value in rest.items()}

    def _result(self, found: dict[str, Any], where: str) -> Finding:
        infos = found.get("imageinfo")
        info = infos[0] if isinstance(infos, list) and infos and isinstance(infos[0], dict) else {}
        if info and info.get("mime") not in _KINDS:
            return Fault(where=where, reason=NO_PHOTO, detail=f"{info.get('mime')!r:.60}")
        scaled = info.get("thumburl") is not None and info.get("thumbwidth") != info.get("width")
        size = "thumb" if scaled else ""
        said = {name: _value(info.get("extmetadata"), name) for name in _METADATA}
        facts = Facts(
            url=info.get(f"{size}url"),
            page=info.get("descriptionurl"),
            author=said["Artist"],
            licence=parse_licence(said["LicenseUrl"], said["LicenseShortName"]),
            licence_name=said["LicenseShortName"],
            title=said["ObjectName"] or str(found.get("title", "")).removeprefix("File:"),
            width=info.get(f"{size}width"),
            height=info.get(f"{size}height"),
        )
        return result(facts, self.settings, where)


def _judge(answer: Answer) -> None:
    """Raise what an answer of status 200 says has gone wrong."""
    error = answer.get("error")
    if error is None:
        return
    code = error.get("code") if isinstance(error, dict) else error
    text = f"{error.get('info') if isinstance(error, dict) else error}"[:200]
    if code in _PASSING or str(code).startswith("internal_api_error"):
        raise PassingError(f"{code}: {text}", 5.0 if code == "maxlag" else None)
    raise FetchError(f"wikimedia refuses the question: {code}: {text}")


def _ranked(answer: Answer) -> list[dict[str, Any]]:
    """Return the files that were found in the order of the search, which the answer does not keep."""
    query = answer.get("query")
    pages = query.get("pages") if isinstance(query, dict) else None
    found = [page for page in pages if isinstance(page, dict)] if isinstance(pages, list) else []
    return sorted(found, key=lambda page: page["index"] if isinstance(page.get("index"), int) else _MAX_RESULTS)


def _value(metadata: object, name: str) -> str | None:
    entry = metadata.get(name) if isinstance(metadata, dict) else None
    value = entry.get("value") if isinstance(entry, dict) else None
    return value if isinstance(value, str) and value.strip() else None
