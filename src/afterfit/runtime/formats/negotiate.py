"""Which format a request has and its answer gets: from the route, Content-Type and Accept.

=============  ============================================  =================================
family         JSON that is read                             the answer, where Accept is silent
=============  ============================================  =================================
predict        rows or columns                               like the request
invocations    MLflow's, Vertex AI's, Azure's, rows/columns  JSON of the form that came in
vertex         instances                                     like the request
azureml        input_data or data, MLflow's, rows/columns    like the request
=============  ============================================  =================================

CSV, JSON lines and Arrow streams are read and written by each. ``/invocations`` answers JSON unless
it is asked for something else, because both MLflow's server and SageMaker's own containers do.

Clients forget the media type (curl sends a form's, aiohttp octet-stream): such bodies are JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple, Protocol

from afterfit.runtime.answers import Answer
from afterfit.runtime.decode import Decoder, Rows
from afterfit.runtime.formats import (
    arrow_stream,
    azureml,
    csv_rows,
    json_lines,
    mlflow_rows,
    predict_json,
    vertex,
)
from afterfit.runtime.formats.tables import parse, wrong
from afterfit.runtime.messages import Response
from afterfit.runtime.problems import HttpError

__all__ = ["Exchange", "Family", "MediaTypeError", "negotiate", "plain_json"]

Family = Literal["predict", "invocations", "vertex", "azureml"]
Decode = Callable[[bytes, Decoder], Rows]
Encode = Callable[[Answer], Response]


class JsonForm(Protocol):
    """A module that reads and writes one form of JSON."""

    @property
    def KEYS(self) -> tuple[str, ...]:  # noqa: N802 - the name of a module's constant
        """The fields that only this form has."""
        ...

    def decode(self, body: bytes, decoder: Decoder) -> Rows:
        """Return the rows of a body."""
        ...

    def rows_of(self, document: Any, decoder: Decoder) -> Rows:
        """Return the rows of a parsed document."""
        ...

    def encode(self, answer: Answer) -> Response:
        """Return the answer."""
        ...


JSON = "application/json"
_LINES = ("application/jsonlines", "application/x-ndjson", "application/ndjson")
_FORMATS = {
    JSON: "json",
    "text/json": "json",
    "text/csv": "csv",
    "application/csv": "csv",
    "application/jsonl": "lines",
    "application/x-jsonlines": "lines",
    **dict.fromkeys(_LINES, "lines"),
    "application/vnd.apache.arrow.stream": "arrow",
}
_TYPES = {
    "json": JSON,
    "csv": "text/csv",
    "lines": json_lines.CONTENT_TYPE,
    "arrow": arrow_stream.CONTENT_TYPE,
}
# What a client sends that says nothing about the body.
_SILENT = frozenset(
    {"", "application/x-www-form-urlencoded", "application/octet-stream", "text/plain"}
)
_UTF8 = frozenset({"", "utf-8", "utf8", "us-ascii"})
_HEADERS = {"present": True, "absent": False}
_JSON_FORMS: dict[str, tuple[JsonForm, ...]] = {
    "predict": (predict_json,),
    "vertex": (vertex,),
    "invocations": (mlflow_rows, vertex, azureml, predict_json),
    "azureml": (azureml, mlflow_rows, predict_json),
}


class MediaTypeError(HttpError):
    """A body that cannot be read (415), or an answer that cannot be written (406)."""

    def __init__(self, status: int, message: str) -> None:
        known = ", ".join(_TYPES.values())
        headers = (("accept", known),) if status == 415 else ()
        super().__init__(status, f"{message}; there are {known}", headers)


class Exchange(NamedTuple):
    """How to read one request and how to write its answer."""

    decode: Decode
    encode: Encode


class _Plan(NamedTuple):
    """What the headers say: a format of the request, and one of the answer or None for JSON."""

    read: str
    header: bool | None
    write: str
    content_type: str


class _Json:
    """JSON of one of several forms: what was read decides what is written."""

    def __init__(self, forms: tuple[JsonForm, ...]) -> None:
        self.forms = forms
        self.form = forms[0]

    def decode(self, body: bytes, decoder: Decoder) -> Rows:
        """Return the rows; raises MalformedError, FieldError or TooLargeError."""
        if len(self.forms) == 1:
            return self.form.decode(body, decoder)
        document = parse(body, decoder)
        self.form = _form_of(document, self.forms)
        return self.form.rows_of(document, decoder)

    def encode(self, answer: Answer) -> Response:
        """Return the answer in the form that was read."""
        return self.form.encode(answer)


def negotiate(family: Family, content_type: bytes = b"", accept: bytes = b"") -> Exchange:
    """Return how to read the request and write its answer; raises MediaTypeError.

    Use both functions of one exchange for one request: what is read can decide what is written.
    """
    plan = _plan(family, content_type, accept)
    json = _Json(_JSON_FORMS[family])
    readers: dict[str, Decode] = {
        "json": json.decode,
        "csv": partial(csv_rows.decode, header=plan.header),
        "lines": json_lines.decode,
        "arrow": arrow_stream.decode,
    }
    writers: dict[str, Encode] = {
        "json": json.encode,
        "csv": csv_rows.encode,
        "lines": partial(_lines, plan.content_type),
        "arrow": arrow_stream.encode,
    }
    return Exchange(readers[plan.read], writers[plan.write])


@lru_cache(maxsize=256)
def plain_json(content_type: bytes, accept: bytes) -> bool:
    """Return whether both the body and the answer are JSON, as nearly always on ``/predict``."""
    plan = _plan("predict", content_type, accept)
    return plan.read == plan.write == "json"


@lru_cache(maxsize=256)
def _plan(family: Family, content_type: bytes, accept: bytes) -> _Plan:
    given, parameters = _media_type(content_type.decode("latin-1"))
    read = _read_format(given)
    if parameters.get("charset", "").lower() not in _UTF8:
        raise MediaTypeError(415, f"charset {parameters['charset'][:40]!r}: a body is UTF-8")
    header = None
    if read == "csv" and "header" in parameters:
        header = _HEADERS.get(parameters["header"].lower())
        if header is None:
            raise MediaTypeError(415, "the parameter header of text/csv is present or absent")
    default = _TYPES["json" if family == "invocations" else read]
    if read == "lines" and default != JSON:
        default = given
    written = _accepted(accept.decode("latin-1"), default)
    return _Plan(read, header, _FORMATS[written], written)


def _read_format(given: str) -> str:
    if given in _SILENT or given.endswith("+json"):
        return "json"
    found = _FORMATS.get(given)
    if found is None:
        raise MediaTypeError(415, f"bodies of {given[:80]!r} are not read")
    return found


def _accepted(accept: str, default: str) -> str:
    """Return the media type to write: the first that is liked best, weights (q) considered."""
    ranges = []
    for part in accept.split(","):
        name, parameters = _media_type(part)
        weight = _weight(parameters.get("q", "1"))
        if name and weight > 0:
            ranges.append((weight, name))
    if not ranges:
        return default
    for _, name in sorted(ranges, key=lambda each: -each[0]):
        if name in _FORMATS:
            return name
        if name == "*/*" or (name.endswith("/*") and default.startswith(name[:-1])):
            return default
        if name in ("application/*", "text/*"):
            return JSON if name == "application/*" else "text/csv"
    raise MediaTypeError(406, f"none of {accept[:80]!r} can be written")


def _media_type(text: str) -> tuple[str, dict[str, str]]:
    """Return the type in lower case and its parameters."""
    name, *rest = (part.strip() for part in text.split(";"))
    pairs = (part.partition("=") for part in rest if part)
    return name.lower(), {key.strip().lower(): value.strip(" \"'") for key, _, value in pairs}


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


def _form_of(document: Any, forms: tuple[JsonForm, ...]) -> JsonForm:
    """Return the form whose field the document has; raises FieldError where there is none."""
    if isinstance(document, dict):
        if "parameters" in document and vertex in forms:
            return vertex
        for form in forms:
            if not document.keys().isdisjoint(form.KEYS):
                return form
    keys = dict.fromkeys(f'"{key}"' for form in forms for key in form.KEYS)
    raise wrong("$", f"expected an object with one of {', '.join(keys)}")


def _lines(content_type: str, answer: Answer) -> Response:
    return json_lines.encode(answer)._replace(content_type=content_type)
