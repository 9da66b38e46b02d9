"""What pydantic found wrong with a file's data, in the words of the file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from accelsim.errors import Problem
from accelsim.frontend.source import Document, KeyPath, in_file_order
from accelsim.text import nearest, parts_of, shown

JsonSchema: TypeAlias = dict[str, Any]

_MOST_DETAILS = 500
"""Of one record; where more is wrong, these say enough."""

_MISSING = frozenset({"missing", "missing_argument", "missing_keyword_only_argument"})
_UNKNOWN = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
_EXPECTED: Mapping[str, str] = {  # pydantic's error type: what should stand there
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "finite_number": "a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "string_type": "quoted text",
    "string_too_short": "text of {min_length} or more characters",
    **dict.fromkeys(("list_type", "tuple_type", "set_type"), "a list"),
    **dict.fromkeys(("dict_type", "mapping_type"), "a mapping"),
    **dict.fromkeys(("model_type", "model_attributes_type", "dataclass_type"), "a mapping"),
    **dict.fromkeys(("literal_error", "enum"), "{expected}"),
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: with the value at `path`, or with its key."""

    path: KeyPath
    message: str
    at_key: bool = False


def validation_problems(
    error: ValidationError, document: Document, schema: JsonSchema
) -> list[Problem]:
    """Every problem of a whole document that pydantic refused, in file order.

    `schema` is the JSON schema of what it was validated against; it names the valid keys.
    """
    found = findings(error, document.data, schema)
    return in_file_order(document.problem(f.path, f.message, f.at_key) for f in found)


def findings(error: ValidationError, data: object, schema: JsonSchema) -> list[Finding]:
    """What is wrong with `data`, with paths into it.

    Pydantic reports every branch of a union; here they become one finding, from the branch
    that got furthest.
    """
    details = error.errors(include_url=False)[:_MOST_DETAILS]
    located = [(_existing(detail["loc"], data), detail) for detail in details]
    groups: dict[KeyPath, list[ErrorDetails]] = {}
    for path, detail in located:
        deeper = (
            other[: len(path)] == path and len(rival["loc"]) > len(detail["loc"])
            for other, rival in located
            if rival["type"] not in _MISSING | _UNKNOWN
        )
        if detail["type"] in _MISSING:
            groups.setdefault((*path, detail["loc"][-1]), []).append(detail)
        elif detail["type"] in _UNKNOWN or not any(deeper):
            groups.setdefault(path, []).append(detail)
    return [_finding(path, details, data, schema) for path, details in groups.items()]


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """`unknown key 'strid'; did you mean 'stride'?`, or the list where none is near."""
    names = sorted(known)
    near = nearest(name, names)
    hint = f"did you mean {near!r}?" if near else f"use one of {', '.join(names)}"
    hint = parts_of(name, names) or hint
    return f"unknown {kind} {shown(name)}" + (f"; {hint}" if names else f"; no {kind} fits here")


def _existing(location: Sequence[str | int], data: object) -> KeyPath:
    """The parts of a pydantic location that are in the data; it puts union members between."""
    path: list[str | int] = []
    for part in location:
        if (isinstance(data, dict) and part in data) or (
            isinstance(data, (list, tuple)) and isinstance(part, int) and part < len(data)
        ):
            path.append(part)
            data = data[part]  # type: ignore[index]
    return tuple(path)


def _finding(
    path: KeyPath, details: list[ErrorDetails], data: object, schema: JsonSchema
) -> Finding:
    first = details[0]
    if first["type"] in _MISSING:
        name = path[-1]
        return Finding(path, f"missing {'key' if isinstance(name, str) else 'value'} {name!r}")
    if first["type"] in _UNKNOWN:
        known = _keys([schema], path[:-1], schema.get("$defs", {}))
        return Finding(path, unknown("key", str(path[-1]), known), at_key=True)
    expected = dict.fromkeys(
        _EXPECTED[detail["type"]].format(**detail.get("ctx", {}))
        for detail in details
        if detail["type"] in _EXPECTED
    )
    if expected:
        return Finding(path, f"expected {' or '.join(expected)}, found {_found(data, path)}")
    cause = first.get("ctx", {}).get("error")
    return Finding(path, str(cause) if cause else first["msg"][:1].lower() + first["msg"][1:])


def _found(data: Any, path: KeyPath) -> str:
    for part in path:
        data = data[part]
    if data is None:
        return "nothing"
    if isinstance(data, bool):
        return str(data).lower()
    if isinstance(data, dict):
        return "a mapping" if data else "an empty mapping"
    if isinstance(data, (list, tuple)):
        return f"a list of {len(data)}" if data else "an empty list"
    return shown(data)


def _keys(schemas: list[JsonSchema], path: KeyPath, definitions: JsonSchema) -> set[str]:
    """The keys that a JSON schema knows at `path`, over all members of a union."""
    members = [member for schema in schemas for member in _members(schema, definitions)]
    if not path:
        return {key for member in members for key in member.get("properties", {})}
    return _keys([s for member in members for s in _step(member, path[0])], path[1:], definitions)


def _members(schema: JsonSchema, definitions: JsonSchema) -> list[JsonSchema]:
    """The schema behind references and unions."""
    if "$ref" in schema:
        return _members(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    union = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return [member for part in union for member in _members(part, definitions)] or [schema]


def _step(schema: JsonSchema, part: str | int) -> list[JsonSchema]:
    """The schemas of what lies under one key or index."""
    if part in schema.get("properties", {}):
        return [schema["properties"][part]]
    inside = schema.get("additionalProperties" if isinstance(part, str) else "items")
    return [inside] if isinstance(inside, dict) else []
