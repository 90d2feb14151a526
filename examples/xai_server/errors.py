"""Errors: the exception that endpoints raise, and the bodies that go on the wire.

xAI's main form is flat, with a sentence as code; the other shapes have been met
in front of it (gateways, the edge) and are available as trouble.
"""

from __future__ import annotations

import json

_SENTENCES = {
    400: "Client specified an invalid argument",
    401: "The request does not have valid authentication credentials",
    403: "The caller does not have permission to execute the specified operation",
    404: "Some requested entity was not found",
    405: "The method is not allowed for this path",
    413: "The request body is too large",
    422: "The request body could not be understood",
    429: "Some resource has been exhausted",
    500: "Internal server error",
    503: "The service is currently unavailable",
}


class ApiError(Exception):
    """An answer other than success: a status and one sentence for the reader."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def code_of(status: int) -> str:
    """Give the sentence that xAI uses as a code."""
    return _SENTENCES.get(status, _SENTENCES[400] if status < 500 else _SENTENCES[503])


def error_body(status: int, message: str, shape: str = "flat") -> tuple[str, bytes]:
    """Make the content type and the bytes of an error."""
    if shape == "html":
        page = f"<html><head><title>{status}</title></head><body><h1>{code_of(status)}</h1></body></html>\n"
        return "text/html; charset=UTF-8", page.encode()
    value: object
    if shape == "string":
        value = message
    elif shape == "nested":
        kind = "server_error" if status >= 500 else "invalid_request_error"
        value = {"error": {"message": message, "type": kind, "param": None, "code": status}}
    else:
        value = {"code": code_of(status), "error": message}
    return "application/json", json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
