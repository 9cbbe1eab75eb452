"""X-Robots-Tag, by which a server says with its answer that a photo is not for collecting."""

from __future__ import annotations

from collections.abc import Iterable

#: noindex and none (both directives): Google's robots meta tag specification; noimageindex likewise; noai and
#: noimageai: DeviantArt's, by which hosts of photos opt out of training sets.
OPT_OUT = frozenset({"noai", "noimageai", "noimageindex", "noindex", "none"})

#: Directives with a value of their own, whose colon does not follow a robot's name.
_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


def opt_out(headers: Iterable[str], robot: str) -> str | None:
    """Return the first directive that keeps a photo from this robot, or None.

    A directive counts when it is for everyone or for this robot: `noai`, `sketchdata: noindex`. A name holds for what
    follows it in the same header: after `otherbot: nofollow, noindex`, neither counts against us.

    Args:
        headers: The values of the X-Robots-Tag headers.
        robot: The robot's name, in lower case.

    Source: developers.google.com/search/docs/crawling-indexing/robots-meta-tag, "Using the X-Robots-Tag HTTP header".
    """
    for header in headers:
        concerns_us = True
        for part in header.lower().split(","):
            name, colon, directive = (piece.strip() for piece in part.partition(":"))
            if not colon:
                directive = name
            elif name not in _WITH_VALUE:
                concerns_us = name == robot
            if concerns_us and directive in OPT_OUT:
                return directive
    return None
