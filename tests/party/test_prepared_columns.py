"""A step that comes after a preparation may name columns that the dataset does not have."""

from __future__ import annotations

from parley.protocols.kit import Sizes
from parley.protocols.planned import is_reshaped, sizes_at
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
