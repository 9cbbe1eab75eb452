"""Searching the web for photos of a class, with APIs that return the author and licence of each photo."""

from __future__ import annotations

import contextlib
import html.parser
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import httpx
import orjson

from sketchdata.errors import ConfigError, FetchError, FormatError
from sketchdata.formats.files import Fault
from sketchdata.names import names_in
from sketchdata.photos.annotations.record import Annotation, Reading
from sketchdata.photos.annotations.url_list import checked_url
from sketchdata.photos.web_api import JsonAnswer, PassingError, WebApi
from sketchdata.storage.fetch import DEFAULT_POLICY, FetchPolicy

# Creative Commons licences by their short codes, since APIs name them in many ways.
# Source: creativecommons.org/share-your-work/cclicenses; the URLs contain code, version and jurisdiction.

#: The licences that allow everyone to share a photo and adaptations of it.
FREE = ("cc0", "pdm", "by", "by-sa")
CODES = (*FREE, "by-nd", "by-nc", "by-nc-sa", "by-nc-nd")

_CODE = r"by(?:-nc)?(?:-sa|-nd)?"
_VERSION = r"(?P<version>\d\.\d)"
_LICENCE_URL = re.compile(
    rf"https?://(?:www\.)?creativecommons\.org/licenses/(?P<code>{_CODE})/{_VERSION}(?:/(?P<place>[a-z]+)\b)?", re.I
)
_DOMAIN_URL = re.compile(rf"https?://(?:www\.)?creativecommons\.org/publicdomain/(?P<code>zero|mark)/{_VERSION}", re.I)
_NAME = re.compile(rf"cc[ -](?P<code>{_CODE})[ -]{_VERSION}(?:[ -](?P<place>[a-z]+))?", re.I)
_ZERO_NAME = re.compile(r"cc0\b.*|cc[ -]zero\b.*", re.I)
_DOMAIN_NAME = re.compile(r"(?:pdm?|public domain)\b.*", re.I)


@dataclass(frozen=True, kw_only=True)
class Licence:
    """One of CODES with its version, and its jurisdiction if it was ported."""

    code: str
    version: str | None = None
    place: str | None = None

    def __str__(self) -> str:
        """Return the usual name, such as `CC BY-SA 4.0`."""
        if self.code == "cc0":
            return "CC0 1.0"
        if self.code == "pdm":
            # The public domain mark has a version; a work in the public domain for another reason has none.
            return "Public domain" if self.version is None else f"Public Domain Mark {self.version}"
        return " ".join(filter(None, ["CC", self.code.upper(), self.version, self.place]))


def parse_licence(*names: object) -> Licence | None:
    """Return the licence of the first recognizable name or URL, or None."""
    return next((found for name in names if isinstance(name, str) and (found := _parse_licence(name.strip()))), None)


def _parse_licence(name: str) -> Licence | None:
    if match := _LICENCE_URL.match(name) or _NAME.fullmatch(name):
        place = (match["place"] or "").upper()
        return Licence(code=match["code"].lower(), version=match["version"], place=place if len(place) == 2 else None)
    if match := _DOMAIN_URL.match(name):
        return Licence(code="cc0" if match["code"].lower() == "zero" else "pdm", version=match["version"])
    if _ZERO_NAME.fullmatch(name):
        return Licence(code="cc0")
    return Licence(code="pdm") if _DOMAIN_NAME.fullmatch(name) else None


def parse_filter(text: str) -> frozenset[str] | None:
    """Return the codes in a comma-separated list; None for `any`.

    Raises:
        ConfigError: A licence does not exist, or the list is empty.
    """
    codes = set(names_in(text.lower()))
    if codes == {"any"}:
        return None
    if unknown := sorted(codes - set(CODES)) or ([] if codes else [""]):
        raise ConfigError(f"--licence {text!r}: {unknown[0]!r} is not one of {', '.join(CODES)}, or `any` alone")
    return frozenset(codes)


# The interface and the settings of a search.

#: Reasons why a valid result is skipped.
OTHER_LICENCE, NO_PHOTO = "other licence", "no photo"

