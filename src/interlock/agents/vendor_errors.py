"""Whatever a vendor or the network does wrong, as one of the errors of Interlock."""

from __future__ import annotations

import email.utils
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from interlock.errors import (
    AgentAPIError,
    AgentFailed,
    AgentTimeoutError,
    AuthenticationError,
    ConnectionFailed,
    InvalidRequest,
    OutputInvalid,
    OutputTooLarge,
    QuotaUsedUp,
    RateLimitError,
)
from interlock.records.masking import for_people

#: Longest part of a vendor's message that people and logs see, in characters.
MAX_SAYS = 200
MAX_DETAIL = 2_000
#: A shorter key is a placeholder, and blanking it would only spoil words.
_MIN_SECRET = 8

#: What a vendor calls an error, in its `code` or `type`, where the HTTP status does not say enough or is missing.
_BY_KIND: dict[str, type[AgentFailed]] = {
    "insufficient_quota": QuotaUsedUp,
    "billing_error": QuotaUsedUp,
    "billing_hard_limit_reached": QuotaUsedUp,
    "billing_not_active": QuotaUsedUp,
    "rate_limit_error": RateLimitError,
    "rate_limit_exceeded": RateLimitError,
    "authentication_error": AuthenticationError,
    "invalid_api_key": AuthenticationError,
    "permission_error": AuthenticationError,
    "timeout_error": AgentTimeoutError,
    "invalid_request_error": InvalidRequest,
    "invalid_prompt": InvalidRequest,
    "not_found_error": InvalidRequest,
    "request_too_large": InvalidRequest,
    "context_length_exceeded": InvalidRequest,
    "model_not_found": InvalidRequest,
}

_SAYS: dict[type[AgentFailed], str] = {
    QuotaUsedUp: "The account at {name} has nothing left to spend",
    RateLimitError: "{name} takes no more requests for now",
    AuthenticationError: "{name} does not accept the key",
    AgentTimeoutError: "{name} took too long",
    InvalidRequest: "{name} does not accept this request",
    AgentAPIError: "{name} failed",
}

