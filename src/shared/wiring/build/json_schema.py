"""The JSON Schema of the whole configuration, for editors: the models of `monitor_config.py` with every choice by name
in its place. `trueline schema` writes it to `configs/trueline.schema.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from shared.core.registry import Registry
from shared.llm.budget.prices import Price
from shared.llm.models.model_settings import EmbeddingCommon, ModelCommon
from shared.monitoring.source_window import window_params_model, window_support_of
from shared.scoring.metric import BoundMetric, spec_of, user_parameters
from shared.wiring.build.build_context import SinkBuilder, SinkCommon
from shared.wiring.build.construct_part import parameters_model
from shared.wiring.config.checker import GivenByName, params_model
from shared.wiring.config.labels_config import LabelsCommon
from shared.wiring.config.monitor_config import MetricCommon, MonitorConfig, SourceCommon
from shared.wiring.config.notify_config import NotifierCommon
from shared.wiring.config.registries import Registries

Schema = dict[str, Any]
_METRIC: Schema = {"$ref": "#/$defs/Metric"}
_VARIABLE: Schema = {"type": "string", "pattern": r"\$\{.+\}", "description": "a variable, ${NAME:-default}"}


def config_schema(registries: Registries) -> Schema:
    """The schema of a monitor's YAML file (JSON Schema 2020-12)."""
    schema = MonitorConfig.model_json_schema()
    place = schema["properties"]
    place["source"] = _choices(registries.sources, "type", _model_schema(SourceCommon)["properties"])
    place["sampling"] = _choices(registries.sampling, "strategy", {})
    place["models"] = {
        "type": "object",
        "description": "language models by the name that metrics ask for them",
        "additionalProperties": _choices(registries.models, "type", _model_schema(ModelCommon)["properties"]),
    }
    prices = {"type": "object", "additionalProperties": {"$ref": "#/$defs/Price"}}
    place["prices"] = {**place["prices"], "anyOf": [prices, {"type": "string"}]}
    schema["$defs"]["Price"] = _model_schema(Price)
    place["embeddings"] = {
        "type": "object",
        "description": "embedding models by the name that metrics ask for them",
        "additionalProperties": _choices(registries.embeddings, "type", _model_schema(EmbeddingCommon)["properties"]),
    }
    place["scored_store"] = _choices(registries.stores, "type", {}, default="sqlite")
    labels = _choices(registries.labels, "type", _model_schema(LabelsCommon)["properties"])
    place["labels"] = {"anyOf": [labels, {"type": "array", "items": labels, "minItems": 1}, {"type": "null"}]}
    notifiers = _choices(registries.notifiers, "type", _model_schema(NotifierCommon)["properties"])
    place["notify"] = {**place["notify"], "items": notifiers}
    place["metrics_config"] = {
        "type": "object",
        "minProperties": 1,
        "description": "metric name -> class (its type) and its parameters",
        "additionalProperties": _METRIC,
    }
    schema["$defs"]["Metric"] = _metrics(registries.metrics)
    publishing = schema["$defs"]["Publishing"]["properties"]
    required = {"required": _model_schema(SinkCommon)["properties"]["required"]}
    for block, kind in (("files", "file"), ("opentelemetry", "opentelemetry"), ("langfuse", "langfuse")):
        branch = _part_schema(registries.sinks, kind)
        publishing[block] = {"anyOf": [{**branch, "properties": branch["properties"] | required}, {"type": "null"}]}
    publishing["sinks"] = {
        "type": "array",
        "description": "more sinks",
        "items": _choices(registries.sinks, "type", _model_schema(SinkCommon)["properties"]),
    }
    schema = _with_variables(_hoist_definitions(schema))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Trueline monitor", **schema}


def _part_schema(registry: Registry, kind: str) -> Schema:
    """A part's parameters; some are found elsewhere where the block does not say them."""
    target = registry.resolve(kind)
    found = _model_schema(parameters_model(target, kind))
    elsewhere = target.found_elsewhere if isinstance(target, SinkBuilder) else ()
    found["required"] = [name for name in found.get("required", ()) if name not in elsewhere]
    return found


def _choices(registry: Registry, key: str, common: Mapping[str, Schema], default: str = "") -> Schema:
    """One branch per known name, and one for dotted paths, whose parameters no schema knows. `default` goes unsaid."""
    branches = []
    for entry in registry.entries():
        target = registry.resolve(entry.name)
        inner = _part_schema(registry, entry.name)
        doc = target.summary if isinstance(target, SinkBuilder) else target.__doc__
        shared = {**common, **(_window_keys(target) if registry.kind == "source" else {}), key: {"const": entry.name}}
        branch = _branch(inner, shared, key, doc)
        if entry.name == default:
            branch["required"].remove(key)
        branches.append(branch)
    names = [entry.name for entry in registry.entries()]
    path = {"type": "object", "required": [key], "properties": {key: _path(names)}}
    return {"oneOf": [*branches, path]}


def _window_keys(source: object) -> dict[str, Schema]:
    support = window_support_of(source)
    found: dict[str, Schema] = {} if support is None else _model_schema(window_params_model(support))["properties"]
    return found


def _metrics(registry: Registry) -> Schema:
    common = _model_schema(MetricCommon)["properties"]
    branches = []
    for entry in registry.entries():
        target = registry.resolve(entry.name)
        params = params_model(target, user_parameters(target), entry.name)
        inner = _model_schema(params)
        for name, info in params.model_fields.items():
            if GivenByName(BoundMetric) in info.metadata:
                inner["properties"][name] = _METRIC
        branches.append(_branch(inner, {**common, "class": {"const": entry.name}}, "class", spec_of(target).summary))
    names = [entry.name for entry in registry.entries()]
    return {"oneOf": [*branches, {"type": "object", "required": ["class"], "properties": {"class": _path(names)}}]}


def _path(names: list[str]) -> Schema:
    return {"type": "string", "pattern": r"[.:]", "not": {"enum": names}, "description": "package.module:attr"}


def _branch(inner: Schema, more: Mapping[str, Schema], key: str, doc: str | None) -> Schema:
    return {
        **inner,
        "title": more[key]["const"],
        "description": (doc or "").split("\n")[0],
        "properties": {**more, **inner.get("properties", {})},
        "required": [key, *(name for name in inner.get("required", []))],
        "additionalProperties": False,
    }


def _model_schema(model: type[BaseModel]) -> Schema:
    return model.model_json_schema()


def _change_mappings(value: Any, change: Callable[[Schema], Schema]) -> Any:
    """A value with every mapping in it changed, from the inside out."""
    if isinstance(value, list):
        return [_change_mappings(each, change) for each in value]
    if isinstance(value, dict):
        return change({key: _change_mappings(each, change) for key, each in value.items()})
    return value


def _hoist_definitions(schema: Schema) -> Schema:
    """The schema with every inner `$defs` moved to the top, where `$ref`s look for them."""
    found: Schema = {}

    def take_out(mapping: Schema) -> Schema:
        found.update(mapping.pop("$defs", {}))
        return mapping

    return {**_change_mappings(schema, take_out), "$defs": found}


def _with_variables(schema: Schema) -> Schema:
    """The schema in which a number or boolean may also be a `${VARIABLE}`."""

    def widen(mapping: Schema) -> Schema:
        plain = mapping.get("type") in ("integer", "number", "boolean") or "enum" in mapping
        return {"anyOf": [mapping, _VARIABLE]} if plain else mapping

    return dict(_change_mappings(schema, widen))
