"""Opt-outs of owners from training sets: X-Robots-Tag, Content-Signal and TDM reservations."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import orjson

#: (pattern of paths, whether matching paths are reserved).
Reservations = list[tuple[str, bool]]

#: noindex, noimageindex and none: Google's robots meta tag specification; noai, noimageai and noml: used by photo hosts
#: such as DeviantArt to opt out of training sets.
OPT_OUT = frozenset({"noai", "noimageai", "noimageindex", "noindex", "noml", "none"})
_UNAVAILABLE = "unavailable_after"
#: Directives with a value, in which a colon does not follow a robot's name.
_WITH_VALUE = frozenset({_UNAVAILABLE, "max-snippet", "max-image-preview", "max-video-preview"})
#: The weekday of a date, whose comma does not separate directives.
_WEEKDAY = re.compile(r"\b(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,\s*")
#: {line of robots.txt, and header: directives that forbid training}. Sources: contentsignals.org;
#: draft-ietf-aipref-attach.
_SIGNALS = {"content-signal": ("ai-train", "no"), "content-usage": ("train-ai", "n")}


def opt_out(headers: Iterable[str], robot: str) -> str | None:
    """Return the first directive that forbids a photo to this robot, or None.

    A directive applies if it is for everyone or for this robot: `noai`, `sketchdata: noindex`. A name applies to all
        directives after it in the same header: neither of `otherbot: nofollow, noindex` is for us. `unavailable_after`
            applies if its date is past.

    Args:
        headers: The values of the X-Robots-Tag headers.
        robot: The robot's name, in lower case.

    Source: developers.google.com/search/docs/crawling-indexing/robots-meta-tag, "Using the X-Robots-Tag HTTP header".
    """
    for header in headers:
        concerns_us = True
        for part in re.split("[,;]", _WEEKDAY.sub("", header.lower())):
            name, colon, value = (piece.strip() for piece in part.partition(":"))
            if colon and name not in _WITH_VALUE:
                concerns_us = name == robot
                name, _, value = (piece.strip() for piece in value.partition(":"))
            if concerns_us and (name in OPT_OUT or (name == _UNAVAILABLE and _is_past(value))):
                return name
    return None


def _is_past(date: str) -> bool:
    """Return whether a date of RFC 822, RFC 850 or ISO 8601 is past; text that is not a date is not past."""
    for parse in (parsedate_to_datetime, lambda text: datetime.fromisoformat(text.replace("z", "+00:00"))):
        try:
            moment = parse(date)
        except (ValueError, TypeError, OverflowError):
            continue
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)) < datetime.now(timezone.utc)
    return False


def opt_out_of_headers(values: Callable[[str], Iterable[str]], robot: str) -> str | None:
    """Return the header that forbids a photo to this robot, or None.

    Args:
        values: Function that returns the values of the headers with a name.
        robot: The robot's name, in lower case.
    """
    if (directive := opt_out(values("X-Robots-Tag"), robot)) is not None:
        return f"X-Robots-Tag: {directive}"
    if any(value.strip() == "1" for value in values("TDM-Reservation")):
        return "TDM-Reservation: 1"
    for name, (key, forbidding) in _SIGNALS.items():
        if any(_signal(value, name) for value in values(name)):
            return f"{name.title()}: {key}={forbidding}"
    return None


def _signal(text: str, name: str) -> bool | None:
    """Return whether a list such as `search=yes, ai-train=no` forbids training; None if it does not say."""
    key, forbidding = _SIGNALS[name]
    pairs = [[side.strip().lower() for side in pair.partition("=")[::2]] for pair in re.split("[,;]", text)]
    found = [value for own, value in pairs if own == key]
    return forbidding in found if found else None


def signals_of_robots(text: str, robot: str) -> Reservations:
    """Return the reservations by the signals of a robots.txt, in the group of this robot, or else in that for all.

    A signal may start with its path: `Content-Usage: /photos/ train-ai=n`.
    """
    groups: dict[str, Reservations] = {}
    agents, complete = ["*"], True
    for line in text.splitlines():
        name, colon, value = (piece.strip() for piece in line.partition("#")[0].partition(":"))
        name = name.lower()
        if name == "user-agent":
            agents = [] if complete else agents
            complete = False
            agents.append(value.partition("/")[0].strip().lower())
            groups.setdefault(agents[-1], [])
        elif colon:
            complete = True
            if name in _SIGNALS:
                path, _, rest = value.partition(" ") if value.startswith("/") else ("/", "", value)
                if (forbids := _signal(rest, name)) is not None:
                    for agent in agents:
                        groups.setdefault(agent, []).append((path, forbids))
    return groups.get(robot, groups.get("*", []))


def reservations_of_tdmrep(body: bytes) -> Reservations:
    """Return the reservations of a /.well-known/tdmrep.json; empty if the content is something else.

    Source: w3.org/community/reports/tdmrep, "TDM Reservation Protocol".
    """
    try:
        rules = orjson.loads(body.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError:
        return []
    found = []
    for rule in rules if isinstance(rules, list) else [rules]:
        if isinstance(rule, dict) and isinstance(location := rule.get("location", "/"), str):
            pattern = location if location.startswith(("/", "*")) else f"/{location}"
            found.append((pattern, str(rule.get("tdm-reservation")) in ("1", "True")))
    return found


def is_reserved(reservations: Reservations, path: str) -> bool:
    """Return whether a path is reserved, by the first or by the most specific matching pattern."""
    matching = [rule for rule in reservations if _matches(rule[0], path)]
    return bool(matching) and (matching[0][1] or max(matching, key=lambda rule: (len(rule[0]), rule[1]))[1])


def _matches(pattern: str, path: str) -> bool:
    """Return whether a path starts with a pattern, in which * matches anything and a final $ the end of the path.

    Source: RFC 9309, section 2.2.3.
    """
    first, *others = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    at = len(first)
    last = others.pop() if others and pattern.endswith("$") else ""
    for piece in others:
        if (found := path.find(piece, at)) < 0:
            return False
        at = found + len(piece)
    if not pattern.endswith("$"):
        return True
    return path.endswith(last) and len(path) - len(last) >= at if "*" in pattern else at == len(path)
