"""Sentences in another language, found again by the words around what was filled in.

Services and bundles speak English, with names and numbers in place: "The code LIM is another
site's." A translation knows the sentence by its places, "The code {0} is another site's.", so that
neither has to know in which language it will be read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLACE = re.compile(r"\{(\d+)\}")
_NUMBER = re.compile(r"\d+\.\d+")
_LONGEST = 500  # characters; what is longer quotes somebody, and takes too long to be taken apart
_DEPTH = 3  # what is filled in may be a sentence itself: the numbers within a reason


class Sentences:
    """Sentences of one language.

    Finding the places takes time that grows with a power of the text's length; who sends a file
    whose name is a thousand times " of " must not hold up everybody.

    Args:
        words: English text → text; `{0}`, `{1}`, … are places.
        decimal: sign between a number's whole part and the rest.
    """

    def __init__(self, words: Mapping[str, str], decimal: str = ".") -> None:
        self._words = words
        self._decimal = decimal
        placed = [text for text in words if _PLACE.search(text)]
        # The most words first: a sentence is what says most of it.
        placed.sort(key=lambda text: len(_PLACE.sub("", text)), reverse=True)
        self._placed = [(_pattern(text), words[text]) for text in placed]

    def told(self, text: str) -> str:
        """Return a sentence in the language; one that has no translation stays as it is."""
        return self._told(text, _DEPTH)

    def _told(self, text: str, depth: int) -> str:
        if not text or depth == 0:
            return text
        if text in self._words:
            return self._words[text]
        if _NUMBER.fullmatch(text):
            return text.replace(".", self._decimal)
        if len(text) > _LONGEST:
            return text
        for pattern, translated in self._placed:
            if found := pattern.fullmatch(text):
                pieces = _PLACE.split(translated)
                pieces[1::2] = [
                    self._told(found[int(place) + 1], depth - 1) for place in pieces[1::2]
                ]
                return "".join(pieces)
        return text


def _pattern(text: str) -> re.Pattern[str]:
    pieces = _PLACE.split(text)
    numbers = [int(number) for number in pieces[1::2]]
    if numbers != list(range(len(numbers))):
        raise ValueError(f"places are not numbered from 0: {text!r}")
    return re.compile("(.+?)".join(map(re.escape, pieces[::2])), re.DOTALL)
