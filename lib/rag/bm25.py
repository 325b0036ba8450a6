"""BM25 as sparse vectors: a term is a dimension, and the score is a dot product.

Okapi BM25 scores a document D for a query Q as the sum, over Q's terms t, of

    IDF(t) * tf(t, D) * (k1 + 1) / (tf(t, D) + k1 * (1 - b + b * |D| / avg_len))

(Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, section 3.4). The fraction is
known when a document is stored and is its vector here. A query's vector holds ones. The IDF changes with every
document, so Qdrant multiplies it in at search time (`Modifier.IDF`): ln((N - n + .5) / (n + .5) + 1), n of N
documents holding the term.
"""

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from py_rust_stemmers import SnowballStemmer

K1: Final = 1.2
B: Final = 0.75

STOPWORDS: Final = frozenset({"a", "an", "and", "in", "of", "or", "the", "to"})
"""Words in most passages, which cost the longest posting lists and tell nothing.

The list is short on purpose: a longer one, with "not", "no" or "with", measured worse (`docs/decisions/retrieval.md`).
"""

_WORD: Final = re.compile(r"[^\W_]+")
_stemmer = SnowballStemmer("english")


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Weights of the dimensions that are not zero, by ascending index. Indices are unsigned 32-bit."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


def terms(text: str) -> list[str]:
    """Return the stemmed words of `text` in order, without stopwords. Its length is the |D| of the formula."""
    words = (word for word in _WORD.findall(text.casefold()) if word not in STOPWORDS)
    return _stemmer.stem_words(list(words))


def document_vector(terms: Sequence[str], avg_len: float) -> SparseVector:
    """Return the term weights of a document, IDF left out.

    Args:
        terms: the document's, as `terms` gives them.
        avg_len: mean number of terms of a document in the corpus, above zero.
    """
    norm = K1 * (1 - B + B * len(terms) / avg_len)
    return _vector({term: count * (K1 + 1) / (count + norm) for term, count in Counter(terms).items()})


def query_vector(text: str) -> SparseVector:
    """Return a one for every distinct term of a query; no dimension at all when it has no terms."""
    return _vector(dict.fromkeys(terms(text), 1.0))


def _vector(weights: dict[str, float]) -> SparseVector:
    """Hash terms to dimensions. Of two terms that collide, which at 100,000 terms about one pair does, one counts."""
    dimensions = sorted({zlib.crc32(term.encode()): weight for term, weight in weights.items()}.items())
    return SparseVector(tuple(index for index, _ in dimensions), tuple(weight for _, weight in dimensions))
