"""Makes what the tests train on: records, a tiny random model, another with other weights, and one with another
vocabulary. Usage: materials.py FOLDER-OF-THE-PYTHON-PACKAGE OUTPUT-FOLDER"""

import sys
from pathlib import Path

package, output = Path(sys.argv[1]), Path(sys.argv[2])
sys.path[:0] = [str(package), str(package / "tests")]

from martlet_stages.runtime import prepare_environment  # noqa: E402

prepare_environment(threads=1)

import pyarrow  # noqa: E402
import pyarrow.parquet  # noqa: E402
import support  # noqa: E402

support.make_records(output / "records.jsonl", boilerplate=False)
rows = {"question": [f"What is row {n}?" for n in range(50)], "answer": [f"Row {n} is {n * n:b}." for n in range(50)]}
pyarrow.parquet.write_table(pyarrow.table(rows), output / "rows.parquet")
support.make_model(output / "model")
make = support.make_tokenizer


def larger():
    tokenizer = make()
    tokenizer.add_tokens(["<extra>"])
    return tokenizer


support.make_tokenizer = larger
support.make_model(output / "foreign")
