"""What a search finds, and what a search needs to know."""

from __future__ import annotations

import html.parser
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from sketchdata.annotations.record import Annotation
from sketchdata.annotations.url_list import checked_url
from sketchdata.errors import FormatError
from sketchdata.fetch import DEFAULT_POLICY, FetchPolicy
from sketchdata.formats.files import Fault
from sketchdata.photo_search.licences import Licence

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
