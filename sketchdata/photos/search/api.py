"""What the searches of photos share: their record of a photo, licences, and requests with limits and a cache."""

from __future__ import annotations

import hashlib
import html.parser
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import httpx
import orjson

from sketchdata.errors import ConfigError, FetchError, FormatError
from sketchdata.formats.files import Fault
from sketchdata.names import names_in
from sketchdata.photos.annotations.record import Annotation
from sketchdata.photos.annotations.url_list import checked_url
from sketchdata.storage.fetch import DEFAULT_POLICY, FetchPolicy, retry_after, ssl_context
from sketchdata.storage.manifest import replacing

# Creative Commons' licences by their short codes, as the searches' answers name them in many ways.
# Source: creativecommons.org/share-your-work/cclicenses, whose addresses hold code, version and jurisdiction.

#: Those under which a photo and what is made of it may be given on, by anybody to anybody.
FREE = ("cc0", "pdm", "by", "by-sa")
CODES = (*FREE, "by-nd", "by-nc", "by-nc-sa", "by-nc-nd")
ANY = "any"

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
    """One of CODES with its version, and the country it was adapted to if it was."""

    code: str
    version: str | None = None
    place: str | None = None

    def __str__(self) -> str:
        """Return the name by which people know it, such as `CC BY-SA 4.0`."""
        if self.code == "cc0":
            return "CC0 1.0"
        if self.code == "pdm":
            # The mark has a version, and a work that is in the public domain for another reason has none.
            return "Public domain" if self.version is None else f"Public Domain Mark {self.version}"
        return " ".join(filter(None, ["CC", self.code.upper(), self.version, self.place]))


def parse_licence(*names: str | None) -> Licence | None:
    """Return the licence that the first recognizable of some names or addresses stands for; None when none is."""
    return next((found for name in names if name and (found := _parse(name.strip()))), None)


def _parse(name: str) -> Licence | None:
    if match := _LICENCE_URL.match(name) or _NAME.fullmatch(name):
        place = (match["place"] or "").upper()
        return Licence(code=match["code"].lower(), version=match["version"], place=place if len(place) == 2 else None)
    if match := _DOMAIN_URL.match(name):
        return Licence(code="cc0" if match["code"].lower() == "zero" else "pdm", version=match["version"])
    if _ZERO_NAME.fullmatch(name):
        return Licence(code="cc0")
    return Licence(code="pdm") if _DOMAIN_NAME.fullmatch(name) else None


def parse_filter(text: str) -> frozenset[str] | None:
    """Return the codes of a comma-separated list; None for `any`.

    Raises:
        ConfigError: There is no such licence, or none is named.
    """
    codes = set(names_in(text.lower()))
    if codes == {ANY}:
        return None
    if unknown := sorted(codes - set(CODES)) or ([] if codes else [""]):
        raise ConfigError(f"--licence {text!r}: {unknown[0]!r} is none of {', '.join(CODES)}, nor `{ANY}` alone")
    return frozenset(codes)


# What a search finds, and what a search needs to know.

#: Why a photo that was found is left out, though nothing is wrong with it.
OTHER_LICENCE, NO_PHOTO = "other licence", "no photo"

_MOST_TEXT = 300
#: What is looked at, so that nobody's text takes long.
_MOST_HTML = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """One photo that a search found.

    Attributes:
        url: The photo's address, of a size that is enough.
        page: The web page that it is shown on.
        author: Who made it, as plain text.
        licence: Its name, such as `CC BY 2.0`.
        title: What its author calls it, as plain text.
        width: In pixels, as the search says.
        height: In pixels, as the search says.
        where: Which search, page and result.
    """

    url: str
    page: str | None
    author: str | None
    licence: str | None
    title: str | None
    width: int | None
    height: int | None
    where: str

    def annotation(self, word: str) -> Annotation:
        """Return it as a photo of a class, without a box."""
        return Annotation(
            photo=self.url,
            category=word,
            box=None,
            where=self.where,
            page=self.page,
            author=self.author,
            licence=self.licence,
            title=self.title,
        )


Finding: TypeAlias = SearchResult | Fault


