import datetime
import json

import pyarrow
import pyarrow.parquet
import pytest
import support

from martlet_stages.failures import StageFailure


@pytest.fixture
def parquet(tmp_path):
    path = tmp_path / "in.parquet"
    table = pyarrow.table(
        {
            "id": list(range(1000)),
            "text": [f"row {n} é" for n in range(1000)],
            "score": [float("nan") if n == 5 else n / 2 for n in range(1000)],
            "tags": [["a", "b"]] * 1000,
            "day": [datetime.date(2026, 1, 2)] * 1000,
        }
    )
    pyarrow.parquet.write_table(table, path, row_group_size=300)
    return path


def test_rows_become_json_lines(parquet, tmp_path):
    recorder = support.Recorder()
    output = support.run(
        "read-parquet", {"file": parquet, "output": tmp_path / "out.jsonl", "batch_rows": 64}, recorder
    )
    rows = [json.loads(line) for line in open(tmp_path / "out.jsonl", encoding="utf-8")]
    assert output["rows"] == len(rows) == 1000 and output["row_groups"] == 4
    assert rows[7] == {"id": 7, "text": "row 7 é", "score": 3.5, "tags": ["a", "b"], "day": "2026-01-02"}
    assert rows[5]["score"] is None and output["nonfinite_values"] == 1
    assert "null" in recorder.of("warning")[0]["message"]


def test_columns_are_chosen_and_missing_ones_named(parquet, tmp_path):
    support.run("read-parquet", {"file": parquet, "output": tmp_path / "o", "columns": ["text"]})
    assert json.loads(open(tmp_path / "o", encoding="utf-8").readline()) == {"text": "row 0 é"}
    with pytest.raises(StageFailure, match="no column 'nope'; it has id, text"):
        support.run("read-parquet", {"file": parquet, "output": tmp_path / "p", "columns": ["nope"]})


def test_a_few_bytes_cannot_become_too_many(parquet, tmp_path):
    limits = {"max_bytes": 20_000}
    with pytest.raises(StageFailure, match="more than 20000 bytes") as caught:
        support.run("read-parquet", {"file": parquet, "output": tmp_path / "o", **limits})
    assert (caught.value.kind, caught.value.code) == ("permanent", "limit_exceeded")
    with pytest.raises(StageFailure, match="0 of 1000 rows") as caught:
        support.run("read-parquet", {"file": parquet, "output": tmp_path / "o", "max_seconds": 0})
    assert (caught.value.kind, caught.value.code) == ("permanent", "time_limit_exceeded")
    assert not (tmp_path / "o").exists()
    support.run("read-parquet", {"file": parquet, "output": tmp_path / "o"})
    size = (tmp_path / "o").stat().st_size
    support.run("read-parquet", {"file": parquet, "output": tmp_path / "o", "max_bytes": size, "max_seconds": 60})


def test_damage_is_named_by_row_group_and_column(parquet, tmp_path):
    meta = pyarrow.parquet.ParquetFile(parquet).metadata.row_group(2).column(1)
    data = bytearray(parquet.read_bytes())
    begin = meta.dictionary_page_offset or meta.data_page_offset
    data[begin : begin + meta.total_compressed_size] = b"\xff" * meta.total_compressed_size
    parquet.write_bytes(data)
    with pytest.raises(StageFailure, match="row group 2, column 'text'") as caught:
        support.run("read-parquet", {"file": parquet, "output": tmp_path / "out.jsonl"})
    assert caught.value.kind == "permanent" and not (tmp_path / "out.jsonl").exists()


def test_a_file_cut_short_is_refused(parquet, tmp_path):
    parquet.write_bytes(parquet.read_bytes()[:-200])
    with pytest.raises(StageFailure, match="cut short"):
        support.run("read-parquet", {"file": parquet, "output": tmp_path / "out.jsonl"})
