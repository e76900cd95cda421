"""A train/eval split without leakage.

1. Every source record goes to one side by a keyed hash of its id: a source keeps its side when the dataset
   grows, so successive models are compared on comparable rows. A row whose answer was joined from sources of
   both sides belongs to neither and is not used: to follow such rows from source to source would glue everything
   into one group.
2. Boilerplate answers are shared by hundreds of sources, so grouping by answer would do so too. Instead an eval
   row is dropped when its answer, or a near-duplicate of its answer or of its question with its answer, occurs on
   the train side (MinHash finds candidates).
3. The eval rows that remain are checked exactly, by another method (an inverted index of shingles), and what
   MinHash missed is dropped too, with the rows whose answer lies in a train answer, holds a whole one, or
   consists of them by half. The check then runs once more and must find nothing.
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
    """Share of an eval answer's shingles inside one train answer, or the reverse, that counts as leaked."""
    containment_minimum: int
    """Answers with fewer shingles are not judged by containment: three common words prove nothing."""
    coverage: float
    """Share of an eval answer's words inside train answers, or lines of them, that counts as leaked."""


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
        "unused_of_both_sides": total - len(train_rows) - len(eval_rows),
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
            seen[side]["sources"].update(record.source_ids)
            seen[side]["answers"].add(normalise(record.answer))
    rows = numpy.flatnonzero(sides == EVAL)
    return {
        "shared_sources": len(seen[TRAIN]["sources"] & seen[EVAL]["sources"]),
        "shared_answers": len(seen[TRAIN]["answers"] & seen[EVAL]["answers"]),
        "shared_near_duplicates": len(_leaks(read, sides, rows, options)),
        "train_sources": len(seen[TRAIN]["sources"]),
        "eval_sources": len(seen[EVAL]["sources"]),
        "threshold": options.threshold,
        "method": "exact Jaccard and containment, both ways, of word shingles",
    }


def _survey(read: Callable[[], Iterable[Record]], options: SplitOptions):
    """One pass: each record's side, a rank for caps, a hash of its answer, and two MinHash signatures."""
    key = options.seed.to_bytes(8, "little", signed=False)
    ranks: list[int] = []
    lowest: list[int] = []
    highest: list[int] = []
    answers: list[bytes] = []
    ids: set[bytes] = set()
    tables: tuple[list[numpy.ndarray], ...] = ([], [])
    waiting: tuple[list[numpy.ndarray], ...] = ([], [])
    minhash = MinHash(options.permutations, options.seed)
    sources: set[int] = set()

    def flush() -> None:
        for table, batch in zip(tables, waiting, strict=True):
            if batch:
                table.append(minhash.signatures(batch))
                batch.clear()

    for record in read():
        hashes = [_hash(key, b"source", source) for source in record.source_ids]
        rank = _hash(key, b"record", record.id)
        identity = hashlib.blake2b(record.id.encode(), digest_size=16).digest()
        if identity in ids:
            raise permanent("duplicate_id", f"the record id '{record.id}' occurs more than once", id=record.id)
        ids.add(identity)
        sources.update(hashes)
        lowest.append(min(hashes))
        highest.append(max(hashes))
        ranks.append(rank)
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
    sides = _sides(lowest, highest, int(options.eval_fraction * 2**64))
    if not (sides == EVAL).any() or not (sides == TRAIN).any():
        raise permanent(
            "split_impossible",
            "all records come from one source record, or from sources whose answers are joined, so none can be held "
            "out; set source_id per original record",
            sources=len(sources),
        )
    return (
        numpy.array(ranks, numpy.uint64),
        sides,
        numpy.array(answers, dtype="S16").view(),
        tuple(numpy.concatenate(table) for table in tables),
        ids,
    )


def _sides(lowest: list[int], highest: list[int], limit: int) -> numpy.ndarray:
    """EVAL where every source's hash is below the limit, TRAIN where none is."""
    low, high = numpy.array(lowest, numpy.uint64), numpy.array(highest, numpy.uint64)

    def divided(limit: int) -> numpy.ndarray:
        return numpy.where(high < numpy.uint64(limit), EVAL, numpy.where(low >= numpy.uint64(limit), TRAIN, UNUSED))

    sides = divided(limit)
    # A small dataset may leave a side empty: the records with the lowest (or highest) sources then stand in.
    if not (sides == EVAL).any():
        sides = divided(min(min(highest) + 1, 2**64 - 1))
    if not (sides == TRAIN).any():
        sides = divided(max(lowest))
    return sides.astype(numpy.int8)


def _leaks(
    read: Callable[[], Iterable[Record]], sides: numpy.ndarray, rows: numpy.ndarray, options: SplitOptions
) -> set[int]:
    """The given rows that have a near-duplicate among the TRAIN records, found exactly."""
    wanted = set(rows.tolist())
    order: list[int] = []
    answers: list[str] = []
    pairs: list[str] = []
    lines: list[str] = []
    owners: list[int] = []
    for row, record in enumerate(read()):
        if row in wanted:
            parts = _lines(record.answer)
            lines += parts
            owners += [len(order)] * len(parts)
            order.append(row)
            answers.append(" ".join(parts))
            pairs.append(normalise(record.question) + " " + answers[-1])
    limits = (options.shingle_words, options.containment, options.containment_minimum)
    by_answer, by_pair, by_line = (OverlapIndex(texts, *limits) for texts in (answers, pairs, lines))
    for side, record in zip(sides.tolist(), read(), strict=True):
        if side == TRAIN:
            parts = _lines(record.answer)
            answer = " ".join(parts)
            by_answer.stream(answer)
            by_pair.stream(normalise(record.question) + " " + answer)
            for text in {answer, *parts}:
                by_line.stream(text)
    leaked = (by_answer.jaccard >= options.threshold) | (by_pair.jaccard >= options.threshold)
    leaked |= by_answer.around >= options.containment
    judged = by_answer.sizes >= options.containment_minimum
    leaked |= judged & (by_answer.inside >= options.containment)
    leaked |= judged & (_covered(by_line, owners, len(order), options) >= options.coverage)
    return {row for row, bad in zip(order, leaked.tolist(), strict=True) if bad}


def _lines(answer: str) -> list[str]:
    """The answer line by line, as compared: answers to one question are joined that way."""
    return [line for line in map(normalise, answer.splitlines()) if line]


def _covered(by_line: OverlapIndex, owners: list[int], count: int, options: SplitOptions) -> numpy.ndarray:
    """The share of each answer's words in lines of it that training has, or in training texts that lie in a line."""
    words = numpy.array([len(line.split()) for line in by_line.texts], numpy.int64)
    known = (by_line.jaccard >= options.threshold) | (by_line.inside >= options.containment)
    known &= by_line.sizes >= options.containment_minimum
    covered = numpy.where(known, words, by_line.covered_words())
    total = numpy.bincount(owners, words, count)
    return numpy.bincount(owners, covered, count) / numpy.maximum(total, 1)


def _hash(key: bytes, what: bytes, text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=key, person=what).digest()
    return int.from_bytes(digest, "little")
