"""A train/eval split without leakage.

1. Every source record goes to one side by a keyed hash of its id: a source keeps its side when the dataset
   grows, so successive models are compared on comparable rows.
2. Boilerplate answers are shared by hundreds of sources, so grouping by answer would glue everything
   into one group. Instead an eval row is dropped when its answer, or a near-duplicate of its answer or of
   its question with its answer, occurs on the train side (MinHash finds candidates).
3. The eval rows that remain are checked exactly, by another method (an inverted index of shingles),
   and what MinHash missed is dropped too. The check then runs once more and must find nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy

from .failures import permanent
from .overlap import OverlapIndex
from .records import Record, normalise
from .shingles import MinHash, shingle_hashes, similar_across

TRAIN, EVAL, UNUSED = 0, 1, 2
_BATCH = 2048


@dataclass(frozen=True)
class SplitOptions:
    seed: int
    eval_fraction: float
    eval_max_records: int | None
    train_max_records: int | None
    threshold: float
    shingle_words: int
    permutations: int
    containment: float
    """Share of an eval answer's shingles inside one train answer that counts as leaked."""
    containment_minimum: int
    """Answers with fewer shingles are not judged by containment: three common words prove nothing."""


@dataclass
class Split:
    sides: numpy.ndarray
    """TRAIN, EVAL or UNUSED for every record, in reading order."""
    report: dict[str, Any]


def split(read: Callable[[], Iterable[Record]], options: SplitOptions) -> Split:
    """Decides the side of every record. ``read`` is called several times; it streams, texts are not kept."""
    ranks, sides, answers, signatures, ids = _survey(read, options)
    total = len(ids)
    train_rows = numpy.flatnonzero(sides == TRAIN)
    eval_rows = numpy.flatnonzero(sides == EVAL)
    report: dict[str, Any] = {
        "records": total,
        "train_side_records": len(train_rows),
        "eval_side_records": len(eval_rows),
    }

    train_answers = set(answers[train_rows].tolist())
    exact = numpy.array([answer in train_answers for answer in answers[eval_rows].tolist()], bool)
    report["dropped_exact_answer"] = int(exact.sum())
    remaining = eval_rows[~exact]
    compared = 0
    near = numpy.zeros(len(remaining), bool)
    for table in signatures:
        found, pairs = similar_across(table[remaining], table[train_rows], options.threshold)
        near |= found
        compared += pairs
    report["dropped_near_duplicate"] = int(near.sum())
    report["candidate_pairs"] = compared
    remaining = remaining[~near]

    # Caps: the rows with the lowest keyed hash, which again is stable as the data grow.
    remaining = remaining[numpy.argsort(ranks[remaining], kind="stable")]
    chosen_train = train_rows[numpy.argsort(ranks[train_rows], kind="stable")][: options.train_max_records]
    sides[:] = UNUSED
    sides[chosen_train] = TRAIN
    missed = _leaks(read, sides, remaining, options)
    report["dropped_by_exact_check"] = len(missed)
    remaining = numpy.array([row for row in remaining.tolist() if row not in missed], numpy.int64)
    report["eval_leak_free_records"] = len(remaining)
    remaining = remaining[: options.eval_max_records]
    if not len(remaining):
        raise permanent(
            "no_eval_rows",
            f"no held-out row is left of {len(eval_rows)}: {report['dropped_exact_answer']} answers also occur in "
            f"training, {report['dropped_near_duplicate'] + len(missed)} nearly do; add more varied sources or raise "
            "eval_fraction",
            **report,
        )
    sides[remaining] = EVAL
    report["train_records"] = int((sides == TRAIN).sum())
    report["eval_records"] = int((sides == EVAL).sum())
    report["verification"] = verify(read, sides, options)
    leaked = {name: count for name, count in report["verification"].items() if count and name.startswith("shared")}
    if leaked:
        raise permanent("leakage", f"the split still leaks after dropping: {leaked}", **leaked)
    return Split(sides, report)


def verify(read: Callable[[], Iterable[Record]], sides: numpy.ndarray, options: SplitOptions) -> dict[str, Any]:
    """Counts what both sides share, from the texts themselves: zero everywhere in a sound split."""
    seen: tuple[dict[str, set], ...] = ({}, {})
    for facts in seen:
        facts.update(sources=set(), answers=set())
    for side, record in zip(sides.tolist(), read(), strict=True):
        if side != UNUSED:
            seen[side]["sources"].add(record.source_id)
            seen[side]["answers"].add(normalise(record.answer))
    rows = numpy.flatnonzero(sides == EVAL)
    return {
        "shared_sources": len(seen[TRAIN]["sources"] & seen[EVAL]["sources"]),
        "shared_answers": len(seen[TRAIN]["answers"] & seen[EVAL]["answers"]),
        "shared_near_duplicates": len(_leaks(read, sides, rows, options)),
        "train_sources": len(seen[TRAIN]["sources"]),
        "eval_sources": len(seen[EVAL]["sources"]),
        "threshold": options.threshold,
        "method": "exact Jaccard and containment of word shingles",
    }


