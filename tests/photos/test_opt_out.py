"""X-Robots-Tag: who opts out, and for whom."""

from __future__ import annotations

import pytest

from sketchdata.photos.crawl.opt_outs import is_reserved, opt_out, reservations_of_tdmrep, signals_of_robots


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
        (["noml"], "noml"),
        (["nofollow; noai"], "noai"),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST, noindex"], "unavailable_after"),
        (["unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT"], "unavailable_after"),
        (["unavailable_after: Friday, 25-Jun-10 15:00:00 GMT"], "unavailable_after"),
        (["nofollow, unavailable_after: 2010-06-25"], "unavailable_after"),
        (["sketchdata: unavailable_after: 2010-06-25T12:00:00Z"], "unavailable_after"),
        (["otherbot: unavailable_after: 2010-06-25"], None),
        (["unavailable_after: Fri, 25 Jun 2100 15:00:00 GMT, noai"], "noai"),
        (["unavailable_after: 2100-06-25"], None),
        (["unavailable_after: soon"], None),
        (["max-snippet: 20, noai"], "noai"),
        (["noindexing"], None),
    ],
)
def test_directives_count_for_everyone_and_for_us(headers: list[str], found: str | None) -> None:
    assert opt_out(headers, "sketchdata") == found


@pytest.mark.parametrize(
    ("text", "reserved"),
    [
        ("User-agent: *\nContent-Signal: search=yes, ai-train=no\nAllow: /\n", True),
        ("User-Agent: *\r\nContent-signal: AI-Train = no\r\n", True),
        ("Content-Signal: ai-train=no\n", True),
        ("User-agent: *\nContent-Signal: search=no, ai-train=yes\n", False),
        ("User-agent: *\nContent-Signal: search=no\n", False),
        ("User-agent: *\n# Content-Signal: ai-train=no\nDisallow:\n", False),
        ("User-agent: a\nUser-agent: sketchdata\nContent-Signal: ai-train=no\n\nUser-agent: *\nAllow: /\n", True),
        ("User-agent: sketchdata\nAllow: /\n\nUser-agent: *\nContent-Signal: ai-train=no\n", False),
        ("User-agent: otherbot\nContent-Signal: ai-train=no\n", False),
        ("User-agent: *\nContent-Usage: train-ai=n\n", True),
        ("User-agent: *\nContent-Usage: /photos/ train-ai=n\n", True),
        ("User-agent: *\nContent-Usage: /texts/ train-ai=n\n", False),
    ],
)
def test_signals_of_robots_txt_count_in_the_group_that_is_ours(text: str, reserved: bool) -> None:
    assert is_reserved(signals_of_robots(text, "sketchdata"), "/photos/a.jpg") is reserved


@pytest.mark.parametrize(
    ("rules", "reserved"),
    [
        (b'[{"location": "/photos/", "tdm-reservation": 1}]', True),
        (b'\xef\xbb\xbf[{"location": "*", "tdm-reservation": 1, "tdm-policy": "https://a.test"}]', True),
        (b'[{"location": "/*.jpg$", "tdm-reservation": "1"}]', True),
        (b'[{"location": "photos", "tdm-reservation": 1}]', True),
        (b'{"location": "/", "tdm-reservation": 1}', True),
        (b'[{"tdm-reservation": 1}]', True),
        (b'[{"location": "/photos/", "tdm-reservation": 0}, {"location": "/", "tdm-reservation": 1}]', False),
        (b'[{"location": "/", "tdm-reservation": 0}, {"location": "/photos/", "tdm-reservation": 1}]', True),
        (b'[{"location": "/texts/", "tdm-reservation": 1}]', False),
        (b'[{"location": "/*.png$", "tdm-reservation": 1}]', False),
        (b'[{"location": "/a.jpg$", "tdm-reservation": 1}]', False),
        (b'[{"location": 7}, 8, null]', False),
        (b"<html>", False),
        (b"", False),
    ],
)
def test_reservations_count_where_their_location_matches(rules: bytes, reserved: bool) -> None:
    assert is_reserved(reservations_of_tdmrep(rules), "/photos/a.jpg") is reserved
