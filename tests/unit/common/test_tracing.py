"""Traces: parents and children, headers of other processes, sampling, export over OTLP; nothing where they are off."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import StatusCode
from pydantic import ValidationError

from services.common import tracing
from services.common.settings import ServiceSettings
from services.common.tracing import NOT_RECORDED
from tests.support.spans import recorded

IMPORTED = "import sys, services.common.entrypoint; print('opentelemetry' in sys.modules)"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_step_is_a_child_of_the_step_around_it() -> None:
    with recorded() as spans:
        with tracing.begin("request", "server"):
            with tracing.child("call"), tracing.child("answer"):
                pass
            with tracing.child("send"):
                pass
        assert tracing.child("after") is NOT_RECORDED
    assert spans.edges() == [(None, "request"), ("call", "answer"), ("request", "call"), ("request", "send")]
    assert spans.traces() == 1


def test_another_process_continues_a_trace_by_the_header() -> None:
    with recorded() as spans:
        with tracing.begin("send", "producer") as sent:
            (header,) = sent.headers
        with tracing.continued("process", tracing.traceparent_of([("x", b"1"), header]), "consumer"):
            pass
    assert spans.edges() == [(None, "send"), ("send", "process")]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "00",
        f"00-{TRACE}-{PARENT}-00",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}g-{PARENT}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01".replace("-", "_"),
        f"cc-{TRACE}-{PARENT}-01-of-a-later-version",
        b"\xff" * 55,
        b"0" * 1_000_000,
    ],
    ids=[
        "none",
        "empty",
        "short",
        "unsampled",
        "zero-trace",
        "zero-parent",
        "no-hex",
        "version",
        "long",
        "_",
        "later-version",
        "x",
        "1MB",
    ],
)
def test_a_header_that_is_no_sampled_traceparent_is_ignored(header: str | bytes | None) -> None:
    with recorded() as spans:
        with tracing.continued("process", f"00-{TRACE}-{PARENT}-01"):
            pass
        assert len(spans.ended) == 1
        with tracing.continued("process", header) as span:
            assert span is NOT_RECORDED
        assert len(spans.ended) == 1


def test_only_the_first_headers_of_a_record_are_looked_at() -> None:
    header = (tracing.HEADER, b"x")
    assert tracing.traceparent_of([("a", b"")] * 7 + [header]) == b"x"
    assert tracing.traceparent_of([("a", b"")] * 8 + [header]) is None


def test_a_failed_step_names_the_error_and_nothing_of_its_text() -> None:
    with recorded() as spans:
        with pytest.raises(KeyError), tracing.begin("call"):
            raise KeyError("customer 42")
        (span,) = spans.ended
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "KeyError")
    assert not span.events


def test_a_step_that_has_ended_stays_as_it_ended() -> None:
    with recorded() as spans:
        span = tracing.begin("request")
        with span:
            span.end()
        span.fail("ConnectionError")
        span.end()
        assert [span.status.status_code for span in spans.ended] == [StatusCode.UNSET]


def test_the_share_that_is_recorded() -> None:
    with recorded(ratio=0.25) as spans:
        assert 1_500 < sum(1 for _ in tracing.sampled(10_000)) < 3_500
        for _ in range(400):
            with tracing.begin("request"):
                pass
        assert 40 < len(spans.ended) < 160
    with recorded(ratio=1):
        assert list(tracing.sampled(5)) == [0, 1, 2, 3, 4]
    with recorded(ratio=0) as spans:
        assert list(tracing.sampled(5)) == []
        assert tracing.begin("request") is NOT_RECORDED
        assert tracing.begin("batch job", always=True) is not NOT_RECORDED


def test_where_traces_are_off_there_is_no_span_and_no_sdk() -> None:
    assert not tracing.enabled()
    assert tracing.begin("request", always=True) is NOT_RECORDED
    assert tracing.continued("process", f"00-{TRACE}-{PARENT}-01") is NOT_RECORDED
    assert list(tracing.sampled(5)) == []
    assert NOT_RECORDED.headers == []
    shown = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """An OTLP collector's address, and the requests that it got."""
    got: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", got
        finally:
            server.shutdown()
            thread.join()


def test_one_setting_exports_the_spans_at_the_latest_when_the_service_ends() -> None:
    with collector() as (address, got):
        settings = ServiceSettings(traces_endpoint=address, traces_ratio=1)
        with tracing.exported("gateway", settings), tracing.begin("request", "server"):
            pass
        assert not tracing.enabled()
    ((path, body),) = got
    assert path == "/v1/traces"
    (exported,) = ExportTraceServiceRequest.FromString(body).resource_spans
    resource = {attribute.key: attribute.value.string_value for attribute in exported.resource.attributes}
    assert resource["service.name"] == "tillstream-gateway"
    assert [span.name for span in exported.scope_spans[0].spans] == ["request"]


def test_without_the_setting_nothing_is_exported() -> None:
    for settings in (ServiceSettings(), ServiceSettings(traces_endpoint="")):
        with tracing.exported("gateway", settings):
            assert not tracing.enabled()


@pytest.mark.parametrize(
    "given", [{"traces_endpoint": "collector:4318"}, {"traces_ratio": 1.5}], ids=["no-url", "ratio"]
)
def test_a_wrong_setting_is_refused(given: dict[str, str | float]) -> None:
    with pytest.raises(ValidationError):
        ServiceSettings.model_validate(given)
