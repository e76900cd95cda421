"""The split must not leak: checked here by brute force, sharing no code with it."""

import json
import random
import re

import pytest
import support

from martlet_stages.failures import StageFailure


def plain(text):
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def grams(text):
    tokens = plain(text).split()
    width = min(2, len(tokens))
    return {tuple(tokens[i : i + width]) for i in range(len(tokens) - width + 1)}


def jaccard(left, right):
    return len(left & right) / len(left | right)


def read(path):
    return [json.loads(line) for line in open(path, encoding="utf-8")]


def leaky_records(path, seed):
    """Sources that quote each other: verbatim, in other case and punctuation, with one word changed, and whole
    answers inside longer ones."""
    generator = random.Random(seed)
    answers: list[str] = []
    rows = []
    for source in range(60):
        for index in range(3):
            kind = generator.random()
            if answers and kind < 0.15:
                answer = generator.choice(answers)
            elif answers and kind < 0.3:
                answer = generator.choice(answers).upper().replace(" ", "  ") + "!!"
            elif answers and kind < 0.45:
                tokens = generator.choice(answers).split()
                tokens[generator.randrange(len(tokens))] = "changed"
                answer = " ".join(tokens)
            elif answers and kind < 0.55:
                answer = "As others say: " + generator.choice(answers) + " " + generator.choice(answers)
            elif answers and kind < 0.65:
                answer = "\n".join(generator.sample(answers, min(3, len(answers))))
            else:
                answer = " ".join(generator.choices(support.WORDS, k=generator.randint(6, 40)))
            answers.append(answer)
            question = " ".join(generator.choices(support.WORDS, k=6)) + f" {source} {index}?"
            rows.append({"id": f"{source}/{index}", "source_id": f"s{source}", "question": question, "answer": answer})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_shared_between_the_sides(preprocess, tmp_path, seed):
    records = leaky_records(tmp_path / "records.jsonl", seed)
    output = tmp_path / "out"
    report = support.run("preprocess", preprocess(output, records=records, seed=seed))["report"]["split"]
    train, held_out = read(output / "train.jsonl"), read(output / "eval.jsonl")
    assert held_out
    assert not {row["source_id"] for row in train} & {row["source_id"] for row in held_out}
    assert not {plain(row["answer"]) for row in train} & {plain(row["answer"]) for row in held_out}
    train_lines = {plain(line) for row in train for line in row["answer"].splitlines()}
    for row in held_out:
        for other in train:
            assert jaccard(grams(row["answer"]), grams(other["answer"])) < 0.8
            assert jaccard(
                grams(row["question"] + " " + row["answer"]), grams(other["question"] + " " + other["answer"])
            ) < 0.8
            mine = grams(row["answer"])
            theirs = grams(other["answer"])
            assert len(mine) < 8 or len(mine & theirs) / len(mine) < 0.9
            assert len(theirs) < 8 or len(mine & theirs) / len(theirs) < 0.9
        lines = [line for line in row["answer"].splitlines() if plain(line)]
        known = [line for line in lines if grams(line) and plain(line) in train_lines]
        assert sum(len(plain(line).split()) for line in known) < 0.5 * len(plain(row["answer"]).split()) or len(mine) < 8
    assert report["verification"]["shared_sources"] == 0
    assert report["verification"]["shared_answers"] == 0
    assert report["verification"]["shared_near_duplicates"] == 0
    dropped = sum(report[name] for name in report if name.startswith("dropped"))
    assert dropped == report["eval_side_records"] - report["eval_leak_free_records"] > 0


def held_out(preprocess, tmp_path, rows, **changes):
    """The ids on both sides. Many sources of one row each, so that a row's side is known from a run without leaks."""
    records = tmp_path / f"records-{len(list(tmp_path.iterdir()))}.jsonl"
    records.write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = records.with_suffix(".out")
    result = support.run("preprocess", preprocess(output, records=records, **changes))
    return [{row["id"] for row in read(output / f"{side}.jsonl")} for side in ("train", "eval")] + [result]


def varied(count, start=0):
    generator = random.Random(start)
    return [
        {
            "id": f"r{index}", "source_id": f"s{index}", "question": f"Question {index} {index * 7}?",
            "answer": " ".join(generator.sample(support.WORDS, 14)) + f" number {index}",
        }
        for index in range(start, start + count)
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["whole", "joined", "half", "pieces", "inside"])
def test_a_training_answer_inside_a_held_out_one_counts(preprocess, tmp_path, kind):
    rows = varied(60)
    train, kept, _ = held_out(preprocess, tmp_path, rows)
    victim = sorted(kept)[0]
    sources = sorted(train)[:6]
    answers = [next(row["answer"] for row in rows if row["id"] == name) for name in sources]
    own = next(row for row in rows if row["id"] == victim)
    changed = {row["id"]: row for row in rows}
    if kind == "whole":
        own["answer"] = f"Unlike elsewhere, {own['answer']} and besides {answers[0]} however {own['answer'][::-1]}"
    elif kind == "joined":
        own["answer"] = own["answer"] + "\n" + answers[0]
    elif kind == "half":
        # Both were joined with the same answer, and each with one of its own.
        changed[sources[0]]["answer"] += "\n" + "the very same words stand here for everybody to read and learn by heart"
        own["answer"] = "the very same words stand here for everybody to read and learn by heart\nnot this one though"
    elif kind == "pieces":
        for name, text in zip(sources, ("read files", "modify data", "gain privileges", "hide activities"), strict=False):
            changed[name]["answer"] = text
        changed[sources[4]]["answer"] = "execute unauthorized code"
        own["answer"] = "Read files\nModify data\nGain privileges\nHide activities\nExecute unauthorized code"
    else:
        changed[sources[0]]["answer"] = f"before it {' '.join(support.WORDS[:14])} after it all comes {answers[0]}"
        own["answer"] = " ".join(support.WORDS[:14]) + "\nand two more words"
    _, left, result = held_out(preprocess, tmp_path, rows)
    assert left == kept - {victim}
    assert result["report"]["split"]["dropped_by_exact_check"] == 1