class PhotoSearch(Protocol):
    """One API that photos can be searched with."""

    def find(self, query: str) -> Iterator[Finding]:
        """Yield photos, the best first, asking for the next page only when this one is used up; or why not a photo.

        Raises:
            FetchError: The API gives no answer.
        """


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """What every search needs.

    Attributes:
        folder: Where answers are kept.
        user_agent: Who asks.
        licences: Codes of `licences.CODES` that photos may have; None for any.
        delay: Seconds between two questions to an API whose own pace is not known.
        environment: Keys and addresses of APIs, as in `os.environ`.
        policy: How patient to be.
    """

    folder: Path
    user_agent: str
    licences: frozenset[str] | None
    delay: float = 1.0
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    policy: FetchPolicy = DEFAULT_POLICY

    def lets_in(self, licence: Licence | None) -> bool:
        """Tell whether photos of a licence are wanted; one that could not be recognized only where any is."""
        return self.licences is None or (licence is not None and licence.code in self.licences)

    def address(self, variable: str, official: str, pause: float) -> tuple[str, float]:
        """Return an API's address, and the seconds between two questions that it wants.

        The variable is for mirrors and for tests; the official one's pace says nothing about them.
        """
        other = self.environment.get(variable)
        return (other, self.delay) if other else (official, max(pause, self.delay))


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What an API says about a photo, in its own words; whatever is no text is taken for missing."""

    url: object
    page: object = None
    author: object = None
    licence: Licence | None = None
    licence_name: object = None
    title: object = None
    width: object = None
    height: object = None


def result(facts: Facts, settings: SearchSettings, where: str) -> Finding:
    """Return a photo as a result, or why it is none."""
    if not settings.lets_in(facts.licence):
        name = plain_text(facts.licence_name)
        return Fault(where=where, reason=OTHER_LICENCE, detail=str(facts.licence or name or "none is stated"))
    try:
        url = checked_url(facts.url if isinstance(facts.url, str) else None)
    except FormatError as error:
        return Fault(where=where, reason=error.reason, detail=error.detail)
    return SearchResult(
        url=url,
        page=_web_page(facts.page),
        author=plain_text(facts.author),
        licence=str(facts.licence) if facts.licence else plain_text(facts.licence_name),
        title=plain_text(facts.title),
        width=_length(facts.width),
        height=_length(facts.height),
        where=where,
    )


def _web_page(value: object) -> str | None:
    try:
        return checked_url(value if isinstance(value, str) else None)
    except FormatError:
        return None


def _length(value: object) -> int | None:
    """Return a number of pixels; Flickr writes them as text too."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def plain_text(value: object) -> str | None:
    """Return what a stranger wrote as one short line of plain text; HTML's tags, scripts and styles are left out."""
    if not isinstance(value, str):
        return None
    reader = _Text()
    reader.feed(value[:_MOST_HTML])
    reader.close()
    # Control characters and the marks that turn the direction of writing would make a table unreadable, or a lie.
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]", " ", reader.text)
    text = " ".join(text.split())
    return (text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 1]}…") or None


class _Text(html.parser.HTMLParser):
    """Keeps the text of HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self._hidden = "", 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin to skip what is no text."""
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        """End skipping."""
        self._hidden -= tag in ("script", "style") and self._hidden > 0

    def handle_data(self, data: str) -> None:
        """Keep a piece of text."""
        if not self._hidden:
            self.text += data


# Asking a web API: one question at a time, not too fast, again after passing faults, and never the same one twice.

Answer = dict[str, Any]

#: The longest real pages have a few hundred kilobytes.
_MAX_BYTES = 16 << 20
_PASSING = (408, 425, 429)


