import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.rag import bm25

TEXT = st.text(max_size=300)


def test_inflections_of_a_word_are_one_term() -> None:
    assert bm25.terms("Retries, retrying and RETRIED") == ["retri", "retri", "retri"]


def test_stopwords_are_no_terms_and_negations_are() -> None:
    assert bm25.terms("not in the list") == ["not", "list"]


def test_an_identifier_is_found_by_its_parts() -> None:
    assert set(bm25.terms("QDRANT_URL")) == set(bm25.terms("the url of qdrant"))


def test_a_weight_is_that_of_the_formula() -> None:
    [weight] = bm25.document_vector(["token", "token", "token"], avg_len=6).values
    assert weight == pytest.approx(3 * 2.2 / (3 + 1.2 * (0.25 + 0.75 * 3 / 6)))


def test_a_long_document_weighs_a_term_less() -> None:
    short = bm25.document_vector(["token"], avg_len=5).values[0]
    assert bm25.document_vector(["token", *"abcdefgh"], avg_len=5).values[0] < short


def test_a_query_counts_a_repeated_term_once() -> None:
    assert bm25.query_vector("token tokens token") == bm25.query_vector("tokens")
    assert bm25.query_vector("token").values == (1.0,)


def test_a_query_of_stopwords_has_no_dimension() -> None:
    assert bm25.query_vector("to the, of a ... !?") == bm25.SparseVector((), ())


@given(TEXT, st.floats(1, 10_000))
def test_a_vector_is_one_that_the_store_takes(text: str, avg_len: float) -> None:
    terms = bm25.terms(text)
    vector = bm25.document_vector(terms, avg_len)
    assert list(vector.indices) == sorted(set(vector.indices))
    assert all(0 <= index < 2**32 for index in vector.indices)
    assert all(0 < weight < bm25.K1 + 1 and math.isfinite(weight) for weight in vector.values)
    assert len(vector.indices) == len(Counter(terms))


@given(TEXT)
def test_a_query_meets_the_document_it_quotes(text: str) -> None:
    assert bm25.query_vector(text).indices == bm25.document_vector(bm25.terms(text), 10).indices
