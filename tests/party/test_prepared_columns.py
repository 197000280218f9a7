"""A step that comes after a preparation may name columns that the dataset does not have."""

from __future__ import annotations

import pytest

from parley.protocols.kit import Sizes
from parley.protocols.planned import check_needs, check_rows, is_reshaped, sizes_at
from parley.wire.errors import ParleyError
from parley.wire.jobspec import JobSpec

ROLES = {"receiver": "bank", "sender": ["shop"]}
MEMBERS = {"member": ["bank", "shop"]}
TRAINERS = {"label": "bank", "features": ["shop"]}


def test_only_steps_before_any_preparation_are_held_to_the_datasets_columns():
    spec = JobSpec.model_validate(
        {
            "name": "prepared",
            "purpose": "a test of preparation",
            "parties": {"bank": {"data": "loans"}, "shop": {"data": "sales"}},
            "steps": {
                "align": {"uses": "psi/ecdh", "roles": ROLES},
                "split": {"uses": "prep/split", "roles": MEMBERS, "needs": ["align"]},
                "encode": {"uses": "prep/encode", "roles": MEMBERS, "needs": ["split"]},
                "train": {"uses": "gbdt/vertical", "roles": TRAINERS, "needs": ["encode"]},
                "plain": {"uses": "gbdt/vertical", "roles": TRAINERS, "needs": ["split"]},
                "score": {"uses": "gbdt/predict", "roles": TRAINERS, "needs": ["align", "train"]},
            },
        }
    )
    assert {n for n in spec.steps if not is_reshaped(spec, n)} == {"align", "split", "encode", "plain"}
    sizes = Sizes({"bank": 10, "shop": 10}, {"bank": 3, "shop": 4})
    assert sizes_at(spec, "train", sizes).columns == {"bank": 96, "shop": 128}
    assert sizes_at(spec, "plain", sizes) == sizes


def drawn(steps: dict[str, object]) -> JobSpec:
    parties = {"bank": {"data": "loans"}, "shop": {"data": "sales"}}
    base = {"align": {"uses": "psi/ecdh", "roles": ROLES}}
    return JobSpec.model_validate({"name": "x", "purpose": "a test of rows", "parties": parties, "steps": base | steps})


def sample(*who: str, needs: str = "align") -> dict[str, object]:
    return {"uses": "prep/sample", "roles": {"member": list(who)}, "needs": [needs], "with": {"share": 0.5}}


def training(*needs: str) -> dict[str, object]:
    return {"uses": "gbdt/vertical", "roles": TRAINERS, "needs": list(needs)}


def test_rows_that_each_party_drew_for_itself_are_refused():
    apart = {"a": sample("bank"), "b": sample("shop"), "train": training("a", "b")}
    alone = {"a": sample("bank"), "train": training("align", "a")}
    for steps in (apart, alone):
        with pytest.raises(ParleyError) as e:
            check_rows(drawn(steps))
        assert (e.value.code, e.value.step) == ("rows_differ", "train")


def test_rows_that_all_drew_together_are_not():
    scale = {"uses": "prep/scale", "roles": {"member": "bank"}, "needs": ["a"]}
    check_rows(drawn({"a": sample("bank", "shop"), "scale": scale, "train": training("a", "scale")}))
    again = {"uses": "gbdt/predict", "roles": TRAINERS, "needs": ["align", "train"]}
    check_rows(drawn({"a": sample("bank", "shop"), "train": training("a"), "score": again}))


@pytest.mark.parametrize(
    ("uses", "wanted", "makers"),
    [("evaluate", "scores", "gbdt/predict, gbdt/score, gbdt/vertical, linear/predict"),
     ("linear/predict", "a linear model", "linear/vertical"), ("gbdt/explain", "a boosted model", "gbdt/vertical"),
     ("nn/predict", "a network", "nn/split")],
)  # fmt: skip
def test_a_step_that_looks_for_what_nothing_it_needs_leaves_is_refused_before_it_runs(uses, wanted, makers):
    def steps(before: str) -> JobSpec:
        roles = {"label": "bank", "features": "shop"}
        return drawn({
            "fit": {"uses": before, "roles": roles, "with": {"label": "y"}},
            "then": {"uses": uses, "needs": ["fit"], "roles": {"label": "bank"} if uses == "evaluate" else roles},
        })  # fmt: skip

    wrong = "linear/vertical" if uses != "linear/predict" else "gbdt/vertical"
    with pytest.raises(ParleyError, match=f"looks for {wanted}") as e:
        check_needs(steps(wrong))
    assert (e.value.code, e.value.step) == ("bad_needs", "then")
    assert makers in e.value.hint
    check_needs(steps("gbdt/vertical" if uses == "evaluate" else makers))
