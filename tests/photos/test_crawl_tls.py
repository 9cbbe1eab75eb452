"""https: a certificate that nobody vouches for ends the connection before anything is asked."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sketchdata.photos.crawl import CrawlOptions, crawl
from tests.photo_servers import PhotoServer

OPTIONS = CrawlOptions(delay=0, allow_private=True, fetch_retries=0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a PEM file with a key and a certificate for localhost that it has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "localhost.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.slow
@pytest.mark.parametrize("trusted", [False, True])
def test_https_needs_a_certificate_that_the_system_trusts(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with PhotoServer(certificate=str(certificate)) as server:
        url = server.url("/a.jpg", "localhost")
        found = crawl([url], tmp_path, OPTIONS)[url]
    assert (found.status, found.error) == (("ok", None) if trusted else ("failed", "no secure connection"))
    assert server.paths() == (["/robots.txt", "/.well-known/tdmrep.json", "/a.jpg"] if trusted else [])


@pytest.mark.slow
def test_plain_http_behind_https_is_no_secure_connection(tmp_path: Path) -> None:
    with PhotoServer() as server:
        url = f"https://localhost:{server.port}/a.jpg"
        found = crawl([url], tmp_path, OPTIONS)[url]
    assert (found.status, found.error) == ("failed", "no secure connection")
