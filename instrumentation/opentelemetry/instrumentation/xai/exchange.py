"""One exchange over HTTP, from the request's issue to its one end: bytes and moments in, an ``Observation`` out.

It owns the order of things and nothing else: content coding -> framing -> dialect -> answer.

Theory. An exchange has three phases: *sending* until ``headers_received``, *body* until a terminal event or ``end``,
then *over*. What the body says is taken as it comes; why it ended is decided once, in ``end``, by the table of
endings: an HTTP error outranks an error told in the body, which outranks how the body broke off. A body that ended
without an error and yet visibly before its end (a document cut short, a choice that never finished) was interrupted.
Whatever cannot be read is noted in ``unreadable`` and looked at no more; the application's bytes are not ours to judge.

Whether a body is a stream of events is what its content type says; where a stream was asked for and the content type
says otherwise, its first byte decides: a JSON document starts unlike any event.
"""

from collections.abc import Callable, Mapping

import msgspec

from . import conventions as names
from .course import Course
from .limits import LARGEST_KEPT, LONGEST_NAME
from .observation import COMPLETE, Ending, Request
from .wire.answer import Answer
from .wire.content_coding import DAMAGED, Decoder, UnreadableError, decoder_for
from .wire.dialect import Dialect
from .wire.large_document import LargeDocument, MalformedError, TruncatedError
from .wire.leniency import made_strict
from .wire.repetition import Form, Repetition, has_form
from .wire.sse import EventFramer

_DONE = b"[DONE]"
_MALFORMED = "malformed"
_TRUNCATED = "truncated"
_CUT_SHORT = "Input data was truncated"  # msgspec has one class for all that is no JSON, and this text for its cause
_BOM = b"\xef\xbb\xbf"
_DOCUMENT_STARTS = ("{", "[", '"', "<")  # an event starts with the name of a field, or a colon


