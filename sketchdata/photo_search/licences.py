"""Creative Commons' licences by their short codes, as the searches' answers name them in many ways.

Source: creativecommons.org/share-your-work/cclicenses, whose addresses hold code, version and jurisdiction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sketchdata.errors import ConfigError
from sketchdata.names import names_in

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
