"""The collector of traces: whether it takes an empty message."""

from opentelemetry.util.re import parse_env_headers

from lib.health.fetch import fetch
from lib.health.probe import Unwell
from lib.settings import Settings
from lib.telemetry.collector import traces_url
from scripts.checkup.finding import PATIENCE, Finding

VARIABLES = "OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS"


async def check_traces(settings: Settings) -> list[Finding]:
    """Return what there is to say of the collector."""
    if settings.otel_exporter_otlp_endpoint is None:
        return [Finding("traces", "ok", "off")]
    secret = settings.otel_exporter_otlp_headers
    sent = parse_env_headers(secret.get_secret_value() if secret else "", liberal=True)
    headers = {**sent, "Content-Type": "application/x-protobuf"}
    url = traces_url(settings.otel_exporter_otlp_endpoint)
    answer = await fetch(url, VARIABLES, headers, seconds=PATIENCE, method="POST", data=b"")
    if answer.status == 404:
        raise Unwell("It takes no traces there: OTEL_EXPORTER_OTLP_ENDPOINT is what comes before /v1/traces.")
    if answer.status >= 300:
        raise Unwell(f"It answers with {answer.status}: see {VARIABLES}.")
    return [Finding("traces", "ok", f"the collector takes them, {answer.took_ms:.0f} ms")]
