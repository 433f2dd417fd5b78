"""What the settings of every HTTP client share: numbers, the server's address, keys and header values."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

PositiveSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


def strip_secret(value: SecretStr) -> SecretStr:
    """A key or a header's value without the white space and line ends around it, which files of secrets end in.

    Raises:
        ValueError: when a header cannot hold what is left. The message does not show the value.
    """
    text = value.get_secret_value().strip()
    wrong = next((place for place, sign in enumerate(text, 1) if not " " <= sign <= "~"), None)
    if wrong is not None:
        raise ValueError(
            f"character {wrong} of {len(text)} is a control or non-ASCII character; expected printable ASCII"
            " (the value is not shown)"
        )
    return SecretStr(text)


def _refuse_blank(value: SecretStr) -> SecretStr:
    if not value.get_secret_value():
        raise ValueError("found an empty key; set it, or leave it out where none is needed")
    return value


def _strip_headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    found = {}
    for name, value in headers.items():
        try:
            found[name] = strip_secret(value)
        except ValueError as error:
            raise ValueError(f"header {name!r}: {error}") from None
    return found


HeaderValue = Annotated[SecretStr, AfterValidator(strip_secret)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
Headers = Annotated[dict[HeaderName, SecretStr], AfterValidator(_strip_headers)]
ApiKey = Annotated[SecretStr, AfterValidator(strip_secret), AfterValidator(_refuse_blank)]


def check_base_url(value: str, example: str, keys: str) -> str:
    """The address of a server, without a slash at its end.

    Raises:
        ValueError: when it is no HTTP address, or holds more than one; `example` shows a right one, `keys` says where
            keys go.
    """
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(f"expected an address such as {example}")
    if url.username or url.password or url.query or url.fragment:
        raise ValueError(f"expected an address without user, password, query or fragment; {keys}")
    return value.rstrip("/")
