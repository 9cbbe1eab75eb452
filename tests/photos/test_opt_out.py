"""X-Robots-Tag: who opts out, and for whom."""

from __future__ import annotations

import pytest

from sketchdata.photos.crawl.middlewares import opt_out


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], None),
        ([""], None),
        (["all"], None),
        (["nofollow, noarchive"], None),
        (["noai"], "noai"),
        (["noimageai"], "noimageai"),
        (["NoIndex"], "noindex"),
        (["none"], "none"),
        (["noimageindex"], "noimageindex"),
        (["nofollow, noai"], "noai"),
        (["nofollow", "noindex"], "noindex"),
        (["sketchdata: noindex"], "noindex"),
        (["Sketchdata : noai"], "noai"),
        (["otherbot: noindex"], None),
        (["otherbot: nofollow, noindex"], None),
        (["otherbot: noindex", "noai"], "noai"),
        (["otherbot: noindex, sketchdata: noai"], "noai"),
        (["sketchdata: nofollow, noindex"], "noindex"),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST, noindex"], "noindex"),
        (["max-snippet: 20, noai"], "noai"),
        (["noindexing"], None),
    ],
)
def test_directives_count_for_everyone_and_for_us(headers: list[str], found: str | None) -> None:
    assert opt_out(headers, "sketchdata") == found
