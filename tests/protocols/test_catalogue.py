"""The protocols' pages say what the declarations say, and the files are what the code makes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from parley.protocols import catalogue, registry
from parley.protocols.kit import SEMI_HONEST, Protocol

FOLDER = Path(__file__).parents[2] / "docs" / "protocols"


def test_the_files_are_what_the_code_makes():
    assert catalogue.main([str(FOLDER), "--check"]) == 0, "run: make docs"


def test_a_changed_or_left_over_page_is_noticed_and_mended(tmp_path):
    assert catalogue.main([str(tmp_path), "--write"]) == 0 == catalogue.main([str(tmp_path), "--check"])
    (tmp_path / "gone.md").write_text("x", encoding="utf-8")
    assert catalogue.main([str(tmp_path), "--check"]) == 1
    assert catalogue.main([str(tmp_path), "--write"]) == 0 == catalogue.main([str(tmp_path), "--check"])


@pytest.mark.parametrize("name", registry.names())
def test_every_page_is_the_protocols_own(name):
    protocol = registry.load(name)
    assert "learns" in protocol.page, "the docstring of the module that makes the protocol says who learns what"
    for page in (catalogue.text(protocol), catalogue.markdown(protocol)):
        assert protocol.page in page
        assert all(disclosure in page for told in protocol.learns.values() for disclosure in told)


class Size(BaseModel):
    top: float = Field(gt=0, lt=1)


class Params(BaseModel):
    id: str | dict[str, str]
    mode: Literal["fast", "strict"] = "fast"
    rounds: int = Field(default=3, ge=1, le=9)
    size: Size | None = None
    names: list[str] = []
    most: int = 0


def test_parameters_and_conditions_in_words():
    protocol = Protocol(
        "a/b",
        version=1,
        security=SEMI_HONEST,
        summary="s",
        roles={"member": "many"},
        steps=[],
        learns={"member": ["count", "large"], "coordinator": []},
        params=Params,
        when={"member.large": ("size",), "member.count": ("mode", "fast")},
    )
    declared = protocol.declaration()
    assert catalogue.parameters(declared) == [
        ("id", "text or text by name", "needed"),
        ("mode", "fast | strict", "fast"),
        ("rounds", "integer 1..9", "3"),
        ("size", "{top: number >0..<1}", "none"),
        ("names", "list of text", "empty"),
        ("most", "integer", "0"),
    ]
    assert catalogue.learned(declared)["member"] == ["count (with mode: fast)", "large (with size)"]
    assert declared.learned({"mode": "strict"})["member"] == ()
    assert declared.learned({"size": {"top": 0.2}})["member"] == ("count", "large")


def test_a_condition_on_nothing_is_refused():
    for when in ({"member.other": ("mode",)}, {"member.count": ("modes",)}):
        with pytest.raises(TypeError, match="condition"):
            Protocol(
                "a/b", version=1, security=SEMI_HONEST, summary="s", roles={"member": "many"}, steps=[],
                learns={"member": ["count"]}, params=Params, when=when,
            )  # fmt: skip
