"""Where events go: what the YAML says, else the environment variables that OpenTelemetry has for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.http.client_settings import Headers

_PATH = "/v1/logs"


class OpenTelemetryParams(BaseModel):
    """Parameters of the sink `opentelemetry`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    endpoint: str = Field(description="The collector's address for OTLP over HTTP; v1/logs is added where absent.")
    whole_address: bool = Field(default=False, description="The endpoint is where logs are posted; nothing is added.")
    headers: Headers = Field(default={}, description="Sent with every request, such as a key.")
    service_name: str = Field(default="trueline", min_length=1, description="The resource's service.name.")
    compression: Literal["none", "gzip"] = Field(default="none", description="Of what is sent.")
    timeout: float = Field(default=10.0, gt=0, le=300, description="Seconds for one batch of scores, retries included.")
    certificate: str | None = Field(default=None, description="A file with the authority that the collector is of.")

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, value: str) -> str:
        url = urlsplit(value)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("expected an address such as http://127.0.0.1:4318")
        if url.username or url.password:
            raise ValueError("expected an address without user and password; a key belongs into `headers`")
        return value

    @property
    def url(self) -> str:
        """Where logs are posted."""
        base = self.endpoint.rstrip("/")
        return self.endpoint if self.whole_address else base if base.endswith(_PATH) else base + _PATH


def with_environment(given: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """What was given, filled up from OTEL_EXPORTER_OTLP_LOGS_..., OTEL_EXPORTER_OTLP_... and OTEL_SERVICE_NAME. As
    OpenTelemetry has it, the endpoint for logs is the whole address, and the general one gets the path for logs.

    Headers of the environment are `name=value,name=value`, values percent-encoded. Its timeouts are not read: SDKs
    disagree whether they are seconds or milliseconds.
    """
    found: dict[str, Any] = {}
    for key in ("endpoint", "compression", "certificate"):
        found |= _if_set(key, _variable(variables, key.upper()))
    if "endpoint" not in given and variables.get("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"):
        found["whole_address"] = True
    found |= _if_set("service_name", variables.get("OTEL_SERVICE_NAME"))
    headers = _parse_headers(_variable(variables, "HEADERS") or "") | dict(given.get("headers") or {})
    return found | dict(given) | ({"headers": headers} if headers else {})


def _variable(variables: Mapping[str, str], name: str) -> str | None:
    return variables.get(f"OTEL_EXPORTER_OTLP_LOGS_{name}") or variables.get(f"OTEL_EXPORTER_OTLP_{name}")


def _if_set(key: str, value: str | None) -> dict[str, str]:
    return {key: value} if value else {}


def _parse_headers(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(",") if "=" in part)
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}
