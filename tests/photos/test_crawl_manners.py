"""Manners: robots.txt, an honest name, pauses, and no more requests than were agreed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sketchdata import __version__
from sketchdata.errors import ConfigError
from sketchdata.photos.crawl import CrawlOptions, PhotoOutcome, crawl
from sketchdata.photos.crawl.middlewares import MOST_SILENCES
from sketchdata.storage.fetch import retry_after
from tests.photo_servers import PhotoServer, photo_of

OPTIONS = CrawlOptions(
    contact="photos@example.org",
    delay=0.2,
    allow_private=True,
    timeout=20,
    fetch_retries=2,
    concurrency=32,
    concurrency_per_host=2,
)
#: Each on an address of its own, since manners are due to a host.
HOSTS = (
    *("usual", "elsewhere", "without", "broken", "moved", "ours", "others", "slow", "busy", "closed", "packed"),
    *("marked", "reserved", "signal"),
)


class Visit:
    """One crawl over several hosts that differ in what they ask of a visitor."""

    def __init__(self, servers: dict[str, PhotoServer], proxy: PhotoServer, folder: Path) -> None:
        self.servers, self.proxy = servers, proxy
        self._prepare()
        photos = [server.url(f"/{number}.jpg") for server in servers.values() for number in range(4)]
        usual = servers["usual"]
        odd = ["/forbidden/a.jpg", "/over", "/cookie", "/again"]
        self.outcomes = crawl([*photos, *(usual.url(path) for path in odd)], folder, OPTIONS)

    def _prepare(self) -> None:
        servers = self.servers
        servers["usual"].robots = "User-agent: *\nDisallow: /forbidden/\n"
        servers["usual"].answer("/over", redirect=servers["elsewhere"].url("/forbidden/b.jpg"))
        servers["usual"].answer("/cookie", redirect="/again", headers=(("Set-Cookie", "visitor=1; Path=/"),))
        servers["usual"].answer("/again", body=photo_of("/again"))
        servers["elsewhere"].robots = "User-agent: *\nDisallow: /forbidden/\n"
        servers["without"].robots = None
        servers["broken"].answer("/robots.txt", status=503)
        servers["moved"].answer("/robots.txt", redirect=servers["ours"].url("/robots.txt"))
        servers["ours"].robots = "User-agent: *\nDisallow:\n\nUser-agent: sketchdata\nDisallow: /\n"
        servers["others"].robots = "User-agent: otherbot\nDisallow: /\n"
        servers["slow"].robots = "User-agent: *\nCrawl-delay: 1\n"
        servers["busy"].answer("/0.jpg", status=429, retry_after="2", times=1)
        servers["closed"].answer("/robots.txt", status=404)
        for number in range(4):
            servers["closed"].answer(f"/{number}.jpg", status=429, retry_after="3600")
        servers["marked"].answer("/.well-known/tdmrep.json", status=503)
        servers["marked"].robots = "\ufeffUser-agent: *\r\nDisallow: /0.jpg\r\n"
        rules = b'[{"location": "/1.jpg", "tdm-reservation": 1}, {"location": "/", "tdm-reservation": 0}]'
        servers["reserved"].answer("/.well-known/tdmrep.json", body=rules, content_type="application/json")
        servers["reserved"].answer("/2.jpg", headers=(("tdm-reservation", "1"),))
        servers["reserved"].answer("/3.jpg", headers=(("Content-Signal", "search=yes, ai-train=no"),))
        servers["signal"].robots = "User-agent: *\nContent-Signal: ai-train=no\nAllow: /\n"
        # Longer than is read of it, with the rule that counts in the part that is.
        servers["packed"].robots = "User-agent: *\nDisallow: /0.jpg\n" + "# and so on\n" * 100_000

    def verdicts(self, host: str) -> list[tuple[str, str | None]]:
        found = [self.outcomes[self.servers[host].url(f"/{number}.jpg")] for number in range(4)]
        return [(each.status, each.error) for each in found]

    def outcome(self, host: str, path: str) -> PhotoOutcome:
        return self.outcomes[self.servers[host].url(path)]


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        servers = {name: stack.enter_context(PhotoServer(f"127.0.0.{2 + n}")) for n, name in enumerate(HOSTS)}
        proxy = stack.enter_context(PhotoServer())
        for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            patch.setenv(variable, proxy.url(""))
        yield Visit(servers, proxy, tmp_path_factory.mktemp("photos"))


OK = ("ok", None)


@pytest.mark.slow
def test_what_robots_txt_forbids_is_not_asked_for(visit: Visit) -> None:
    assert visit.verdicts("usual") == [OK] * 4
    assert visit.outcome("usual", "/forbidden/a.jpg").error == "robots.txt"
    assert "/forbidden/a.jpg" not in visit.servers["usual"].paths()


@pytest.mark.slow
def test_robots_txt_is_obeyed_where_a_redirect_leads(visit: Visit) -> None:
    found = visit.outcome("usual", "/over")
    assert (found.status, found.error) == ("refused", "robots.txt")
    assert found.final_url == visit.servers["elsewhere"].url("/forbidden/b.jpg")
    assert "/forbidden/b.jpg" not in visit.servers["elsewhere"].paths()


@pytest.mark.slow
def test_every_host_is_asked_for_robots_txt_first(visit: Visit) -> None:
    assert {server.paths()[0] for server in visit.servers.values()} == {"/robots.txt"}
    # The host behind another's redirect is asked for it on the other's behalf, too; one that is broken is tried again.
    assert {name: server.paths().count("/robots.txt") for name, server in visit.servers.items()} == {
        **dict.fromkeys(HOSTS, 1),
        "ours": 2,
        "broken": 3,
    }


@pytest.mark.slow
def test_no_robots_txt_allows_everything(visit: Visit) -> None:
    assert visit.verdicts("without") == [OK] * 4


@pytest.mark.slow
def test_a_robots_txt_that_cannot_be_had_forbids_everything(visit: Visit) -> None:
    assert visit.verdicts("broken") == [("failed", "robots.txt unreachable")] * 4
    assert visit.servers["broken"].photos_asked() == []


@pytest.mark.slow
def test_rules_for_our_name_count_and_rules_for_others_do_not(visit: Visit) -> None:
    assert visit.verdicts("ours") == [("refused", "robots.txt")] * 4
    assert visit.verdicts("others") == [OK] * 4


@pytest.mark.slow
def test_a_robots_txt_may_be_elsewhere(visit: Visit) -> None:
    assert visit.verdicts("moved") == [("refused", "robots.txt")] * 4
    assert visit.servers["moved"].photos_asked() == []


@pytest.mark.slow
def test_a_robots_txt_without_end_is_read_as_far_as_need_be(visit: Visit) -> None:
    assert visit.verdicts("packed") == [("refused", "robots.txt"), OK, OK, OK]


@pytest.mark.slow
def test_a_byte_order_mark_does_not_hide_rules(visit: Visit) -> None:
    assert visit.verdicts("marked") == [("refused", "robots.txt"), OK, OK, OK]


def test_a_server_in_trouble_with_its_reservations_is_asked_for_them_once(visit: Visit) -> None:
    assert visit.servers["marked"].paths().count("/.well-known/tdmrep.json") == 1


@pytest.mark.slow
def test_reservations_and_signals_are_opt_outs(visit: Visit) -> None:
    out = ("refused", "opt-out")
    assert visit.verdicts("reserved") == [OK, out, out, out]
    assert "/1.jpg" not in visit.servers["reserved"].paths()
    assert visit.verdicts("signal") == [out] * 4
    assert visit.servers["signal"].photos_asked() == []


@pytest.mark.slow
def test_requests_say_who_asks_and_nothing_else(visit: Visit) -> None:
    asked = [each for server in visit.servers.values() for each in server.requests]
    assert {each.headers["user-agent"] for each in asked} == {f"sketchdata/{__version__} (+photos@example.org)"}
    assert visit.outcome("usual", "/cookie").status == "ok"
    assert [each for each in asked if {"cookie", "referer", "authorization"} & set(each.headers)] == []


@pytest.mark.slow
def test_proxies_of_the_environment_are_not_used(visit: Visit) -> None:
    assert visit.proxy.requests == []


@pytest.mark.slow
def test_a_host_is_asked_one_request_after_another(visit: Visit) -> None:
    for server in visit.servers.values():
        assert server.most_at_once <= OPTIONS.concurrency_per_host
    # Four photos after robots.txt, each after the delay, which varies by half.
    assert seconds_between_all(visit.servers["without"]) > 4 * OPTIONS.delay / 2 - 0.1


@pytest.mark.slow
def test_a_crawl_delay_is_kept(visit: Visit) -> None:
    assert visit.verdicts("slow") == [OK] * 4
    # Three of the pauses at least: the first request may go out together with the reading of the rules.
    assert seconds_between_all(visit.servers["slow"]) > 2.5


@pytest.mark.slow
def test_retry_after_is_waited_for_by_all_requests_to_the_host(visit: Visit) -> None:
    busy = visit.servers["busy"]
    assert visit.verdicts("busy") == [OK] * 4
    told = busy.moments("/0.jpg")[0]
    # One may have been under way.
    assert len([each for each in busy.requests if told < each.moment < told + 1.9]) <= 1
    assert busy.moments("/0.jpg")[1] - told > 1.9


@pytest.mark.slow
def test_a_host_that_wants_to_be_left_alone_for_long_is(visit: Visit) -> None:
    assert visit.verdicts("closed") == [("failed", "http 429")] * 4
    assert len(visit.servers["closed"].photos_asked()) <= OPTIONS.concurrency_per_host


@pytest.mark.slow
def test_a_host_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    options = CrawlOptions(delay=0, allow_private=True, fetch_retries=0, concurrency_per_host=1)
    with PhotoServer() as server:
        urls = [server.answer(f"/{number}", hang_up=True) for number in range(30)]
        outcomes = crawl(urls, tmp_path, options).values()
        assert {(found.status, found.error) for found in outcomes} == {("failed", "connection broken")}
        # One may have been under way.
        assert MOST_SILENCES <= len({*server.photos_asked()}) <= MOST_SILENCES + 1
        assert "given up" in max(str(found.detail) for found in outcomes)


def seconds_between_all(server: PhotoServer) -> float:
    """Return the time from a server's first to its last request; single ones may be noticed late on a busy machine."""
    moments = [each.moment for each in server.requests]
    return max(moments) - min(moments)


@pytest.mark.parametrize("value", ["", "soon", "-5", "1.5"])
def test_a_retry_after_that_says_nothing_is_none(value: str) -> None:
    assert retry_after(value) is None


def test_a_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after(" 120 ") == 120
    assert retry_after("Thu, 01 Jan 1970 00:00:00 GMT") == 0
    assert (retry_after("Fri, 01 Jan 2100 00:00:00 GMT") or 0) > 1e9


@pytest.mark.parametrize("contact", ["me@example.org", "https://example.org/photos?x=1"])
def test_a_contact_is_in_the_user_agent(contact: str) -> None:
    assert CrawlOptions(contact=contact).user_agent == f"sketchdata/{__version__} (+{contact})"
    assert CrawlOptions().user_agent == f"sketchdata/{__version__}"


@pytest.mark.parametrize(
    "options",
    [
        {"contact": ""},
        {"contact": "nobody"},
        {"contact": "me@example.org\r\nX-Evil: 1"},
        {"contact": "me@example.org) Mozilla/5.0 ("},
        {"contact": "mé@example.org"},
        {"concurrency": 0},
        {"delay": -1.0},
        {"delay": float("nan")},
        {"max_bytes": 0},
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        CrawlOptions(**options)
