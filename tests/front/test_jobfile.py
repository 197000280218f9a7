"""Job files: what is refused, in which words, and before anything is built."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from parley import jobfile
from parley.wire.errors import ParleyError

GOOD: dict[str, Any] = {
    "version": 1,
    "name": "overlap",
    "purpose": "Count the customers in common.",
    "parties": {"lender": {"data": "loans"}, "bureau": {"data": "loans"}},
    "steps": {
        "align": {"uses": "psi/ecdh", "roles": {"receiver": "lender", "sender": "bureau"}, "with": {"id": "id"}},
    },
}


def refused(document: Any) -> ParleyError:
    with pytest.raises(ParleyError) as caught:
        jobfile.check(jobfile.parse(document)) if isinstance(document, str) else jobfile.load(document)
    return caught.value


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(GOOD), **changes}


def step(**changes: Any) -> dict[str, Any]:
    job = copy.deepcopy(GOOD)
    job["steps"]["align"].update(changes)
    return job


def test_a_good_job_is_read_from_file_and_mapping(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(GOOD), encoding="utf-8")
    assert jobfile.load(path) == jobfile.load(GOOD)
    assert jobfile.load(path).steps["align"].roles["sender"] == ("bureau",)


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    begun = time.monotonic()
    assert "alias" in refused("\n".join(lines)).cause
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("name: [1", "line"),
        ("name: a\nname: b\n", "twice"),
        ("- 1\n- 2\n", "mapping"),
        ("x: " + "[" * 40 + "]" * 40, "deep"),
        ("x: !!python/object/apply:os.system [ls]", "constructor"),
        ("a: " + "x" * (1 << 20), "larger"),
        ("? [a, b]\n: c\n", "not a word"),
        ("x: [" + "1, " * 60_000 + "1]", "many"),
    ],
)
def test_text_that_is_no_job_is_refused(text: str, word: str) -> None:
    problem = refused(text)
    assert problem.code == "bad_job"
    assert word in problem.cause


@pytest.mark.parametrize(
    ("document", "hint"),
    [
        (changed(purpos="x"), "purpose"),
        (changed(parties={"lender": {"date": "loans"}, "bureau": {}}), "data"),
        (step(wiht={}), "with"),
    ],
)
def test_an_unknown_key_gets_a_suggestion(document: dict[str, Any], hint: str) -> None:
    assert refused(document).hint == f"Did you mean {hint}?"


@pytest.mark.parametrize(
    ("document", "word"),
    [
        (step(needs="trian"), "trian"),
        (step(roles={"receiver": "lender", "sender": "buro"}), "buro"),
        (step(roles={"receiver": "lender", "sender": "lender"}), "two roles"),
        (changed(name="No Good"), "name"),
        (changed(deadline="soon"), "deadline"),
        ({k: v for k, v in GOOD.items() if k != "purpose"}, "purpose"),
    ],
)
def test_structure_problems_name_the_place(document: dict[str, Any], word: str) -> None:
    problem = refused(document)
    assert problem.code == "bad_job"
    assert word in problem.cause


def test_an_unknown_protocol_gets_a_suggestion() -> None:
    problem = refused(step(uses="psi/ecdhh"))
    assert (problem.code, problem.step, problem.hint) == ("unknown_protocol", "align", "Did you mean psi/ecdh?")


def test_parameters_are_checked_against_the_protocol_and_located() -> None:
    problem = refused(step(**{"with": {"id": "id", "florr": 3}}))
    assert (problem.code, problem.step) == ("bad_parameters", "align")
    assert "florr" in problem.cause
    assert refused(step(roles={"receiver": "lender", "senders": "bureau"})).code == "bad_roles"


def test_an_error_never_repeats_a_value() -> None:
    assert "s3cret" not in str(refused(changed(deadline="s3cret")))