class PassingError(Exception):
    """The API cannot answer now, and may in a while: after `retry_after` seconds, if it says so."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True, kw_only=True)
class Api:
    """Where an API is, and how it wants to be asked.

    Attributes:
        name: What people call it.
        address: Where questions go.
        user_agent: Who asks.
        pause: Seconds between two questions at least.
        headers: Sent with each question; they may hold a secret.
        secret: Parameters that are sent with each question and kept nowhere.
        advice: What to do when it refuses us.
        judge: Looks at an answer, and raises PassingError or FetchError when it is one only in form. What it returns
            does not matter.
    """

    name: str
    address: str
    user_agent: str
    pause: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    advice: str = "check the address"
    judge: Callable[[Answer], object] = bool


class Answers:
    """The answers of one API, each of which is kept in a folder as soon as it is there.

    Args:
        api: Who is asked.
        folder: Where answers are kept, so that a run that was stopped goes on where it was.
        policy: How patient to be.
    """

    def __init__(self, api: Api, folder: Path, policy: FetchPolicy) -> None:
        self.api, self.folder, self.policy = api, folder, policy
        self._last = -float("inf")

    def ask(self, question: Mapping[str, str]) -> Answer:
        """Return the answer to a question's parameters.

        Raises:
            FetchError: There is none after every try, it is refused, or it comes too late to wait for.
        """
        path = self._kept(question)
        try:
            answer: Answer = orjson.loads(path.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            answer = self._ask_until_answered(question)
            with replacing(path) as file:
                file.write(orjson.dumps(answer))
        return answer

    def _kept(self, question: Mapping[str, str]) -> Path:
        asked = orjson.dumps([self.api.address, sorted(question.items())])
        return self.folder / self.api.name / f"{hashlib.sha256(asked).hexdigest()[:32]}.json"

    def _ask_until_answered(self, question: Mapping[str, str]) -> Answer:
        for failures in range(1, self.policy.tries + 1):
            try:
                return self._ask_once(question)
            except PassingError as fault:
                if failures == self.policy.tries:
                    raise FetchError(
                        f"{self.api.name} gave no answer in {failures} tries; the last time: {fault}. What was found "
                        "is kept, and the same command goes on from there"
                    ) from fault
                self._wait(fault, failures)
        raise AssertionError("every try ends in an answer or an error")

    def _wait(self, fault: PassingError, failures: int) -> None:
        asked = fault.retry_after or 0.0
        if asked > self.policy.longest_retry_after:
            raise FetchError(
                f"{self.api.name} wants to be asked again in {asked / 60:,.0f} minutes at the earliest ({fault}). "
                "What was found is kept: run the same command then"
            ) from fault
        time.sleep(max(asked, min(self.policy.longest_pause, self.policy.pause_seconds * 2 ** (failures - 1))))

    def _ask_once(self, question: Mapping[str, str]) -> Answer:
        time.sleep(max(0.0, self._last + self.api.pause - time.monotonic()))
        try:
            with self._request({**question, **self.api.secret}) as response:
                body = _read(response)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.DecodingError) as error:
            raise FetchError(f"{self.api.name} cannot be asked at {self.api.address}: {error}") from error
        except httpx.TransportError as error:
            raise PassingError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error
        finally:
            self._last = time.monotonic()
        if response.status_code != 200:
            self._refuse(response, body)
        answer = _parse_answers(body)
        self.api.judge(answer)
        return answer

    def _request(self, parameters: Mapping[str, str]) -> AbstractContextManager[httpx.Response]:
        # A connection a question, since with the pause between them a server need not keep one open for us.
        return httpx.stream(
            "GET",
            self.api.address,
            params=parameters,
            headers={"User-Agent": self.api.user_agent, "Accept": "application/json", **self.api.headers},
            timeout=httpx.Timeout(self.policy.read_seconds, connect=self.policy.connect_seconds),
            verify=ssl_context(),
        )

    def _refuse(self, response: httpx.Response, body: bytes) -> None:
        status = f"status {response.status_code} {response.reason_phrase}"
        if response.status_code in _PASSING or response.status_code >= 500:
            raise PassingError(status, retry_after(response))
        said = body[:200].decode("utf-8", "replace").strip()
        raise FetchError(
            f"{self.api.name} refuses to answer at {self.api.address}: {status}, {said}; {self.api.advice}"
        )


def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    for block in response.iter_bytes():
        body += block
        if len(body) > _MAX_BYTES:
            raise FetchError(f"an answer of {response.url.host} has more than {_MAX_BYTES:,} bytes: check the address")
    return bytes(body)


def _parse_answers(body: bytes) -> Answer:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise PassingError(f"the answer is no JSON: {error}, in {body[:60]!r}") from error
    if not isinstance(answer, dict):
        raise PassingError(f"the answer is {body[:60]!r} where an object was expected")
    return answer
