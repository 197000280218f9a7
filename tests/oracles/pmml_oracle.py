"""A small evaluator of the PMML elements that models here use, written from the standard and row by row.

It reads MiningModel (modelChain, sum), TreeModel (defaultChild), RegressionModel, SimplePredicate, SimpleSetPredicate,
DerivedField expressions; anything else is an error. A row is a dict of texts and numbers, None where missing.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from typing import Any

Row = dict[str, Any]
NS = "{http://www.dmg.org/PMML-4_4}"


def evaluate(document: str, row: Row) -> Row:
    """The outputs of the document's model, or the derived fields of a document without one."""
    root = ET.fromstring(document)
    known = {f.attrib["name"]: f.attrib["dataType"] for f in root.find(f"{NS}DataDictionary")}
    assert len(known) == int(root.find(f"{NS}DataDictionary").attrib["numberOfFields"])
    fields = {n: row[n] for n in known}
    transforms = root.find(f"{NS}TransformationDictionary")
    if transforms is not None:
        return {d.attrib["name"]: expression(d[0], fields) for d in transforms}
    (model,) = (e for e in root if e.tag in (f"{NS}MiningModel", f"{NS}RegressionModel"))
    _, outputs = score(model, fields)
    return outputs


def score(model: ET.Element, fields: Row) -> tuple[float | None, Row]:
    kind = model.tag.removeprefix(NS)
    schema = {m.attrib["name"] for m in model.find(f"{NS}MiningSchema")}
    fields = {n: fields[n] for n in schema}
    return {"MiningModel": mining, "TreeModel": tree, "RegressionModel": regression}[kind](model, fields)


def mining(model: ET.Element, fields: Row) -> tuple[float | None, Row]:
    segmentation = model.find(f"{NS}Segmentation")
    method = segmentation.attrib["multipleModelMethod"]
    scope, values, outputs = dict(fields), [], {}
    for segment in segmentation:
        predicate, inner = list(segment)
        if holds(predicate, scope) is not True:
            continue
        value, outputs = score(inner, scope)
        scope |= outputs
        values.append(value)
    if method == "modelChain":
        return values[-1], outputs
    assert method == "sum"
    total = math.fsum(values)
    targets = model.find(f"{NS}Targets")
    if targets is not None:
        total += float(targets[0].attrib["rescaleConstant"])
    return total, {o.attrib["name"]: total for o in model.find(f"{NS}Output") or []}


def tree(model: ET.Element, fields: Row) -> tuple[float | None, Row]:
    assert model.attrib["missingValueStrategy"] == "defaultChild"
    node = model.find(f"{NS}Node")
    while children := node.findall(f"{NS}Node"):
        for child in children:
            found = holds(child[0], fields)
            if found is None:
                node = next(c for c in children if c.attrib["id"] == node.attrib["defaultChild"])
                break
            if found:
                node = child
                break
        else:
            raise AssertionError("no child is true")
    return float(node.attrib["score"]), {}


def holds(predicate: ET.Element, fields: Row) -> bool | None:
    kind = predicate.tag.removeprefix(NS)
    if kind in ("True", "False"):
        return kind == "True"
    value = fields[predicate.attrib["field"]]
    if kind == "SimplePredicate" and predicate.attrib["operator"] in ("isMissing", "isNotMissing"):
        return (value is None) == (predicate.attrib["operator"] == "isMissing")
    if value is None:
        return None
    if kind == "SimplePredicate":
        wanted = predicate.attrib["value"]
        return value <= float(wanted) if predicate.attrib["operator"] == "lessOrEqual" else str(value) == wanted
    assert kind == "SimpleSetPredicate"
    array = predicate[0]
    values = [re.sub(r"\\(.)", r"\1", v) for v in re.findall(r'"((?:[^"\\]|\\.)*)"', array.text or "")]
    assert len(values) == int(array.attrib["n"])
    return (value in values) == (predicate.attrib["booleanOperator"] == "isIn")


def regression(model: ET.Element, fields: Row) -> tuple[float | None, Row]:
    tables = model.findall(f"{NS}RegressionTable")
    raw = [
        float(t.attrib["intercept"])
        + sum(float(p.attrib["coefficient"]) * fields[p.attrib["name"]] for p in t.findall(f"{NS}NumericPredictor"))
        for t in tables
    ]
    method = model.attrib["normalizationMethod"]
    if method == "softmax":
        top = max(raw)
        powers = [math.exp(v - top) for v in raw]
        values = [p / sum(powers) for p in powers]
    elif method == "logit":
        assert len(raw) == 2
        first = 1 / (1 + math.exp(-raw[0]))
        values = [first, 1 - first]
    else:
        values = [math.exp(v) if method == "exp" else v for v in raw]
    by_class = {t.attrib.get("targetCategory"): v for t, v in zip(tables, values, strict=True)}
    outputs = {}
    for field in model.find(f"{NS}Output"):
        wanted = field.attrib.get("value") if field.attrib["feature"] == "probability" else None
        outputs[field.attrib["name"]] = by_class[wanted]
    return values[0], outputs


def expression(node: ET.Element, fields: Row) -> Any:
    kind = node.tag.removeprefix(NS)
    if kind == "Constant":
        return float(node.text) if node.attrib["dataType"] == "double" else node.text or ""
    if kind == "FieldRef":
        return fields[node.attrib["field"]]
    assert kind == "Apply"
    function, parts = node.attrib["function"], list(node)
    if function == "if":
        return expression(parts[1 if expression(parts[0], fields) else 2], fields)
    values = [expression(p, fields) for p in parts]
    if function == "isMissing":
        return values[0] is None
    if function == "isIn":
        return values[0] in values[1:]
    return {"lessOrEqual": lambda: values[0] <= values[1], "sum": lambda: sum(values),
            "*": lambda: values[0] * values[1]}[function]()  # fmt: skip
