"""Searches of photos: Flickr, Openverse and Wikimedia Commons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import orjson

from sketchdata.errors import ConfigError, FetchError
from sketchdata.formats.files import Fault
from sketchdata.photos.search.api import (
    NO_PHOTO,
    Answer,
    Answers,
    Api,
    Facts,
    Finding,
    Licence,
    PassingError,
    SearchSettings,
    parse_licence,
    result,
)

# Flickr.
# Sources: flickr.com/services/api, "flickr.photos.search" (at most 4,000 results of a search),
# "flickr.photos.licenses.
# getInfo" and "misc.urls"; its developer guide asks for at most 3,600 questions an hour and for links to photos'
# pages.

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


# Openverse: openly licensed photos of many collections.
# Source: api.openverse.org/v1/ (image search, OAuth2) and
# docs.openverse.org/api/reference/authentication_and_throttling;
# its terms ask not to evade the limits. Without a token it lets in 20 questions a minute and 200 a day, of 20 results.

ADDRESS_OPENVERSE = "https://api.openverse.org"
#: Results on a page, with and without a token, and pages at most: what the API lets in.
_PAGE_SIZE_OPENVERSE, _ANONYMOUS_PAGE_SIZE, _MAX_PAGES = 50, 20, 20
_ADVICE = (
    "check OPENVERSE_TOKEN, or OPENVERSE_CLIENT_ID and OPENVERSE_CLIENT_SECRET; without them fewer questions are let in"
)


class Openverse:
    """Searches photos with Openverse.

    In the environment, OPENVERSE_TOKEN is a bearer token, or OPENVERSE_CLIENT_ID and OPENVERSE_CLIENT_SECRET get one;
    OPENVERSE_API is another address.

    Raises:
        ConfigError: One of the two is there without the other.
        FetchError: They get no token.
    """

    def __init__(self, settings: SearchSettings) -> None:
        self.settings = settings
        self._with_key = bool({"OPENVERSE_TOKEN", "OPENVERSE_CLIENT_ID"} & set(settings.environment))
        address, pause = settings.address("OPENVERSE_API", ADDRESS_OPENVERSE, 0.6 if self._with_key else 3.0)
        token = _token(settings, address)
        api = Api(
            name="openverse",
            address=f"{address.rstrip('/')}/v1/images/",
            user_agent=settings.user_agent,
            pause=pause,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            advice=_ADVICE,
        )
        self._answers = Answers(api, settings.folder, settings.policy)

    def find(self, query: str) -> Iterator[Finding]:
        """Yield photos that Openverse finds, the best first."""
        size = _PAGE_SIZE_OPENVERSE if self._with_key else _ANONYMOUS_PAGE_SIZE
        question = {"q": query, "page_size": str(size), "mature": "false"}
        if self.settings.licences is not None:
            question["license"] = ",".join(sorted(self.settings.licences))
        for page in range(1, _MAX_PAGES + 1):
            answer = self._answers.ask({**question, "page": str(page)})
            results = answer.get("results")
            for number, found in enumerate(results if isinstance(results, list) else [], 1):
                yield self._result(found, f"openverse: {query}, page {page}, result {number}")
            pages = answer.get("page_count")
            if not results or not isinstance(pages, int) or page >= pages:
                return

    def _result(self, found: object, where: str) -> Finding:
        values = found if isinstance(found, dict) else {}
        code, version = values.get("license"), values.get("license_version")
        named = f"{code} {version}" if code in ("cc0", "pdm") else f"cc {code} {version}"
        facts = Facts(
            url=values.get("url"),
            page=values.get("foreign_landing_url"),
            author=values.get("creator"),
            licence=parse_licence(
                values.get("license_url") if isinstance(values.get("license_url"), str) else "", named
            ),
            licence_name=code,
            title=values.get("title"),
            width=values.get("width"),
            height=values.get("height"),
        )
        return result(facts, self.settings, where)


def _token(settings: SearchSettings, address: str) -> str | None:
    """Return the bearer token, getting one by the client's id and secret where need be."""
    environment = settings.environment
    if environment.get("OPENVERSE_TOKEN"):
        return environment["OPENVERSE_TOKEN"]
    client = {name: environment.get(f"OPENVERSE_{name.upper()}", "") for name in ("client_id", "client_secret")}
    if not all(client.values()):
        if any(client.values()):
            raise ConfigError("OPENVERSE_CLIENT_ID and OPENVERSE_CLIENT_SECRET belong together, and one is missing")
        return None
    try:
        response = httpx.post(
            f"{address.rstrip('/')}/v1/auth_tokens/token/",
            data={**client, "grant_type": "client_credentials"},
            headers={"User-Agent": settings.user_agent},
            timeout=settings.policy.read_seconds,
        )
        token = orjson.loads(response.content).get("access_token") if response.status_code == 200 else None
    except (httpx.HTTPError, httpx.InvalidURL, orjson.JSONDecodeError, AttributeError) as error:
        raise FetchError(f"openverse gives no token at {address}: {error}; {_ADVICE}") from error
    if not isinstance(token, str):
        raise FetchError(f"openverse gives no token at {address}: status {response.status_code}; {_ADVICE}")
    return token


