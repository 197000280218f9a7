"""FATE's DAGs as jobs: every example of theirs is either a job that checks out or told to have no equivalent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fate_dags import EXAMPLES, Builder

from parley import jobfile
from parley.fate import convert, read
from parley.fate.dag import of
from parley.protocols import registry
from parley.wire.errors import ParleyError

# What this version says openly that it does not have.
WITHOUT = {"homo_lr", "homo_nn"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_becomes_a_job_or_says_what_it_lacks(name):
    dag = of(EXAMPLES[name]())
    made = convert(dag)
    left_out = [t for t in dag.tasks.values() if t.component in WITHOUT]
    assert len([m for m in made.missing if "component" in m]) == len(left_out), made.missing
    if "upload" in name:
        assert made.missing == ["job: none of its tasks has an equivalent"]
        return
    spec = jobfile.check(made.job)
    assert {s.uses for s in spec.steps.values()} <= set(registry.names())
    remarked = {m.split(":")[0] for m in made.missing}
    silent = [t.name for t in dag.tasks.values() if t.component != "reader" and t.name not in {*spec.steps, *remarked}]
    assert not [name for name in silent if not any(s.startswith(name) for s in spec.steps)]


def test_boosting_keeps_its_parameters_and_says_what_differs():
    made = convert(of(EXAMPLES["sbt multi"]()), label="class", id="number")
    step = made.job["steps"]["model_0"]
    assert step["uses"] == "gbdt/vertical"
    assert step["needs"] == ["psi_0"]
    assert step["roles"] == {"label": "guest-9999", "features": ["host-10000"]}
    wanted = {"label": "class", "id": "number", "objective": "multi", "classes": 4, "trees": 3, "lambda": 0.1}
    assert wanted.items() <= step["with"].items()
    assert any("l1" in remark for remark in made.changed)


def test_a_division_keeps_its_shares_and_later_steps_need_it():
    made = convert(of(EXAMPLES["multi_model with_predict"]()))
    steps = made.job["steps"]
    assert steps["split_0"]["with"] == {"test": 0.3, "by": "stratified", "column": "y"}
    assert steps["sbt_0"]["needs"] == ["split_0"]
    assert set(steps["sbt_1"]["needs"]) == {"split_0", "sbt_0"}
    assert steps["evaluation_0"]["needs"] == ["sbt_1"]


def test_a_warm_start_and_several_hosts():
    assert convert(of(EXAMPLES["sbt warm_start"]())).job["steps"]["second_0"]["with"]["warm_start"] is True
    several = convert(of(EXAMPLES["psi multi_host"]()))
    assert several.job["steps"]["psi_0"]["roles"] == {"member": ["guest-9999", "host-10000", "host-10001"]}
    assert any("pairwise" in r or "two parties" in r for r in several.changed)


def test_a_network_keeps_its_layers_on_either_side_of_the_cut():
    made = convert(of(EXAMPLES["hetero_nn fedpass"]()))
    step = made.job["steps"]["nn_0"]
    assert step["uses"] == "nn/split"
    assert step["roles"] == {"label": "guest-9999", "features": ["host-10000"]}
    wanted = {"objective": "binary", "epochs": 3, "batch": 16, "optimiser": "adam", "learning_rate": 0.02}
    assert wanted.items() <= step["with"].items()
    assert step["with"]["bottom"] == {"guest-9999": [10], "host-10000": [20, 10]}
    assert step["with"]["top"] == [5]
    assert any("passports" in remark for remark in made.changed)
    assert made.job["steps"]["nn_1"]["uses"] == "nn/predict"
    assert convert(of(EXAMPLES["hetero_nn sshe"]())).job["steps"]["nn_0"]["with"]["top"] == [6, 5]


def test_a_network_says_which_of_its_layers_there_are_not():
    document = EXAMPLES["hetero_nn fedpass"]()
    conf = document["dag"]["party_tasks"]["host_10000"]["tasks"]["nn_0"]["parameters"]["runner_conf"]
    conf["bottom_model_conf"]["kwargs"]["seq_conf"][1]["item_name"] = "Conv2d"
    assert [m for m in convert(of(document)).missing if "Conv2d" in m]


def test_an_unknown_component_is_named():
    dag = Builder().add("odd_0", "hetero_kmeans_plus", {"train_data": "psi_0"}).dag()
    assert convert(of(dag)).missing == ["odd_0: the component hetero_kmeans_plus has no equivalent"]


def circle() -> dict[str, object]:
    made = Builder(plain=True)
    made.add("a_0", "psi", {"input_data": "b_0"}).add("b_0", "psi", {"input_data": "a_0"})
    return made.dag()


@pytest.mark.parametrize(
    "document",
    [None, [], {"dag": 3}, {"schema_version": "1.0", "dag": {}}, {"schema_version": "2.2.0", "dag": {"parties": []}},
     {"schema_version": "2.2.0", "dag": {"parties": [{"role": "king", "party_id": ["1"]}], "tasks": {}}},
     {"schema_version": "2.2.0", "dag": {"parties": [{"role": "guest", "party_id": ["1"]}], "tasks": {"t": {}}}},
     {"schema_version": "2.2.0", "dag": {"parties": [{"role": "arbiter", "party_id": ["1"]}], "tasks": {}}}],
)  # fmt: skip
def test_what_is_no_dag_is_refused(document):
    with pytest.raises(ParleyError) as e:
        convert(of(document))
    assert e.value.code == "bad_dag"


def test_a_circle_is_refused():
    with pytest.raises(ParleyError, match="circle"):
        convert(of(circle()))


def test_the_command_writes_a_job_and_tells_the_differences(tmp_path: Path):
    dag, job = tmp_path / "dag.yaml", tmp_path / "job.yaml"
    dag.write_text(yaml.safe_dump(EXAMPLES["sbt binary"]()), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "parley.cli", "import", "fate", str(dag)]
    told = subprocess.run([*command, "--to", str(job)], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "he_param" in told
    assert jobfile.load(job).steps["model_0"].uses == "gbdt/vertical"
    document = json.loads(
        subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=True).stdout
    )
    assert set(document) == {"job", "changed", "no_equivalent"}


@pytest.mark.parametrize("content", [None, "a: [", "&a 1"])
def test_a_file_that_is_no_dag_is_told_apart_from_one_that_is_not_there(tmp_path, content):
    path = tmp_path / "dag.yaml"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ParleyError) as e:
        read(path)
    assert e.value.code == "bad_dag"
    assert ("No such file" in e.value.cause) == (content is None)
