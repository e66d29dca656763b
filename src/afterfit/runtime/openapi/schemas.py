"""Signatures as JSON Schema (draft 2020-12, as OpenAPI 3.1 has it).

A schema refuses nothing that the server takes: a value out of the reference range and a category
never seen are served with a flag, so ranges are words and an ``enum`` has a plain string beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afterfit.core.signature import Column, Signature
from afterfit.runtime.answers import word
from afterfit.runtime.decode import Limits
from afterfit.runtime.example import example_columns
from afterfit.runtime.oip import DATATYPES, input_tensors

__all__ = ["ANY_OBJECT", "SHARED", "TEXT", "model_schemas", "reference"]

Schema = dict[str, Any]
MOST_CATEGORIES = 50
INT64 = 2**63
SHOWN_CATEGORIES = 5
ANY_OBJECT: Schema = {"type": "object"}
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
NOTHING: Schema = {"anyOf": [{"type": "null"}, {"type": "object", "maxProperties": 0}]}

SHARED: dict[str, Schema] = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {"type": "string", "description": "What is wrong."},
            "fields": {
                "type": "array",
                "description": "Each field that cannot be used, at most 20.",
                "items": {
                    "type": "object",
                    "required": ["path", "message"],
                    "properties": {
                        "path": {"type": "string", "examples": ["$.rows[0].age"]},
                        "message": TEXT,
                    },
                },
            },
            "request_id": {"type": "string", "description": "Look for it in the server's log."},
        },
    },
    "Tensor": {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": TEXT,
            "datatype": {"enum": sorted(DATATYPES)},
            "shape": {"type": "array", "items": {"type": "integer"}},
        },
    },
    "Labels": {
        "type": "object",
        "additionalProperties": False,
        "required": ["labels"],
        "properties": {
            "labels": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "description": "One of event_id and entity, and one of label and value.",
                    "additionalProperties": False,
                    "properties": {
                        "event_id": {"type": "string", "description": "The id of a prediction."},
                        "entity": TEXT,
                        "label": {"description": "The true class."},
                        "value": {"type": "number", "description": "The true value."},
                        "ts": {"description": "When it was known: ISO 8601 or since 1970."},
                    },
                },
            }
        },
    },
    "LabelsTaken": {
        "type": "object",
        "required": ["accepted", "duplicates"],
        "properties": {"accepted": {"type": "integer"}, "duplicates": {"type": "integer"}},
    },
}


def reference(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def model_schemas(
    key: str, signature: Signature, limits: Limits, row: Mapping[str, Any]
) -> dict[str, Schema]:
    """Return the schemas of one model by their names, which begin with ``key``.

    ``row`` is an example that the model takes.
    """
    shared = {"description": "The object that each row is about, one a row.", "type": "array"}
    entities = {**shared, "items": {"type": "string", "maxLength": 256}}
    columns = {"columns": reference(f"{key}.Columns"), "entities": entities}
    return {
        f"{key}.Row": _row(signature, limits, dict(row)),
        f"{key}.Rows": _several(reference(f"{key}.Row"), limits),
        f"{key}.Columns": _columns(signature, limits, dict(row)),
        f"{key}.PredictRequest": {
            "oneOf": [
                _form({"rows": reference(f"{key}.Rows"), "entities": entities}, "rows"),
                _form(columns, "columns"),
            ]
        },
        f"{key}.Prediction": _prediction(signature),
        f"{key}.PredictResponse": _predictions(key),
        f"{key}.InvocationsRequest": {"anyOf": _invocations(key, limits)},
        f"{key}.VertexRequest": _form(
            {"instances": _table(key, limits), "parameters": NOTHING}, "instances"
        ),
        f"{key}.AzureRequest": {"anyOf": [*_azure(key, limits), *_invocations(key, limits)]},
        f"{key}.InferRequest": _infer_request(signature),
        f"{key}.InferResponse": _infer_response(signature),
    }


def _row(signature: Signature, limits: Limits, row: dict[str, Any]) -> Schema:
    properties = {c.name: _described(c, limits, row[c.name]) for c in signature.columns}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(signature.names),
        "properties": properties,
        "examples": [row],
    }


def _columns(signature: Signature, limits: Limits, row: dict[str, Any]) -> Schema:
    properties = {c.name: _several(_value(c, limits), limits) for c in signature.columns}
    return {
        "type": "object",
        "description": "An array for each column, all of one length.",
        "additionalProperties": False,
        "required": list(signature.names),
        "properties": properties,
        "examples": [example_columns(row)],
    }


def _described(column: Column, limits: Limits, example: Any) -> Schema:
    words = _words(column)
    described = {"description": words} if words else {}
    return {**_value(column, limits), **described, "examples": [example]}


def _value(column: Column, limits: Limits) -> Schema:
    """Return what one value of the column may be."""
    if column.kind in {"category", "text"}:
        return _text(column, limits)
    bounds = {"format": "int64", "minimum": -INT64, "maximum": INT64 - 1}
    kind: str = column.kind
    return {
        "type": [kind, "null"] if column.nullable else kind,
        **(bounds if column.kind == "integer" else {}),
    }


def _text(column: Column, limits: Limits) -> Schema:
    plain = {"type": "string", "maxLength": limits.string_characters}
    known = column.categories if column.kind == "category" else ()
    if not 0 < len(known) <= MOST_CATEGORIES:
        return {**plain, "type": ["string", "null"]} if column.nullable else plain
    choices: list[Schema] = [{"enum": list(known)}, plain]
    return {"anyOf": [*choices, {"type": "null"}] if column.nullable else choices}


def _words(column: Column) -> str:
    """Return what the reference data held, for people."""
    told = []
    if column.low is not None and column.high is not None and column.kind != "boolean":
        told.append(
            f"Reference range {column.low:g} to {column.high:g}; a value outside is served and"
            " flagged `range`."
        )
    if column.kind == "category" and column.categories:
        count = len(column.categories)
        shown = ", ".join(column.categories[:SHOWN_CATEGORIES])
        several = f"{count} known categories" if count > 1 else "One known category"
        more = ", …" if count > SHOWN_CATEGORIES else ""
        told.append(f"{several} ({shown}{more}); any other is served and flagged `new_category`.")
    if column.nullable:
        told.append("null where it is not known.")
    return " ".join(told)


def _several(item: Schema, limits: Limits) -> Schema:
    return {"type": "array", "minItems": 1, "maxItems": limits.rows, "items": item}


def _form(properties: dict[str, Schema], required: str) -> Schema:
    return {
        "type": "object",
        "title": required,
        "additionalProperties": False,
        "required": [required],
        "properties": properties,
    }


def _table(key: str, limits: Limits) -> Schema:
    """Return rows as objects, or as arrays in the signature's order."""
    arrays = _several({"type": "array"}, limits)
    return {"anyOf": [reference(f"{key}.Rows"), arrays]}