# Wikimedia Commons, by the search of its files.
# Sources: mediawiki.org, "API:Search", "API:Imageinfo" and "API:Etiquette" (one question at a time, `maxlag`, a user
# agent with a contact), "Extension:CommonsMetadata" (the keys of `extmetadata`, whose values are HTML) and "Common
# thumbnail sizes" (1280 is one of those that are served).

ADDRESS_WIKIMEDIA = "https://commons.wikimedia.org/w/api.php"
#: Wide enough for any detector, and some hundred kilobytes instead of some ten megabytes.
_WIDTH = 1280
#: More would not be scaled in one answer; and as far as the search looks.
_PAGE_SIZE_WIKIMEDIA, _MAX_RESULTS_WIKIMEDIA = 50, 10_000
_KINDS = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/tiff")
_PASSING_WIKIMEDIA = ("maxlag", "ratelimited", "readonly")
_METADATA = ("Artist", "LicenseShortName", "LicenseUrl", "ObjectName")


class Wikimedia:
    """Searches photos with Wikimedia Commons; WIKIMEDIA_API in the environment is another address."""

    def __init__(self, settings: SearchSettings) -> None:
        self.settings = settings
        address, pause = settings.address("WIKIMEDIA_API", ADDRESS_WIKIMEDIA, 0.5)
        api = Api(
            name="wikimedia",
            address=address,
            user_agent=settings.user_agent,
            pause=pause,
            advice="Wikimedia wants a user agent with a contact: give --contact",
            judge=_judge_wikimedia,
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
            "gsrlimit": str(_PAGE_SIZE_WIKIMEDIA),
            "prop": "imageinfo",
            "iiprop": "url|size|mime|extmetadata",
            "iiurlwidth": str(_WIDTH),
            "iiextmetadatafilter": "|".join(_METADATA),
        }
        following: dict[str, str] = {}
        for page in range(1, _MAX_RESULTS_WIKIMEDIA // _PAGE_SIZE_WIKIMEDIA + 1):
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


def _judge_wikimedia(answer: Answer) -> None:
    """Raise what an answer of status 200 says has gone wrong."""
    error = answer.get("error")
    if error is None:
        return
    code = error.get("code") if isinstance(error, dict) else error
    text = f"{error.get('info') if isinstance(error, dict) else error}"[:200]
    if code in _PASSING_WIKIMEDIA or str(code).startswith("internal_api_error"):
        raise PassingError(f"{code}: {text}", 5.0 if code == "maxlag" else None)
    raise FetchError(f"wikimedia refuses the question: {code}: {text}")


def _ranked(answer: Answer) -> list[dict[str, Any]]:
    """Return the files that were found in the order of the search, which the answer does not keep."""
    query = answer.get("query")
    pages = query.get("pages") if isinstance(query, dict) else None
    found = [page for page in pages if isinstance(page, dict)] if isinstance(pages, list) else []
    return sorted(
        found, key=lambda page: page["index"] if isinstance(page.get("index"), int) else _MAX_RESULTS_WIKIMEDIA
    )


def _value(metadata: object, name: str) -> str | None:
    entry = metadata.get(name) if isinstance(metadata, dict) else None
    value = entry.get("value") if isinstance(entry, dict) else None
    return value if isinstance(value, str) and value.strip() else None
