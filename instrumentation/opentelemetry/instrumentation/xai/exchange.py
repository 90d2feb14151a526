"""One exchange with xAI, from the request's issue to its one end: bytes and moments in, an ``Observation`` out.

It owns the order of things and nothing else: content coding -> framing -> dialect -> answer. It has no clock (moments
are passed in, nanoseconds of any monotonic clock), no socket, no client library and no idea of spans.

Theory. An exchange has three phases: *sending* until ``headers_received``, *body* until a terminal event or ``end``,
then *over*. What the body says is taken as it comes; why it ended is decided once, in ``end``, by the table of
endings: an HTTP error outranks an error told in the body, which outranks how the body broke off.
Whatever cannot be read is noted in ``unreadable`` and looked at no more; the application's bytes are not ours to judge.
"""

from collections.abc import Iterator, Mapping

import msgspec

from . import conventions as names
from .observation import Ending, Observation, Request, Timeline
from .wire.answer import Answer
from .wire.content_coding import Decoder, UnreadableError, decoder_for
from .wire.dialect import Dialect
from .wire.large_document import LargeDocument, MalformedError
from .wire.repetition import Form, Repetition
from .wire.sse import EventFramer

_LARGEST_KEPT = 128 * 1024
_LONGEST_ID = 256
_DONE = b"[DONE]"
_MALFORMED = "malformed"


