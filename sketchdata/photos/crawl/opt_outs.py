"""How owners say that a photo is not for training sets: X-Robots-Tag, Content-Signal and TDM reservations."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import orjson

#: (pattern of paths, whether what matches it is reserved).
Reservations = list[tuple[str, bool]]

#: noindex, noimageindex and none: Google's robots meta tag specification; noai, noimageai and noml: by which hosts of
#: photos, such as DeviantArt, opt out of training sets.
OPT_OUT = frozenset({"noai", "noimageai", "noimageindex", "noindex", "noml", "none"})
_UNAVAILABLE = "unavailable_after"
#: Directives with a value of their own, whose colon does not follow a robot's name.
_WITH_VALUE = frozenset({_UNAVAILABLE, "max-snippet", "max-image-preview", "max-video-preview"})
#: The day of the week of a date, whose comma does not separate directives.
_WEEKDAY = re.compile(r"\b(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,\s*")
#: {line of robots.txt, and header: what in it forbids training}. Sources: contentsignals.org; draft-ietf-aipref-attach.
_SIGNALS = {"content-signal": ("ai-train", "no"), "content-usage": ("train-ai", "n")}


def opt_out(headers: Iterable[str], robot: str) -> str | None:
    """Return the first directive that keeps a photo from this robot, or None.

    A directive counts when it is for everyone or for this robot: `noai`, `sketchdata: noindex`. A name applies to what
    follows it in the same header: of `otherbot: nofollow, noindex`, neither counts for us. `unavailable_after` counts
    when its date is past.

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
    """Return the header that keeps a photo from this robot, or None.

    Args:
        values: Returns the values of the headers of a name.
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
    """Return whether a list such as `search=yes, ai-train=no` forbids training; None when it says nothing of it."""
    key, forbidding = _SIGNALS[name]
    pairs = [[side.strip().lower() for side in pair.partition("=")[::2]] for pair in re.split("[,;]", text)]
    found = [value for own, value in pairs if own == key]
    return forbidding in found if found else None


def signals_of_robots(text: str, robot: str) -> Reservations:
    """Return what the signals of a robots.txt reserve, in the group of this robot, else in that of all.

    A signal may begin with the paths that it is for: `Content-Usage: /photos/ train-ai=n`.
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
    """Return what a /.well-known/tdmrep.json reserves; nothing when it is something else.

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
    """Return whether a path is reserved by the first or by the most specific pattern that it matches."""
    matching = [rule for rule in reservations if _matches(rule[0], path)]
    return bool(matching) and (matching[0][1] or max(matching, key=lambda rule: (len(rule[0]), rule[1]))[1])


def _matches(pattern: str, path: str) -> bool:
    """Return whether a path begins with a pattern, where * stands for anything and a last $ for the path's end.

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
