"""The curation page's server, asked by other means than its own page: it refuses, and says why."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sketchdata.curation.audit import Audit
from sketchdata.curation.decisions import DecisionLog
from tests.commands import sketchdata
from tests.quickdraw_builds import build, generate
from tests.web.browsing import Served, serving

pytest.importorskip("fastapi", reason="the curation page needs the extra `web`")

LOG = "audit/decisions.jsonl"


@pytest.fixture(scope="module")
def served(audited: Path) -> Iterator[Served]:
    with serving(audited) as server:
        yield server


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    origin = served.url.rstrip("/")
    with httpx.Client(base_url=served.url, headers={"Origin": origin}, trust_env=False) as opened:
        yield opened


def error_of(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    return str(response.json()["error"])


# ---- other sites -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8765", "127.0.0.1.evil.example", "", "[::1"])
def test_a_name_that_somebody_else_gave_this_address_is_refused(client: httpx.Client, host: str) -> None:
    assert "open the page by its address" in error_of(client.get("/api/overview", headers={"Host": host}), 403)


@pytest.mark.slow
@pytest.mark.parametrize("host", ["localhost:1234", "127.0.0.1", "[::1]:8765", "192.168.1.5:8765"])
def test_addresses_and_localhost_are_served(client: httpx.Client, host: str) -> None:
    assert client.get("/api/overview", headers={"Host": host}).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", ""])
def test_another_sites_page_cannot_decide(client: httpx.Client, audit: Audit, audited: Path, origin: str) -> None:
    verdict = {"ids": [str(audit.key_id[0])], "verdict": "drop"}
    assert "own page" in error_of(client.post("/api/decisions", json=verdict, headers={"Origin": origin}), 403)
    assert not (audited / LOG).exists()


@pytest.mark.slow
def test_a_form_of_another_kind_cannot_decide(client: httpx.Client) -> None:
    assert error_of(client.post("/api/decisions", content='{"ids": ["1"], "verdict": "drop"}'), 415) == "expected JSON"


@pytest.mark.slow
def test_no_other_site_is_asked_for_anything(client: httpx.Client) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in page.text.replace("http-equiv", "")
    assert [client.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")] == [404, 404, 404]


# ---- wrong requests --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../server.py", "..%2fserver.py", "%2e%2e/server.py", "/etc/passwd", "nothing.js"])
def test_only_the_pages_own_files_are_served(client: httpx.Client, name: str) -> None:
    response = client.get(f"/static/{name}")
    assert response.status_code == 404
    assert "import" not in response.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/classes/4/items", 404, "there is no class 4"),
        ("/api/classes/-1/items", 404, "there is no class -1"),
        ("/api/classes/x/items", 422, "label: Input should be a valid integer"),
        ("/api/classes/0/pictures?positions=111", 422, "at most 200 positions"),
        ("/api/classes/0/pictures?positions=-1", 422, "positions: String should match"),
        ("/api/classes/0/pictures?positions=" + ",".join(["0"] * 201), 422, "at most 200 positions"),
        ("/api/decisions?after=7", 409, "no line that begins at byte 7"),
    ],
)
def test_what_does_not_exist_is_named(client: httpx.Client, path: str, status: int, said: str) -> None:
    assert said in error_of(client.get(path), status)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verdict", "status", "said"),
    [
        ({"ids": ["1"], "verdict": "drop"}, 422, "has no drawing 1"),
        ({"ids": ["one"], "verdict": "drop"}, 422, "not a key_id"),
        ({"ids": [], "verdict": "drop"}, 422, "ids: List should have at least 1 item"),
        ({"ids": ["KNOWN"], "verdict": "burn"}, 422, "unknown verdict"),
        ({"ids": ["KNOWN"], "verdict": "drop", "reason": "x" * 501}, 422, "reason is too long"),
        ({"ids": ["KNOWN", "2"], "verdict": "drop"}, 422, "has no drawing 2"),
        ({"ids": ["KNOWN"], "verdict": "relabel"}, 422, "must name the new class"),
        ({"ids": ["KNOWN"], "verdict": "relabel", "word": "mug"}, 422, "cannot be relabelled to 'mug'"),
        ({"ids": ["1"] * 700_000, "verdict": "drop"}, 413, "select fewer drawings"),
    ],
)
def test_what_cannot_be_decided_is_refused_and_nothing_of_it_is_written(
    client: httpx.Client, audit: Audit, audited: Path, verdict: dict[str, object], status: int, said: str
) -> None:
    ids = verdict["ids"]
    assert isinstance(ids, list)
    known = [str(audit.key_id[0]) if each == "KNOWN" else each for each in ids]
    assert said in error_of(client.post("/api/decisions", json={**verdict, "ids": known}), status)
    assert not (audited / LOG).exists()


# ---- decisions -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_decision_is_on_disk_when_it_is_acknowledged_and_everybody_hears_of_it(audit: Audit, dataset: Path) -> None:
    ids = [int(each) for each in audit.key_id[[5, 300]]]
    with serving(dataset, who="grace") as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        verdict = {"ids": [str(each) for each in ids], "verdict": "drop", "reason": "a word"}
        headers = {"Origin": server.url.rstrip("/")}
        assert client.post("/api/decisions", json=verdict, headers=headers).json() == {"saved": 2}
        server.process.kill()
        decisions = DecisionLog(dataset / LOG).read()
        assert [(d.key_id, d.who, d.verdict, d.reason) for d in decisions] == [
            (i, "grace", "drop", "a word") for i in ids
        ]
        assert len({d.batch for d in decisions}) == 1
    with serving(dataset) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        heard = client.get("/api/decisions").json()
        assert [(d["id"], d["label"], d["verdict"], d["who"]) for d in heard["decisions"]] == [
            (str(i), int(audit.label[row]), "drop", "grace") for i, row in zip(ids, (5, 300), strict=True)
        ]
        undo = {"ids": [str(ids[0])], "verdict": "undo"}
        client.post("/api/decisions", json=undo, headers={"Origin": server.url.rstrip("/")}).raise_for_status()
        later = client.get("/api/decisions", params={"after": heard["offset"]}).json()["decisions"]
        assert later == [{"id": str(ids[0]), "label": int(audit.label[5]), "verdict": None}]


# ---- the commands ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("report",), ("serve", "--no-open", "--port", 0)])
def test_without_an_audit_the_command_says_which_one_to_run(tmp_path: Path, command: tuple[object, ...]) -> None:
    build(generate(tmp_path / "source"), tmp_path / "out")
    done = sketchdata("audit", command[0], tmp_path / "out", *command[1:], expect=1)
    assert f"run `sketchdata audit entropy {tmp_path / 'out'}`" in done.stderr


def test_a_port_that_is_taken_is_named(audited: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = sketchdata("audit", "serve", audited, "--no-open", "--port", port, expect=1)
    assert f"cannot listen on 127.0.0.1, port {port}" in done.stderr
    assert "choose another --port" in done.stderr


@pytest.mark.slow
def test_without_the_extra_the_command_names_it(audited: Path) -> None:
    program = f"import sys; sys.modules['fastapi'] = None; sys.argv[1:] = ['audit', 'serve', {str(audited)!r}]\n"
    program += "from sketchdata.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "pip install 'sketchdata[web]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_ctrl_c_ends_the_server_without_a_complaint(audited: Path) -> None:
    with serving(audited) as server:
        httpx.get(server.url, trust_env=False).raise_for_status()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=20) == 0


def test_report_says_where_it_is_and_how_large(dataset: Path) -> None:
    done = sketchdata("audit", "report", dataset)
    assert done.stdout.startswith(f"{dataset / 'audit/report.html'}: ")