class Exchange:
    """The state machine of one exchange. Not thread-safe: one reader at a time."""

    __slots__ = (
        "_answer",
        "_body",
        "_coding",
        "_decoder",
        "_dialect",
        "_first_answer_token",
        "_first_chunk",
        "_first_reasoning_token",
        "_framer",
        "_issued",
        "_large",
        "_repetition",
        "_request",
        "_request_id",
        "_server_time_to_first_token",
        "_status_code",
        "_unreadable",
        "uneventful",
    )

    def __init__(self, request: Request, dialect: Dialect, issued: int) -> None:
        self._request = request
        self._dialect = dialect
        self._issued = issued
        self._answer = Answer()
        self._status_code: int | None = None
        self._coding: bytes | None = None
        """The content coding of a body of which no byte has come."""
        self._decoder: Decoder | None = None
        self._framer: EventFramer | None = None
        self._body = bytearray()
        self._large: LargeDocument | None = None
        self._repetition = Repetition()
        self.uneventful: Form | None = None
        """The form of chunks that tell nothing new: they need not be handed in. Changes with each chunk that is."""
        self._first_chunk: int | None = None
        self._first_reasoning_token: int | None = None
        self._first_answer_token: int | None = None
        self._request_id: str | None = None
        self._server_time_to_first_token: float | None = None
        self._unreadable: str | None = None

    @property
    def in_body(self) -> bool:
        """Whether the answer has begun: its headers have come."""
        return self._status_code is not None

    @property
    def streamed(self) -> bool:
        """Whether the answer is a stream of events."""
        return self._framer is not None

    @property
    def terminated(self) -> bool:
        """Whether the stream's terminal event has come: nothing that follows matters."""
        return self._answer.terminal

    def headers_received(self, status_code: int, headers: Mapping[bytes, bytes]) -> None:
        """Take status and headers, their names in lower case."""
        self._status_code = status_code
        request_id = headers.get(b"x-request-id")
        if request_id:
            self._request_id = request_id[:_LONGEST_ID].decode("latin-1")
        media_type = headers.get(b"content-type", b"").lower()
        if b"text/event-stream" in media_type or (self._request.stream and not media_type):
            self._framer = EventFramer(self._dialect.event_shape)
        elif not self._request.stream:
            self._server_time_to_first_token = _seconds(headers.get(b"x-metrics-ttft-ms"))
        self._coding = headers.get(b"content-encoding")

    def bytes_received(self, data: bytes, moment: int) -> None:
        """Take bytes of the body as they were on the wire, cut anywhere."""
        if self._unreadable is not None or self._answer.terminal:
            return
        try:
            if self._coding is not None:
                coding, self._coding = self._coding, None
                self._decoder = decoder_for(coding.decode("latin-1"))
            if self._decoder is None:
                self._read(data, moment)
            else:
                for piece in self._decoder.decode(data):
                    self._read(piece, moment)
        except UnreadableError as reason:
            self.give_up(str(reason))

    def content_received(self, content: bytes, moment: int) -> None:
        """Take the whole body at once, with its content codings undone, instead of ``bytes_received``."""
        if self._framer is not None:
            self._read(content, moment)
        elif content:
            self._read_document(content)

    def end(self, ending: Ending, moment: int, error_type: str | None = None) -> Observation:
        """The whole exchange, now that it is over; ``error_type`` names the failure of a ``FAILED`` one."""
        if ending is Ending.COMPLETE and self._unreadable is None:
            if self._framer is None:
                self._close_document()
            else:
                self._read(b"\n\n", moment)  # a last event may lack its blank line
        answer = self._answer
        status = self._status_code
        if status is not None and status >= 400:
            ending, error_type = Ending.HTTP_ERROR, str(status)
        elif answer.error:
            ending, error_type = Ending.ERROR_EVENT, names.ERROR_EVENT
        elif answer.terminal:
            ending, error_type = Ending.COMPLETE, None
        return Observation(
            request=self._request,
            timeline=Timeline(
                self._issued, moment, self._first_chunk, self._first_reasoning_token, self._first_answer_token
            ),
            ending=ending,
            streamed=self.streamed,
            error_type=error_type,
            status_code=status,
            usage=answer.usage,
            response_id=answer.id,
            response_model=answer.model,
            finish_reasons=tuple(self._finish_reasons(ending)),
            conversation_id=answer.conversation_id,
            request_id=self._request_id,
            server_time_to_first_token=self._server_time_to_first_token,
            unreadable=self._unreadable or (_MALFORMED if self._framer and self._framer.malformed else None),
        )

    def _read(self, data: bytes, moment: int) -> None:
        """Take plain bytes of the body."""
        if self._framer is not None:
            self._read_events(self._framer, data, moment)
        elif self._large is not None:
            self._enlarge(data)
        else:
            self._body += data
            if len(self._body) > _LARGEST_KEPT:
                self._large = LargeDocument(self._dialect.body_shape)
                self._enlarge(bytes(self._body))
                self._body.clear()

    def _read_events(self, framer: EventFramer, data: bytes, moment: int) -> None:
        answer, repetition, aligned = self._answer, self._repetition, framer.between_events
        form, event, count = repetition.form, b"", 0
        for event in framer.feed(data):
            count += 1
            if form is not None:
                start, end, stop = form
                rest = event.removeprefix(start)
                text = rest.removesuffix(end)
                if rest is not event and text is not rest and stop not in text:
                    continue
            if self._first_chunk is None:
                self._first_chunk = moment
            if event.lstrip()[:6] == _DONE:
                answer.ended()
                return
            answer.news = answer.text = False
            try:
                self._dialect.read_event(event, answer)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                framer.malformed += 1
                continue
            if answer.news:
                if answer.reasoned and self._first_reasoning_token is None:
                    self._first_reasoning_token = moment
                if answer.answered and self._first_answer_token is None:
                    self._first_answer_token = moment
                if answer.terminal:
                    return
            elif answer.text:
                repetition.learn(event)
                form = repetition.form
        if self._decoder is None:
            self.uneventful = (
                repetition.as_chunk(data, event) if aligned and count == 1 and framer.between_events else None
            )

    def _enlarge(self, data: bytes) -> None:
        if self._large is not None and self._unreadable is None:
            try:
                self._large.write(data)
            except MalformedError:
                self.give_up(_MALFORMED)

    def _close_document(self) -> None:
        """Read what came of a body that was not streamed, now that it is whole."""
        if self._unreadable is None and (self._body or self._large is not None):
            try:
                document = bytes(self._body) if self._large is None else self._large.close()
            except MalformedError:
                self.give_up(_MALFORMED)
            else:
                self._body.clear()
                self._read_document(document)

    def _read_document(self, document: bytes) -> None:
        try:
            self._dialect.read_body(document, self._answer)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            self.give_up(_MALFORMED)

    def give_up(self, reason: str) -> None:
        """Look at the body no more: ``reason`` says in one word why it cannot be read."""
        self._unreadable = reason
        self._body.clear()
        self._large = None
        self.uneventful = None

    def _finish_reasons(self, ending: Ending) -> Iterator[str]:
        """What was sent, in the order of the choices; ``error`` for a choice whose finish never came."""
        reasons = self._answer.finish_reasons
        broken = ending in (Ending.ERROR_EVENT, Ending.ABANDONED) or (ending is Ending.FAILED and self.in_body)
        if ending is Ending.HTTP_ERROR:
            return
        if broken and not reasons:
            yield names.FINISH_ERROR
        for index in sorted(reasons):
            reason = reasons[index]
            if reason is not None:
                yield reason
            elif broken:
                yield names.FINISH_ERROR


def _seconds(value: bytes | None) -> float | None:
    """Seconds of a header that holds milliseconds; ``None`` for what is no sensible duration."""
    try:
        seconds = float(value) / 1000 if value else -1.0
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None