_LINK = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+|\bwww\.\S+", re.IGNORECASE)
#: More than keys by their look: shortened ones with stars too, and long words that no language has.
_LIKE_KEY = re.compile(
    r"\bBearer\s+\S+"
    r"|\b(?:sk|pk|rk|org|proj|gsk|xai|ghp|key)[-_][\w*.-]{6,}"
    r"|\b(?:AKIA|AIza)[\w-]{10,}"
    r"|\b(?=\w{0,64}\d)(?=\w{0,64}[A-Za-z])\w{24,}"
    r"|[\w-]{0,64}\*{3,}[\w*-]*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class VendorErrors:
    """Makes our errors of one provider's.

    Args:
        name: The provider, as people know it.
        secret: The key in use; it is blanked wherever a message repeats it.
    """

    name: str
    secret: str = field(default="", repr=False)

    def of_status(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> AgentFailed:
        """The error that an HTTP answer stands for.

        Args:
            status: The HTTP status, not a success.
            headers: The answer's headers, looked up in lower case.
            body: The beginning of the answer's body.
            now: Seconds since 1970, for a Retry-After that is a date.
        """
        if 300 <= status < 400:
            says = f"The address of {self.name} sends requests elsewhere (HTTP {status}); they are not followed."
            return InvalidRequest(says, "Set the provider's base URL to its final address.")
        kinds, message = _read(body)
        cls = _by_status(status, kinds)
        error = self._error(cls, kinds, message, f"HTTP {status}", retry_after(headers, now))
        # A gateway that lost patience says nothing about what the vendor did behind it.
        error.may_have_cost = status in (408, 502, 504) or status >= 520
        return error

    def of_event(self, error: object) -> AgentFailed:
        """The error that a vendor reports inside of an answer that began well."""
        kinds, message = _parts(error)
        cls = next((_BY_KIND[kind] for kind in kinds if kind in _BY_KIND), AgentAPIError)
        status = error.get("code") if isinstance(error, dict) else None
        if isinstance(status, int) and 400 <= status < 600:  # gateways put the HTTP status there
            cls = _by_status(status, kinds)
        failed = self._error(cls, kinds, message, "in the answer", None)
        failed.may_have_cost = True  # the answer had begun
        return failed

    def of_transport(self, error: Exception) -> AgentFailed:
        """The error that a failure below HTTP stands for."""
        import aiohttp
        import httpx2

        cause = error.__cause__ or error
        detail = f"{type(error).__name__}/{type(cause).__name__}: {self.clean(str(error), MAX_DETAIL)}"
        if isinstance(error, httpx2.UnsupportedProtocol | httpx2.InvalidURL | httpx2.LocalProtocolError):
            says = f"The address or a header for {self.name} is not valid."
            return InvalidRequest(says, "Check the provider's base URL and key.", detail=detail)
        if isinstance(error, httpx2.DecodingError):
            return OutputInvalid(f"The answer of {self.name} is not compressed as it says.", detail=detail)
        # The SDK's transport calls every broken connection a timeout; what aiohttp raised tells them apart.
        if isinstance(cause, TimeoutError):
            return AgentTimeoutError(f"{self.name} could not be reached in time.", detail=detail)
        failed = ConnectionFailed(f"The connection to {self.name} failed.", detail=detail)
        # Without a connection nothing was sent.
        unsent = isinstance(error, httpx2.ConnectError) or isinstance(cause, aiohttp.ClientConnectorError)
        failed.may_have_cost = not unsent
        return failed

    def timeout(self, seconds: float) -> AgentFailed:
        """The error for an answer that was not complete in time."""
        return AgentTimeoutError(f"{self.name} did not answer within {seconds:g} seconds.")

    def cut(self) -> AgentFailed:
        """The error for a stream that ended before its final event."""
        return ConnectionFailed(f"The answer of {self.name} broke off in the middle.")

    def unreadable(self, error: Exception) -> AgentFailed:
        """The error for an answer that is not JSON, or JSON of another shape."""
        wrong_shape = isinstance(error, msgspec.ValidationError)
        what = "is JSON, but not of the expected form" if wrong_shape else "is not valid JSON"
        return OutputInvalid(f"The answer of {self.name} {what}.", detail=self.clean(str(error), MAX_DETAIL))

    def empty(self) -> AgentFailed:
        """The error for an answer without content."""
        return OutputInvalid(f"The answer of {self.name} is empty.")

    def wrong_type(self, content_type: str) -> AgentFailed:
        """The error for an answer that is something else altogether, such as a proxy's HTML page."""
        says = f"{self.name} answered with something that is not a model's answer."
        do = "Check the provider's base URL; a proxy or a login page may stand in between."
        failed = AgentAPIError(says, do, detail=f"content type: {self.clean(content_type, MAX_SAYS)}")
        failed.may_have_cost = True
        return failed

    def _error(
        self, cls: type[AgentFailed], kinds: list[str], message: str, where: str, wait: float | None
    ) -> AgentFailed:
        said = self.clean(message, MAX_SAYS)
        says = f"{_SAYS[cls].format(name=self.name)}{f': {said}' if said else '.'}"
        detail = f"{where} {'/'.join(kinds)}: {message}"
        return cls(says, detail=self.clean(detail, MAX_DETAIL), retry_after=wait)

    def clean(self, text: str, limit: int) -> str:
        """A vendor's words without keys, links and control characters, cut to `limit` characters."""
        text = text[: limit * 4]  # enough to find what must be blanked, and never slow
        if len(self.secret) >= _MIN_SECRET:
            text = text.replace(self.secret, "[key]")
        text = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
        text = _LIKE_KEY.sub("[key]", for_people(_LINK.sub("[link]", text)))
        text = " ".join(text.split())
        return text if len(text) <= limit else f"{text[: limit - 1]}…"


def too_large(limit: int) -> OutputTooLarge:
    """The error for an answer that is larger than is ever read."""
    return OutputTooLarge(f"The answer is larger than {limit / 1_000_000:,.0f} MB, the most that is read.")


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, as `retry-after-ms` or `retry-after` say (a number or an HTTP date), or None.

    Args:
        headers: Looked up in lower case.
        now: Seconds since 1970.
    """
    for header, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        seconds = _seconds(headers.get(header, ""), unit)
        if seconds is not None:
            return seconds
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, date.timestamp() - now)


def _seconds(value: str, unit: float) -> float | None:
    try:
        seconds = float(value) / unit
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _by_status(status: int, kinds: list[str]) -> type[AgentFailed]:
    by_kind = [_BY_KIND[kind] for kind in kinds if kind in _BY_KIND]
    if status == 402 or (status in (400, 403, 429) and QuotaUsedUp in by_kind):
        return QuotaUsedUp
    if status in (401, 403):
        return AuthenticationError
    if status == 429:
        return RateLimitError
    if status in (408, 409, 425) or status >= 500:
        return AgentAPIError
    return InvalidRequest


def _read(body: bytes) -> tuple[list[str], str]:
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):  # not JSON: a proxy's page, which says nothing to people
        return [], ""
    return _parts(value.get("error", value) if isinstance(value, dict) else None)


def _parts(error: Any) -> tuple[list[str], str]:
    """What the vendor calls an error, the most exact name first, and its sentence."""
    if isinstance(error, str):
        return [], error
    if not isinstance(error, dict):
        return [], ""
    kinds = [kind for kind in (error.get("code"), error.get("type")) if isinstance(kind, str)]
    message = next((text for key in ("message", "detail") if isinstance(text := error.get(key), str)), "")
    return kinds, message
