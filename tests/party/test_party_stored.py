"""Datasets that a party's `memory_mb` is too little for: offered and read from their files as if they were whole."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from parley.party.home import PartyHome
from parley.protocols.inputs import table_of
from parley.protocols.kit import StepInputs
from parley.wire.errors import ParleyError


@pytest.fixture
def home(tmp_path):
    made = PartyHome.create(tmp_path / "home", "bank")
    rng = np.random.default_rng(1)
    rows = 1500
    table = pa.table(
        {
            "an id": [f"p{k}" for k in range(rows)],
            "x": rng.normal(size=rows),
            "n": pa.array([None if k % 7 == 0 else k for k in range(rows)], pa.int32()),
            "flag": [k % 3 == 0 for k in range(rows)],
        }
    )
    for part in range(2):
        pq.write_table(table.slice(part * 700, 700 + 100 * part), tmp_path / f"{part}.parquet")
        made.datasets.add(f"part{part}", tmp_path / f"{part}.parquet")
    made.datasets.union("loans", ["part0", "part1"])
    yield made
    made.close()


def test_an_offer_is_the_same_and_columns_are_the_whole_tables(home):
    offered = home.datasets.offer("loans", "j1")
    assert home.datasets.stored("loans", "j1") is None
    whole = home.datasets.read("loans", "j1")
    home.config.memory_mb = 1
    assert home.datasets.offer("loans", "j1") == offered
    stored = home.datasets.stored("loans", "j1")
    assert stored is not None
    assert stored.rows == whole.num_rows == 1500
    assert stored.read().equals(whole)
    assert pa.concat_tables(list(stored.batches())).equals(whole)
    assert stored.read(["n"]).equals(whole.select(["_row", "n"]))
    inputs = StepInputs(stored=stored)
    assert table_of(inputs, "bank").equals(whole)
    with pytest.raises(ParleyError) as caught:
        table_of(inputs, "bank", ["an i"])
    assert caught.value.code == "unknown_column"
    assert "an id" in caught.value.hint


def test_a_replaced_dataset_is_read_as_it_was_offered(home, tmp_path):
    home.config.memory_mb = 1
    before = home.datasets.offer("loans", "j1")
    pq.write_table(pa.table({"other": np.arange(2000)}), tmp_path / "new.parquet")
    home.datasets.add("loans", tmp_path / "new.parquet", replace=True)
    assert home.datasets.offer("loans", "j1") == before
    assert home.datasets.stored("loans", "j1").columns == ["an id", "x", "n", "flag"]
    assert home.datasets.stored("loans", "j1").read().num_rows == 1500


def test_what_fits_is_held_whole(home):
    home.datasets.offer("loans", "j1")
    home.config.memory_mb = 64
    assert home.datasets.stored("loans", "j1") is None


def test_nothing_stays_in_the_scratch_folder(home):
    home.config.memory_mb = 1
    home.datasets.offer("loans", "j1")
    scratch = home.datasets.stored("loans", "j1").open_scratch()
    scratch.put(np.ones(1000, np.uint8))
    assert list((home.path / "scratch").iterdir()) == []
    assert (home.path / "scratch").stat().st_mode & 0o777 == 0o700