def test_a_short_phrase_inside_a_long_answer_does_not_count(preprocess, tmp_path):
    rows = varied(60)
    train, kept, _ = held_out(preprocess, tmp_path, rows)
    next(row for row in rows if row["id"] == min(train))["answer"] = "audit role"
    next(row for row in rows if row["id"] == min(kept))["answer"] += " audit role"
    assert held_out(preprocess, tmp_path, rows)[1] == kept


def test_an_answer_of_sources_of_both_sides_is_on_neither(preprocess, tmp_path):
    rows = varied(60)
    train, kept, _ = held_out(preprocess, tmp_path, rows)
    first, second = f"s{min(train)[1:]}", f"s{min(kept)[1:]}"
    extra = varied(4, start=100)
    for row, sources in zip(extra, ([first, second], [second, first], [second, "s" + max(kept)[1:]], None), strict=True):
        if sources:
            row["source_id"], row["source_ids"] = sources[0], sources
    after_train, after_kept, result = held_out(preprocess, tmp_path, rows + extra)
    assert not {"r100", "r101"} & (after_train | after_kept) and "r102" in after_kept
    assert after_kept - {"r102", "r103"} == kept and after_train - {"r103"} == train
    assert result["report"]["split"]["unused_of_both_sides"] == 2
    assert result["report"]["split"]["verification"]["shared_sources"] == 0


def test_sources_that_are_all_joined_cannot_be_split(preprocess, tmp_path):
    rows = [{**row, "source_id": "a", "source_ids": ["a", "b"]} for row in varied(9)]
    with pytest.raises(StageFailure, match="sources whose answers are joined"):
        held_out(preprocess, tmp_path, rows)


@pytest.mark.parametrize("carried", [{"context": 7}, {"context": "secret"}, {"messages": "3"}, {"messages": [{"role": "x"}]}])
def test_what_a_record_carries_along_is_no_training_text(preprocess, tmp_path, carried):
    rows = varied(40)
    digests = [
        held_out(preprocess, tmp_path, given)[2]["digest"] for given in (rows, [{**row, **carried} for row in rows])
    ]
    assert digests[0] == digests[1]


def test_equal_input_gives_equal_bytes_and_another_seed_another_split(preprocess, tmp_path):
    digests = [
        support.run("preprocess", preprocess(tmp_path / name, seed=seed))["report"]["files"]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_source_keeps_its_side_when_the_dataset_grows(preprocess, tmp_path):
    small = support.make_records(tmp_path / "small.jsonl", sources=40, boilerplate=False)
    large = support.make_records(tmp_path / "large.jsonl", sources=80, boilerplate=False)
    sides = []
    for name, records in (("s", small), ("l", large)):
        support.run("preprocess", preprocess(tmp_path / name, records=records))
        sides.append({row["source_id"] for row in read(tmp_path / name / "eval.jsonl")})
    known = {f"S-{source}" for source in range(40)}
    assert sides[0] == sides[1] & known


def test_one_source_cannot_be_split(preprocess, tmp_path):
    records = support.make_records(tmp_path / "one.jsonl", sources=1)
    with pytest.raises(StageFailure, match="one source record") as caught:
        support.run("preprocess", preprocess(tmp_path / "out", records=records))
    assert (caught.value.kind, caught.value.code) == ("permanent", "split_impossible")


def test_all_answers_alike_leave_nothing_to_hold_out(preprocess, tmp_path):
    path = tmp_path / "same.jsonl"
    rows = [{"id": str(i), "source_id": str(i), "question": f"q {i}", "answer": "Always the same."} for i in range(50)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(StageFailure, match="no held-out row is left"):
        support.run("preprocess", preprocess(tmp_path / "out", records=path))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"id": "a", "question": "q"}', "field 'answer' must be a non-empty string"),
        (b'{"id": "a", "question": "q", "answer": ', "not JSON"),
        (b'{"id": "a", "question": "\xff", "answer": "x"}', "not UTF-8"),
        (b'["a"]', "not a JSON object"),
        (b'{"id": "a", "question": "q", "answer": "x", "source_ids": "b"}', "field 'source_ids' must be a list"),
        (b'{"id": "a", "question": "q", "messages": []}', "field 'answer' must be a non-empty string"),
        (b'{"id": "a", "messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "x"}]}', "must end"),
    ],
)
def test_a_bad_record_is_named_by_file_and_line(preprocess, tmp_path, line, problem):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"id": "ok", "question": "q", "answer": "x"}\n' + line + b"\n")
    with pytest.raises(StageFailure, match=problem) as caught:
        support.run("preprocess", preprocess(tmp_path / "out", records=path))
    assert caught.value.kind == "permanent"
    assert caught.value.details == {"file": str(path), "line": 2}