class Exchange(Course):
    """The state machine of one exchange. Not thread-safe: one reader at a time."""

    __slots__ = (
        "_body",
        "_coding",
        "_decoder",
        "_decoding_error",
        "_dialect",
        "_empty",
        "_framer",
        "_large",
        "_repetition",
        "_undecided",
        "uneventful",
    )

    def __init__(self, request: Request, dialect: Dialect, issued: int, decoding_error: str = DAMAGED) -> None:
        """``decoding_error`` is what the client library raises for a body whose content coding is damaged."""
        Course.__init__(self, request, issued)  # super() costs more
        self._decoding_error = decoding_error
        self._dialect = dialect
        self._coding: bytes | None = None
        """The content coding of a body of which no byte has come."""
        self._decoder: Decoder | None = None
        self._framer: EventFramer | None = None
        self._empty = True
        """Whether nothing of the body has come: no answer of xAI's is empty, but a 202."""
        self._undecided = False
        """Whether a stream was asked for, and nothing tells yet that the body is one."""
        self._body = bytearray()
        self._large: LargeDocument | None = None
        self._repetition: Repetition | None = None
        self.uneventful: Form | None = None
        """The form of chunks that tell nothing new: they need not be handed in. Changes with each chunk that is."""

    @property
    def in_body(self) -> bool:
        """Whether the answer has begun: its headers have come."""
        return self._status_code is not None

    @property
    def streamed(self) -> bool:
        """Whether the answer is a stream of events."""
        return self._framer is not None

    @property
    def may_stream(self) -> bool:
        """Whether the answer is a stream of events, or may turn out to be one."""
        return self._framer is not None or self._undecided

    def headers_received(self, status_code: int, headers: Mapping[bytes, bytes]) -> None:
        """Take status and headers, their names in lower case."""
        self._status_code = status_code
        request_id = headers.get(b"x-request-id")
        if request_id:
            self._request_id = request_id[:LONGEST_NAME].decode("latin-1")
        if b"text/event-stream" in headers.get(b"content-type", b"").lower():
            self._framer = EventFramer(self._dialect.event_shape)
        elif self._request.stream:
            self._undecided = True
        else:
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
        self._empty = not content
        if self._framer is not None or self._undecided:
            self._read(content, moment)
        elif content:
            self._read_document(content)

    def _close(self, ending: Ending, moment: int) -> None:
        if ending is COMPLETE and self._unreadable is None and not self._answer.terminal:
            if self._framer is not None:
                self._close_stream(self._framer, moment)
            elif self._body or self._large is not None:
                self._close_document()

    def _unread(self) -> str | None:
        return self._unreadable or (_MALFORMED if self._framer and self._framer.malformed else None)

    def _judged(self, ending: Ending, error_type: str | None) -> tuple[Ending, str | None]:
        status, answer = self._status_code, self._answer
        if status is not None and status >= 400:
            return Ending.HTTP_ERROR, str(status)
        if answer.error:
            return super()._judged(ending, error_type)
        if answer.terminal:
            return Ending.COMPLETE, None
        complete, readable = ending is COMPLETE, self._unreadable is None
        incomplete_coding = complete and readable and self._decoder is not None and not self._decoder.complete
        if incomplete_coding or (self._unreadable == DAMAGED and ending is Ending.ABANDONED):
            return Ending.FAILED, self._decoding_error  # raised above the bytes, where only their end is seen
        if complete and (self._unreadable == _TRUNCATED or (readable and self._is_unfinished())):
            return Ending.FAILED, names.STREAM_INTERRUPTED
        return ending, error_type

    def _is_unfinished(self) -> bool:
        """Whether a body that was read and is over has ended before its end."""
        if self._status_code != 200:
            return False
        return self._empty if self._framer is None else self._framer.malformed == 0 and self._answer.unfinished

    def _close_stream(self, framer: EventFramer, moment: int) -> None:
        """Read what is left of a stream that is over."""
        malformed = framer.malformed
        self._read(b"\n\n", moment)  # a last event may lack its blank line
        if framer.malformed > malformed:
            self.give_up(_TRUNCATED)

    def _read(self, data: bytes, moment: int) -> None:
        """Take plain bytes of the body."""
        if self._framer is not None:
            self._read_events(self._framer, data, moment)
            return
        self._empty = self._empty and not data
        if self._undecided:
            self._body += data
            start = self._body.removeprefix(_BOM).lstrip()[:1].decode("latin-1")
            if _BOM.startswith(self._body):
                return
            data = bytes(self._body)
            self._body.clear()
            if not start:
                return  # blanks, which may come before either
            self._undecided = False
            if start not in _DOCUMENT_STARTS:
                self._framer = EventFramer(self._dialect.event_shape)
                self._read_events(self._framer, data, moment)
                return
            data = data.removeprefix(_BOM)
        if self._large is not None:
            self._enlarge(data)
        else:
            self._body += data
            if len(self._body) > LARGEST_KEPT:
                self._large = LargeDocument(self._dialect.body_shape)
                self._enlarge(bytes(self._body))
                self._body.clear()

    def _read_events(self, framer: EventFramer, data: bytes, moment: int) -> None:
        answer, repetition, aligned = self._answer, self._repetition, framer.between_events
        if repetition is None:
            repetition = self._repetition = Repetition()
        form, event, count = repetition.form, b"", 0
        for event in framer.feed(data):
            count += 1
            if form is not None and has_form(form, event):
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
                if not self._read_leniently(event, self._dialect.read_event):
                    framer.malformed += 1
                    continue
            if answer.news:
                self._note_tokens(moment)
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
        try:
            document = bytes(self._body) if self._large is None else self._large.close()
        except TruncatedError:
            self.give_up(_TRUNCATED)
        except MalformedError:
            self.give_up(_MALFORMED)
        else:
            self._body.clear()
            self._read_document(document)

    def _read_document(self, document: bytes) -> None:
        try:
            self._dialect.read_body(document, self._answer)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            if str(error).startswith(_CUT_SHORT):
                self.give_up(_TRUNCATED)
            elif not self._read_leniently(document, self._dialect.read_body):
                self.give_up(_MALFORMED)

    def _read_leniently(self, document: bytes, read: Callable[[bytes, Answer], None]) -> bool:
        """Read what only a strict reader refuses; says whether that was so."""
        strict = made_strict(document)
        if strict is None:
            return False
        try:
            read(strict, self._answer)
        except (msgspec.MsgspecError, RecursionError):
            return False
        return True

    def give_up(self, reason: str) -> None:
        """Look at the body no more: ``reason`` says in one word why it cannot be read."""
        super().give_up(reason)
        self._body.clear()
        self._large = None
        self.uneventful = None


def _seconds(value: bytes | None) -> float | None:
    """Seconds of a header that holds milliseconds; ``None`` for what is no sensible duration."""
    try:
        seconds = float(value) / 1000 if value else -1.0
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None
