"""Finding training answers repeated verbatim."""

from __future__ import annotations

import json

import numpy

from .failures import permanent
from .records import normalise
from .shingles import shingle_hashes


class CopyIndex:
    """Knows every training answer, and every run of ``width`` words in one, as 64-bit hashes."""

    def __init__(self, path: str, width: int):
        self._width = width
        self._answers: set[str] = set()
        runs: list[numpy.ndarray] = []
        # As bytes, so that a line that is no UTF-8 is named like any other bad one.
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    answer = json.loads(line)["answer"]
                except (ValueError, KeyError, TypeError) as error:
                    raise permanent(
                        "invalid_record", f"{path}:{number}: expected an object with 'answer'", file=path, line=number
                    ) from error
                text = normalise(answer)
                self._answers.add(text)
                if len(text.split()) >= width:
                    runs.append(shingle_hashes(text, width))
        self._runs = numpy.unique(numpy.concatenate(runs)) if runs else numpy.empty(0, numpy.uint64)

    def copied(self, text: str) -> bool:
        """Whether the text is a training answer, or shares a run of ``width`` words with one."""
        plain = normalise(text)
        if not plain:
            return False
        if plain in self._answers:
            return True
        if len(plain.split()) < self._width or not len(self._runs):
            return False
        hashes = shingle_hashes(plain, self._width)
        places = numpy.minimum(numpy.searchsorted(self._runs, hashes), len(self._runs) - 1)
        return bool((self._runs[places] == hashes).any())
