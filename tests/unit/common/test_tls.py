"""TLS files: what cannot be used is refused in one line, and what is renewed is used without a restart."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from services.common.settings import KafkaSettings, RedisSettings, S3Settings, Settings, explain
from services.common.tls import BadTlsFiles, TlsFiles, client_context, server_context
from tests.support.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def serving(context: ssl.SSLContext) -> AsyncIterator[int]:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"open\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def ask(port: int, context: ssl.SSLContext) -> bytes:
    """The certificate of the server, once it has answered. Raises OSError."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        if await reader.readline() != b"open\n":  # TLS 1.3 refuses a client only after its handshake
            raise ConnectionResetError
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return shown
    finally:
        writer.close()


def certificate(files: TlsFiles) -> bytes:
    assert files.cert is not None
    return ssl.PEM_cert_to_DER_cert(
        files.cert.read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----"
    )


async def test_a_renewed_certificate_is_shown_to_the_next_client(authority: Authority) -> None:
    files = authority.issue("server")
    client = client_context(TlsFiles(authority.ca))
    async with serving(server_context(TlsFiles(None, files.cert, files.key))) as port:
        first = await ask(port, client)
        assert first == certificate(files)
        renewed = certificate(authority.issue("server"))
        assert await ask(port, client) == renewed != first


async def test_half_a_renewal_leaves_the_certificate_as_it_was(authority: Authority) -> None:
    files = authority.issue("server")
    assert files.cert is not None
    client = client_context(TlsFiles(authority.ca))
    async with serving(server_context(TlsFiles(None, files.cert, files.key))) as port:
        shown = await ask(port, client)
        files.cert.write_text("-----BEGIN")
        assert await ask(port, client) == shown


async def test_a_server_of_another_authority_is_not_trusted(authority: Authority, tmp_path: Path) -> None:
    files = Authority(tmp_path / "other").issue("server")
    async with serving(server_context(TlsFiles(None, files.cert, files.key))) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await ask(port, client_context(TlsFiles(authority.ca)))


async def test_mutual_tls_asks_for_a_certificate_of_the_authority(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other").issue("client")
    async with serving(server_context(authority.issue("server"))) as port:
        await ask(port, client_context(authority.issue("client")))
        for files in (TlsFiles(authority.ca), TlsFiles(authority.ca, other.cert, other.key)):
            with pytest.raises(OSError):  # noqa: PT011  closed in one of several ways
                await ask(port, client_context(files))


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda files, folder: TlsFiles(folder / "missing.pem"), id="no file"),
        pytest.param(lambda files, folder: TlsFiles(files.key), id="a key as authority"),
        pytest.param(lambda files, folder: TlsFiles(files.ca, files.cert, files.ca), id="no key"),
        pytest.param(lambda files, folder: TlsFiles(files.ca, None, files.key), id="a key alone"),
    ],
)
def test_files_that_cannot_be_used(authority: Authority, wrong: Callable[[TlsFiles, Path], TlsFiles]) -> None:
    files = wrong(authority.issue("client"), authority.folder)
    with pytest.raises(BadTlsFiles) as refused:
        client_context(files)
    assert str(authority.folder) in str(refused.value)
    assert "\n" not in str(refused.value)


NO_FILE = "/nowhere/ca.pem"
SCRAM = {"kafka_security": "sasl_tls", "kafka_user": "till", "kafka_password": SecretStr("hunter2")}
PLAIN = SCRAM | {"kafka_security": "sasl_plaintext", "kafka_sasl_mechanism": "PLAIN"}


@pytest.mark.parametrize(
    ("settings", "given", "said"),
    [
        (KafkaSettings, {"kafka_security": "sasl_tls"}, "needs TILLSTREAM_KAFKA_USER and TILLSTREAM_KAFKA_PASSWORD"),
        (
            KafkaSettings,
            {"kafka_security": "sasl_tls", "kafka_sasl_mechanism": "OAUTHBEARER"},
            "OAUTHBEARER needs TILLSTREAM_KAFKA_TOKEN_FILE",
        ),
        (
            KafkaSettings,
            SCRAM
            | {"kafka_security": "sasl_plaintext", "kafka_sasl_mechanism": "PLAIN", "kafka_bootstrap": "shop:9092"},
            "PLAIN without TLS shows the secret",
        ),
        (KafkaSettings, {"kafka_ca_file": NO_FILE}, "need a KAFKA_SECURITY of TLS"),
        (
            KafkaSettings,
            {"kafka_security": "tls", "kafka_ca_file": NO_FILE},
            f"{NO_FILE} cannot be used",
        ),
        (RedisSettings, {"redis_ca_file": NO_FILE}, "need a REDIS_URL that begins with rediss://"),
        (
            RedisSettings,
            {"redis_url": "rediss://till:hunter2@shop:6379/0", "redis_ca_file": NO_FILE},
            f"{NO_FILE} cannot be used",
        ),
        (
            S3Settings,
            {"s3_endpoint": "http://shop:8333", "s3_ca_file": NO_FILE},
            "need a S3_ENDPOINT that begins with https://",
        ),
    ],
)
def test_settings_that_no_client_could_use_are_one_line(
    settings: type[Settings], given: dict[str, object], said: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        settings.model_validate(given)
    line = explain(refused.value)
    assert said in line
    assert "TILLSTREAM_" in line
    assert "\n" not in line
    assert "hunter2" not in line


def test_plain_needs_no_tls_on_this_machine() -> None:
    KafkaSettings.model_validate(PLAIN | {"kafka_bootstrap": "[::1]:9092"})
