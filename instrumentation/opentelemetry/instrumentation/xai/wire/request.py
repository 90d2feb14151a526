"""A request as it leaves: of its headers a few, and its body's fields, to the facts that telemetry may know.

The conversation id has two carriers, the header ``x-grok-conv-id`` (over gRPC: metadata of that name) and the body's
``prompt_cache_key``. Which of them routes the call depends on the endpoint; what is wrong with the way it is sent is
noted here.
"""

from msgspec import Struct

from .. import conventions as names
from ..limits import LONGEST_NAME
from ..observation import Request
from .dialect import Dialect, Operation
from .fingerprint import Fingerprint, Fingerprinter
from .headers import Headers
from .prompt import entries_of, survey
from .request_body import RequestBody, parameters_of, read_request_body
from .usage_request import asks_for_usage

_CONVERSATION = b"x-grok-conv-id"
_RETRIES = b"x-stainless-retry-count"  # the openai and anthropic SDKs say "0", "1", ...
_AUTHORIZATION, _API_KEY = b"authorization", b"x-api-key"
_UNSEEN = "unseen"  # a route that is no id of anybody's, and the same for all that we have not seen


class Carried(Struct, frozen=True, gc=False):
    """What a request carries beside its body."""

    identity: str | None
    """The conversation id."""
    source: str
    """Where the conversation id would be."""
    credentials: bytes = b""
    is_known: bool = True
    """Whether we have seen all of it; what we have not cannot be missed."""
    label: str | None = None
    """A conversation id that is meant for telemetry alone and is not sent."""
    resend_count: int = 0


def read_request(
    dialect: Dialect,
    host: str,
    port: int,
    headers: Headers,
    body: bytes | None,
    fingerprinter: Fingerprinter | None = None,
) -> tuple[Request, Fingerprint | None]:
    """The facts of a request, and its fingerprint if there is somebody to make one and a body to make it of."""
    header = dict(headers).get  # of several of one name, the last
    identity, retries = header(_CONVERSATION), header(_RETRIES)
    carried = Carried(
        (identity.decode("utf-8", "replace")[:LONGEST_NAME] or None) if identity else None,
        names.SOURCE_HEADER,
        header(_AUTHORIZATION) or header(_API_KEY) or b"",
        True,
        None,
        int(retries[:9]) if retries and retries.isdigit() else 0,
    )
    return facts_of(dialect, host, port, carried, read_request_body(body or b""), fingerprinter)


def facts_of(
    dialect: Operation,
    host: str,
    port: int,
    carried: Carried,
    fields: RequestBody,
    fingerprinter: Fingerprinter | None = None,
) -> tuple[Request, Fingerprint | None]:
    """The same, of a request whose body has been read."""
    header_id = carried.identity
    key = fields.prompt_cache_key
    body_id = key[:LONGEST_NAME] if type(key) is str and key else None
    source, identity = carried.source, header_id
    if body_id is not None and (header_id is None or dialect.body_first):
        source, identity = names.SOURCE_BODY, body_id
    problems, streams = [], fields.stream is True
    if identity is None or fingerprinter is not None:
        entries = entries_of(fields)
        leading, continues = survey(fields, entries)
        if identity is None and continues and carried.is_known:
            problems.append(names.PROBLEM_MISSING)
    if body_id is not None and not dialect.takes_key:
        problems.append(names.PROBLEM_WRONG_CARRIER)
    if carried.label is not None and carried.label != identity:
        problems.append(names.PROBLEM_TELEMETRY_ONLY)
    if header_id is not None and body_id is not None and header_id != body_id:
        problems.append(names.PROBLEM_CONFLICTING)
    request = Request(  # by position, which is cheaper
        dialect.operation,
        host,
        port,
        fields.model[:LONGEST_NAME] if type(fields.model) is str and fields.model else None,
        streams,
        parameters_of(fields),
        identity,
        source if identity is not None else None,
        tuple(problems),
        carried.resend_count,
        streams and dialect.usage_on_request and not asks_for_usage(fields.stream_options),
    )
    if fingerprinter is None:
        return request, None
    route = identity if dialect.takes_key else header_id
    if route is None and not carried.is_known:
        route = _UNSEEN
    setting = fingerprinter.setting(fields, entries[:leading], identity, route, carried.credentials, (host, port))
    return request, Fingerprint(fields, entries, setting, leading, continues=continues or not entries)