def _invocations(key: str, limits: Limits) -> list[Schema]:
    """Return the forms of MLflow's scoring server, and the server's own."""
    split = {
        "type": "object",
        "additionalProperties": False,
        "required": ["columns", "data"],
        "properties": {
            "columns": {"type": "array", "items": TEXT},
            "index": {"type": "array"},
            "data": _several({"type": "array"}, limits),
        },
    }
    table = {"anyOf": [*_table(key, limits)["anyOf"], reference(f"{key}.Columns")]}
    one_row = {"anyOf": [*table["anyOf"], reference(f"{key}.Row")]}
    return [
        _form({"dataframe_split": split, "params": NOTHING}, "dataframe_split"),
        _form(
            {"dataframe_records": reference(f"{key}.Rows"), "params": NOTHING},
            "dataframe_records",
        ),
        _form({"instances": table, "params": NOTHING}, "instances"),
        _form({"inputs": one_row, "params": NOTHING}, "inputs"),
        reference(f"{key}.PredictRequest"),
    ]


def _azure(key: str, limits: Limits) -> list[Schema]:
    split = {"type": "object", "required": ["columns", "data"]}
    table = {"anyOf": [split, *_table(key, limits)["anyOf"], reference(f"{key}.Columns")]}
    return [
        _form({"input_data": table, "params": NOTHING}, "input_data"),
        _form({"data": _table(key, limits), "params": NOTHING}, "data"),
    ]


def _prediction(signature: Signature) -> Schema:
    """Return what is said of one row."""
    properties: dict[str, Schema] = {
        "id": {"type": "string", "format": "uuid", "description": "The event; labels name it."}
    }
    if signature.task == "regression":
        properties["value"] = {"type": "number", "description": f"The {signature.target}."}
    else:
        properties["label"] = {"enum": list(signature.classes), "description": _decided(signature)}
    if signature.classes and signature.probabilities:
        words = [word(label) for label in signature.classes]
        properties["probabilities"] = {
            "type": "object",
            "required": words,
            "properties": dict.fromkeys(words, NUMBER),
        }
    return {"type": "object", "required": list(properties), "properties": properties}


def _decided(signature: Signature) -> str:
    if signature.task == "binary" and signature.threshold is not None:
        return f"{signature.positive!r} from a probability of {signature.threshold:g}."
    return "The most probable class."


def _predictions(key: str) -> Schema:
    return {
        "type": "object",
        "required": ["model", "version", "digest", "predictions"],
        "properties": {
            "model": TEXT,
            "version": {"type": "integer"},
            "digest": {"type": "string", "description": "SHA-256 of the bundle."},
            "predictions": {"type": "array", "items": reference(f"{key}.Prediction")},
        },
    }


def _infer_request(signature: Signature) -> Schema:
    names = {tensor["name"] for tensor in input_tensors(signature)} | set(signature.names)
    parameters = {"parameters": ANY_OBJECT}
    tensor = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"enum": sorted(names)},
            "datatype": {"enum": sorted(DATATYPES)},
            "shape": {
                "type": "array",
                "minItems": 1,
                "maxItems": 2,
                "items": {"type": "integer", "minimum": 0},
            },
            "data": {"type": "array", "description": "Flat or nested, row by row; null: missing."},
            **parameters,
        },
    }
    output = {"type": "object", "required": ["name"], "properties": {"name": TEXT, **parameters}}
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": TEXT,
            "inputs": {"type": "array", "minItems": 1, "items": tensor},
            "outputs": {"type": "array", "items": output},
            **parameters,
        },
    }


def _infer_response(signature: Signature) -> Schema:
    names = ["value"] if signature.task == "regression" else ["label"]
    if signature.classes and signature.probabilities:
        names.append("probabilities")
    tensor = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            **SHARED["Tensor"]["properties"],
            "name": {"enum": names},
            "data": {"type": "array"},
        },
    }
    return {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "model_name": TEXT,
            "model_version": TEXT,
            "id": TEXT,
            "outputs": {"type": "array", "items": tensor},
        },
    }