def _survey(read: Callable[[], Iterable[Record]], options: SplitOptions):
    """One pass: each record's side, a rank for caps, a hash of its answer, and two MinHash signatures."""
    key = options.seed.to_bytes(8, "little", signed=False)
    ranks: list[int] = []
    side: list[int] = []
    answers: list[bytes] = []
    ids: set[bytes] = set()
    tables: tuple[list[numpy.ndarray], ...] = ([], [])
    waiting: tuple[list[numpy.ndarray], ...] = ([], [])
    minhash = MinHash(options.permutations, options.seed)
    lowest: tuple[int, str] | None = None
    limit = int(options.eval_fraction * 2**64)
    sources: set[bytes] = set()

    def flush() -> None:
        for table, batch in zip(tables, waiting, strict=True):
            if batch:
                table.append(minhash.signatures(batch))
                batch.clear()

    source_hashes: list[int] = []
    for record in read():
        source = _hash(key, b"source", record.source_id)
        rank = _hash(key, b"record", record.id)
        identity = hashlib.blake2b(record.id.encode(), digest_size=16).digest()
        if identity in ids:
            raise permanent("duplicate_id", f"the record id '{record.id}' occurs more than once", id=record.id)
        ids.add(identity)
        sources.add(source.to_bytes(8, "little"))
        if lowest is None or source < lowest[0]:
            lowest = (source, record.source_id)
        source_hashes.append(source)
        ranks.append(rank)
        side.append(EVAL if source < limit else TRAIN)
        answer = normalise(record.answer)
        answers.append(hashlib.blake2b(answer.encode(), digest_size=16).digest())
        pair = normalise(record.question) + " " + answer
        waiting[0].append(shingle_hashes(answer, options.shingle_words))
        waiting[1].append(shingle_hashes(pair, options.shingle_words))
        if len(waiting[0]) >= _BATCH:
            flush()
    flush()
    if not ranks:
        raise permanent("empty_dataset", "the dataset has no records")
    if len(sources) < 2:
        raise permanent(
            "split_impossible",
            "all records come from one source record, so none can be held out; set source_id per original record",
            sources=len(sources),
        )
    sides = numpy.array(side, numpy.int8)
    hashes = numpy.array(source_hashes, numpy.uint64)
    # A small dataset may leave a side empty: its lowest (or highest) source then stands in.
    if not (sides == EVAL).any():
        sides[hashes == hashes.min()] = EVAL
    if not (sides == TRAIN).any():
        sides[hashes == hashes.max()] = TRAIN
    return (
        numpy.array(ranks, numpy.uint64),
        sides,
        numpy.array(answers, dtype="S16").view(),
        tuple(numpy.concatenate(table) for table in tables),
        ids,
    )


def _leaks(
    read: Callable[[], Iterable[Record]], sides: numpy.ndarray, rows: numpy.ndarray, options: SplitOptions
) -> set[int]:
    """The given rows that have a near-duplicate among the TRAIN records, found exactly."""
    wanted = set(rows.tolist())
    order: list[int] = []
    answers: list[str] = []
    pairs: list[str] = []
    for row, record in enumerate(read()):
        if row in wanted:
            order.append(row)
            answers.append(normalise(record.answer))
            pairs.append(normalise(record.question) + " " + answers[-1])
    by_answer = OverlapIndex(answers, options.shingle_words)
    by_pair = OverlapIndex(pairs, options.shingle_words)
    for side, record in zip(sides.tolist(), read(), strict=True):
        if side == TRAIN:
            answer = normalise(record.answer)
            by_answer.stream(answer)
            by_pair.stream(normalise(record.question) + " " + answer)
    leaked = (by_answer.jaccard >= options.threshold) | (by_pair.jaccard >= options.threshold)
    leaked |= (by_answer.containment >= options.containment) & (by_answer.sizes >= options.containment_minimum)
    return {row for row, bad in zip(order, leaked.tolist(), strict=True) if bad}


def _hash(key: bytes, what: bytes, text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=key, person=what).digest()
    return int.from_bytes(digest, "little")
