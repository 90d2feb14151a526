"""What an application could tell apart: types and values of all that it got, without what differs from call to call."""

import base64
import dataclasses
import datetime
import re
import time
from enum import Enum
from typing import Any

_RANDOM = re.compile(
    r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}|127\.0\.0\.1:\d+|localhost:\d+|0x[0-9a-f]{6,}"
)
_TIME = re.compile(r"(?<=_at\":)\d{10}|(?<=\"created\":)\d{10}")
_WRAPPED = re.compile(r"\bresp_([A-Za-z0-9+/]{40,}=*)")  # litellm's ids have those of the server in them


def likeness(*values: Any) -> Any:
    """Give plain data that is equal for answers which an application would take for the same."""
    return _Portrait().of(list(values))


class _Portrait:
    """Ids are numbered as they appear, so that which of them are the same is still seen."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._around: list[int] = []

    def of(self, value: Any) -> Any:
        """Look at one value and all that is in it."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Enum):
            return str(value)
        if isinstance(value, (int, float)):
            recent = abs(value - time.time()) < 86_400 or abs(value - 1000 * time.time()) < 86_400_000
            return "<time>" if recent else value
        if isinstance(value, (datetime.datetime, datetime.timedelta)):
            return f"<{type(value).__name__}>"
        if isinstance(value, (str, bytes)):
            text = value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")
            text = _WRAPPED.sub(lambda found: "resp_" + base64.b64decode(found[1]).decode(), text)
            text = _TIME.sub("<time>", text)
            return _RANDOM.sub(lambda found: self._names.setdefault(found[0], f"<{len(self._names)}>"), text)
        if id(value) in self._around:
            return "<around again>"
        self._around.append(id(value))
        try:
            return self._inside(value)
        finally:
            self._around.pop()

    def _inside(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {str(self.of(name)): self.of(item) for name, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [type(value).__name__, *map(self.of, value)]
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        if isinstance(value, BaseException):
            causes = self.of(value.__cause__)
            return {"type": kind, "text": self.of(str(value)), "args": self.of(value.args), "cause": causes}
        if hasattr(value, "SerializeToString"):  # a protobuf message
            return {"type": kind, "text": self.of(str(value))}
        if hasattr(value, "__pydantic_fields__"):
            named = {**vars(value), **(getattr(value, "__pydantic_extra__", None) or {})}
        elif dataclasses.is_dataclass(value):
            named = {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
        else:
            return kind
        return {"type": kind, **{name: self.of(item) for name, item in named.items() if not name.startswith("_")}}