_MOST_TEXT = 300
#: Maximum length of texts to parse, to limit the time.
_MOST_HTML = 20_000


class PhotoSearch(Protocol):
    """An API for searching photos."""

    def find(self, query: str) -> Iterator[Reading]:
        """Yield photos, the best first, with the query as their class, and faults for other results.

        The next page is only requested when the current one is used up.

        Raises:
            FetchError: The API does not answer.
        """


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """The settings of all searches.

    Attributes:
        folder: The folder in which answers are stored.
        user_agent: The User-Agent header.
        licences: Codes of CODES that photos may have; None for any.
        delay: Seconds between two requests to an API without an official rate limit.
        environment: Keys and addresses of APIs, as in `os.environ`.
        policy: Retries and timeouts.
    """

    folder: Path
    user_agent: str
    licences: frozenset[str] | None
    delay: float = 1.0
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    policy: FetchPolicy = DEFAULT_POLICY

    def accepts(self, licence: Licence | None) -> bool:
        """Return whether a photo's licence is accepted; an unknown licence only if any is."""
        return self.licences is None or (licence is not None and licence.code in self.licences)

    def api(self, name: str, official: str, pause: float, path: str = "", **options: Any) -> WebApi:
        """Return an API at its official address or, for mirrors and tests, at the address in the variable NAME_API.

        The official rate limit does not apply to other addresses.
        """
        other = self.environment.get(f"{name.upper()}_API")
        return WebApi(
            name=name,
            address=(other or official).rstrip("/") + path if path else other or official,
            user_agent=self.user_agent,
            pause=self.delay if other else max(pause, self.delay),
            folder=self.folder,
            policy=self.policy,
            **options,
        )

    def reading(self, query: str, place: str, licence: Licence | None, facts: Mapping[str, object]) -> Reading:
        """Return a result as a photo without a box, or as a fault.

        Args:
            query: The query.
            place: The search, page and number of the result.
            licence: The licence; None if it is unknown.
            facts: From the API: `photo`, its URL; `page`, `author`, `title` and `licence`, its name. A value that is
                not a string counts as missing.
        """
        name = str(licence) if licence else plain_text(facts["licence"])
        if not self.accepts(licence):
            return Fault(where=place, reason=OTHER_LICENCE, detail=name or "none is stated")
        try:
            photo, page = _address(facts["photo"]), None
        except FormatError as error:
            return Fault(where=place, reason=error.reason, detail=error.detail)
        with contextlib.suppress(FormatError):
            page = _address(facts["page"])
        return Annotation(
            photo=photo,
            category=query,
            box=None,
            where=place,
            page=page,
            author=plain_text(facts["author"]),
            licence=name,
            title=plain_text(facts["title"]),
        )


def _address(value: object) -> str:
    return checked_url(value if isinstance(value, str) else None)


def plain_text(value: object) -> str | None:
    """Return text from the web as one short line, without HTML's tags, scripts and styles."""
    if not isinstance(value, str):
        return None
    reader = _TextOfHtml()
    reader.feed(value[:_MOST_HTML])
    reader.close()
    # Control characters and marks of writing direction could make a table unreadable or misleading.
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]", " ", reader.text)
    text = " ".join(text.split())
    return (text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 1]}…") or None


