"""Openverse: openly licensed photos of many collections.

Source: api.openverse.org/v1/ (image search, OAuth2) and docs.openverse.org/api/reference/authentication_and_throttling;
its terms ask not to evade the limits. Without a token it lets in 20 questions a minute and 200 a day, of 20 results.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import orjson

from sketchdata.errors import ConfigError, FetchError
from sketchdata.photo_search.answers import Answers, Api
from sketchdata.photo_search.licences import parse_licence
from sketchdata.photo_search.record import Facts, Finding, SearchSettings, result

ADDRESS = "https://api.openverse.org"
#: Results on a page, with and without a token, and pages at most: what the API lets in.
_PAGE_SIZE, _ANONYMOUS_PAGE_SIZE, _MAX_PAGES = 50, 20, 20
_ADVICE = (
    "check OPENVERSE_TOKEN, or OPENVERSE_CLIENT_ID and OPENVERSE_CLIENT_SECRET; without them fewer questions are let in"
)


class Openverse:
    """Searches photos with Openverse.

    In the environment, OPENVERSE_TOKEN is a bearer token, or OPENVERSE_CLIENT_ID and OPENVERSE_CLIENT_SECRET get one;
    OPENVERSE_API is another address.

    Raises:
        ConfigError: One of the two is there without the other.
        FetchError: They get no token.
    """

    def __init__(self, settings: SearchSettings) -> None:
        self.settings = settings
        self._with_key = bool({"OPENVERSE_TOKEN", "OPENVERSE_CLIENT_ID"} & set(settings.environment))
        address, pause = settings.address("OPENVERSE_API", ADDRESS, 0.6 if self._with_key else 3.0)
        token = _token(settings, address)
        api = Api(
            name="openverse",
            address=f"{address.rstrip('/')}/v1/images/",
            user_agent=settings.user_agent,
            pause=pause,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            advice=_ADVICE,
        )
        self._answers = Answers(api, settings.folder, settings.policy)

    def find(self, query: str) -> Iterator[Finding]:
        """Yield photos that Openverse finds, the best first."""
        size = _PAGE_SIZE if self._with_key else _ANONYMOUS_PAGE_SIZE
        question = {"q": query, "page_size": str(size), "mature": "false"}
        if self.settings.licences is not None:
            question["license"] = ",".join(sorted(self.settings.licences))
        for page in range(1, _MAX_PAGES + 1):
            answer = self._answers.ask({**question, "page": str(page)})
            results = answer.get("results")
            for number, found in enumerate(results if isinstance(results, list) else [], 1):
                yield self._result(found, f"openverse: {query}, page {page}, result {number}")
            pages = answer.get("page_count")
            if not results or not isinstance(pages, int) or page >= pages:
                return

    def _result(self, found: object, where: str) -> Finding:
        values = found if isinstance(found, dict) else {}
        code, version = values.get("license"), values.get("license_version")
        named = f"{code} {version}" if code in ("cc0", "pdm") else f"cc {code} {version}"
        facts = Facts(
            url=values.get("url"),
            page=values.get("foreign_landing_url"),
            author=values.get("creator"),
            licence=parse_licence(
                values.get("license_url") if isinstance(values.get("license_url"), str) else "", named
            ),
            licence_name=code,
            title=values.get("title"),
            width=values.get("width"),
            height=values.get("height"),
        )
        return result(facts, self.settings, where)


def _token(settings: SearchSettings, address: str) -> str | None:
    """Return the bearer token, getting one by the client's id and secret where need be."""
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
        raise FetchError(f"openverse gives no token at {address}: {error}; {_ADVICE}") from error
    if not isinstance(token, str):
        raise FetchError(f"openverse gives no token at {address}: status {response.status_code}; {_ADVICE}")
    return token