class _TextOfHtml(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self._hidden = "", 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style") and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text += data


def find_photos(search: PhotoSearch, word: str, query: str, count: int) -> Iterator[Reading]:
    """Yield the first `count` distinct photos that a search finds, as photos of a class, and faults for other results.

    Args:
        search: An open search of SEARCHES.
        word: The class.
        query: The query.
        count: Maximum number of photos.

    Raises:
        FetchError: The API does not answer.
    """
    seen: set[str] = set()
    for found in search.find(query):
        if isinstance(found, Fault):
            yield found
        elif found.photo not in seen:
            seen.add(found.photo)
            yield replace(found, category=word)
            if len(seen) == count:
                return


def _at(answer: object, *path: str) -> object:
    for key in path:
        answer = answer.get(key) if isinstance(answer, dict) else None
    return answer


def _list(answer: object, *path: str) -> list[Any]:
    found = _at(answer, *path)
    return found if isinstance(found, list) else []


# Flickr. Sources: flickr.com/services/api, "flickr.photos.search" (at most 4,000 results of a search),
# "flickr.photos.licenses.getInfo" and "misc.urls"; its developer guide asks for at most 3,600 requests an hour and for
# links to photos' pages.

_FLICKR_PAGE, _FLICKR_RESULTS = 250, 4000
#: Sizes of a photo by preference: 1,024, 800, 640 and 500 pixels on the longer side.
_FLICKR_SIZES = ("l", "c", "z", "m")
#: "Service currently unavailable" and "Write operation failed", which is temporary by its description.
_FLICKR_PASSING = (105, 106)
_FLICKR_BAD_KEY = 100


class Flickr:
    """Searches photos with Flickr. The environment must have FLICKR_API_KEY; FLICKR_API is another address.

    Raises:
        ConfigError: There is no key.
    """

    def __init__(self, settings: SearchSettings) -> None:
        key = settings.environment.get("FLICKR_API_KEY")
        if not key:
            raise ConfigError("FLICKR_API_KEY is not set: Flickr's API needs a key (flickr.com/services/apps/create)")
        self._settings = settings
        self._api = settings.api(
            "flickr",
            "https://api.flickr.com/services/rest/",
            1.0,
            secret={"api_key": key},
            advice="check FLICKR_API_KEY",
            check=_check_flickr,
        )
        self._licences: dict[str, tuple[Licence | None, object]] = {}

    def find(self, query: str) -> Iterator[Reading]:
        """Yield the photos that Flickr finds, the best first."""
        common = {"format": "json", "nojsoncallback": "1"}
        if not self._licences:
            # Requested, because new licences are added from time to time.
            answer = self._api.ask({"method": "flickr.photos.licenses.getInfo", **common})
            for entry in filter(lambda each: isinstance(each, dict), _list(answer, "licenses", "license")):
                self._licences[str(entry.get("id"))] = parse_licence(entry.get("url")), entry.get("name")
        if not self._licences:
            raise FetchError("flickr lists no licences: its API has changed, or FLICKR_API is not an API of Flickr")
        question = {
            "method": "flickr.photos.search",
            **common,
            "text": query,
            "media": "photos",
            "content_types": "0",
            "safe_search": "1",
            "sort": "relevance",
            "extras": ",".join(["license", "owner_name", *(f"url_{size}" for size in _FLICKR_SIZES)]),
            "per_page": str(_FLICKR_PAGE),
        }
        if self._settings.licences is not None:
            wanted = sorted(number for number, (each, _) in self._licences.items() if self._settings.accepts(each))
            if not wanted:
                return  # an empty list would mean all
            question["license"] = ",".join(wanted)
        for page in range(1, _FLICKR_RESULTS // _FLICKR_PAGE + 1):
            answer = self._api.ask({**question, "page": str(page)})
            found = _list(answer, "photos", "photo")
            for number, photo in enumerate(found, 1):
                yield self._reading(query, f"flickr: {query}, page {page}, result {number}", photo)
            # After its last page, Flickr returns that page again.
            pages = _at(answer, "photos", "pages")
            if not found or not isinstance(pages, int) or page >= pages:
                return

    def _reading(self, query: str, place: str, photo: object) -> Reading:
        values = photo if isinstance(photo, dict) else {}
        size = next((size for size in _FLICKR_SIZES if values.get(f"url_{size}")), _FLICKR_SIZES[0])
        licence, name = self._licences.get(str(values.get("license")), (None, ""))
        owner, number = values.get("owner"), values.get("id")
        facts = {
            "photo": values.get(f"url_{size}"),
            "page": f"https://www.flickr.com/photos/{owner}/{number}" if owner and number else None,
            "author": values.get("ownername"),
            "licence": name,
            "title": values.get("title"),
        }
        return self._settings.reading(query, place, licence, facts)


def _check_flickr(answer: JsonAnswer) -> None:
    if answer.get("stat") == "ok":
        return
    code, message = answer.get("code"), f"{answer.get('message')}"[:200]
    if code in _FLICKR_PASSING:
        raise PassingError(f"{message} (code {code})")
    advice = "check FLICKR_API_KEY" if code == _FLICKR_BAD_KEY else "see flickr.com/services/api for the code"
    raise FetchError(f"flickr refuses the request: {message} (code {code}); {advice}")


# Openverse: openly licensed photos of many collections. Sources: api.openverse.org/v1/ (image search, OAuth2) and
# docs.openverse.org/api/reference/authentication_and_throttling; its terms ask not to evade the limits. Without a token
# it accepts 20 requests per minute and 200 per day, of 20 results.

#: Limits of the API: results per page, with and without a token, and number of pages.
_OPENVERSE_PAGE, _OPENVERSE_ANONYMOUS_PAGE, _OPENVERSE_PAGES = 50, 20, 20
_OPENVERSE_ADVICE = (
    "check OPENVERSE_TOKEN, or OPENVERSE_CLIENT_ID and OPENVERSE_CLIENT_SECRET; without them it answers fewer"
)


class Openverse:
    """Searches photos with Openverse.

    In the environment, OPENVERSE_TOKEN is a bearer token, or OPENVERSE_CLIENT_ID and OPENVERSE_CLIENT_SECRET are
    exchanged for one; OPENVERSE_API is another address.

    Raises:
        ConfigError: Only one of client id and secret is given.
        FetchError: The API does not return a token.
    """

    def __init__(self, settings: SearchSettings) -> None:
        self._settings = settings
        self._with_key = bool({"OPENVERSE_TOKEN", "OPENVERSE_CLIENT_ID"} & set(settings.environment))
        official = "https://api.openverse.org"
        token = _openverse_token(settings, settings.environment.get("OPENVERSE_API") or official)
        self._api = settings.api(
            "openverse",
            official,
            0.6 if self._with_key else 3.0,
            path="/v1/images/",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            advice=_OPENVERSE_ADVICE,
        )

    def find(self, query: str) -> Iterator[Reading]:
        """Yield the photos that Openverse finds, the best first."""
        size = _OPENVERSE_PAGE if self._with_key else _OPENVERSE_ANONYMOUS_PAGE
        question = {"q": query, "page_size": str(size), "mature": "false"}
        if self._settings.licences is not None:
            question["license"] = ",".join(sorted(self._settings.licences))
        for page in range(1, _OPENVERSE_PAGES + 1):
            answer = self._api.ask({**question, "page": str(page)})
            found = _list(answer, "results")
            for number, photo in enumerate(found, 1):
                values = photo if isinstance(photo, dict) else {}
                code, version = values.get("license"), values.get("license_version")
                name = f"{code} {version}" if code in ("cc0", "pdm") else f"cc {code} {version}"
                facts = {
                    "photo": values.get("url"),
                    "page": values.get("foreign_landing_url"),
                    "author": values.get("creator"),
                    "licence": code,
                    "title": values.get("title"),
                }
                place = f"openverse: {query}, page {page}, result {number}"
                yield self._settings.reading(query, place, parse_licence(values.get("license_url"), name), facts)
            pages = answer.get("page_count")
            if not found or not isinstance(pages, int) or page >= pages:
                return


def _openverse_token(settings: SearchSettings, address: str) -> str | None:
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
        raise FetchError(f"openverse gives no token at {address}: {error}; {_OPENVERSE_ADVICE}") from error
    if not isinstance(token, str):
        raise FetchError(f"openverse gives no token at {address}: status {response.status_code}; {_OPENVERSE_ADVICE}")
    return token


# Wikimedia Commons, by the search of its files. Sources: mediawiki.org, "API:Search", "API:Imageinfo" and
# "API:Etiquette" (one request at a time, `maxlag`, a user agent with a contact), "Extension:CommonsMetadata" (the keys
# of `extmetadata`, whose values are HTML) and "Common thumbnail sizes" (1280 is one of those that are served).

#: Width of the thumbnails: enough for any detector, and a few hundred kilobytes instead of ten megabytes.
_WIKIMEDIA_WIDTH = 1280
#: Limits of the API: results per answer with thumbnails, and results of a search.
_WIKIMEDIA_PAGE, _WIKIMEDIA_RESULTS = 50, 10_000
_WIKIMEDIA_KINDS = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/tiff")
_WIKIMEDIA_PASSING = ("maxlag", "ratelimited", "readonly")


class Wikimedia:
    """Searches photos with Wikimedia Commons; WIKIMEDIA_API in the environment is another address."""

    def __init__(self, settings: SearchSettings) -> None:
        self._settings = settings
        self._api = settings.api(
            "wikimedia",
            "https://commons.wikimedia.org/w/api.php",
            0.5,
            advice="Wikimedia wants a user agent with a contact: give --contact",
            check=_check_wikimedia,
        )

    def find(self, query: str) -> Iterator[Reading]:
        """Yield the photos that Wikimedia Commons finds, the best first."""
        question = {
            "action": "query",
            "format": "json",
            "formatversion": "2",
            "maxlag": "5",
            "generator": "search",
            "gsrsearch": f"{query} filetype:bitmap",
            "gsrnamespace": "6",
            "gsrlimit": str(_WIKIMEDIA_PAGE),
            "prop": "imageinfo",
            "iiprop": "url|size|mime|extmetadata",
            "iiurlwidth": str(_WIKIMEDIA_WIDTH),
            "iiextmetadatafilter": "Artist|LicenseShortName|LicenseUrl|ObjectName",
        }
        following: dict[str, str] = {}
        for page in range(1, _WIKIMEDIA_RESULTS // _WIKIMEDIA_PAGE + 1):
            answer = self._api.ask({**question, **following})
            found = [each for each in _list(answer, "query", "pages") if isinstance(each, dict)]
            # The answer is not in the order of the search.
            found.sort(key=lambda each: each["index"] if isinstance(each.get("index"), int) else _WIKIMEDIA_RESULTS)
            for number, file in enumerate(found, 1):
                yield self._reading(query, f"wikimedia: {query}, page {page}, result {number}", file)
            rest = answer.get("continue")
            if not isinstance(rest, dict) or not rest:
                return
            following = {str(name): str(value) for name, value in rest.items()}

    def _reading(self, query: str, place: str, file: dict[str, Any]) -> Reading:
        info = next((each for each in _list(file, "imageinfo")[:1] if isinstance(each, dict)), {})
        if info and info.get("mime") not in _WIKIMEDIA_KINDS:
            return Fault(where=place, reason=NO_PHOTO, detail=f"{info.get('mime')!r:.60}")

        def stated(name: str) -> str | None:
            value = _at(info, "extmetadata", name, "value")
            return value if isinstance(value, str) and value.strip() else None

        scaled = info.get("thumburl") is not None and info.get("thumbwidth") != info.get("width")
        facts = {
            "photo": info.get("thumburl" if scaled else "url"),
            "page": info.get("descriptionurl"),
            "author": stated("Artist"),
            "licence": stated("LicenseShortName"),
            "title": stated("ObjectName") or str(file.get("title", "")).removeprefix("File:"),
        }
        licence = parse_licence(stated("LicenseUrl"), stated("LicenseShortName"))
        return self._settings.reading(query, place, licence, facts)


def _check_wikimedia(answer: JsonAnswer) -> None:
    error = answer.get("error")
    if error is None:
        return
    code = error.get("code") if isinstance(error, dict) else error
    text = f"{error.get('info') if isinstance(error, dict) else error}"[:200]
    if code in _WIKIMEDIA_PASSING or str(code).startswith("internal_api_error"):
        raise PassingError(f"{code}: {text}", 5.0 if code == "maxlag" else None)
    raise FetchError(f"wikimedia refuses the request: {code}: {text}")


#: {kind of source: function that opens the search}.
SEARCHES: dict[str, Callable[[SearchSettings], PhotoSearch]] = {
    "openverse": Openverse,
    "wikimedia": Wikimedia,
    "flickr": Flickr,
}
