"""Make local mode quick enough for thousands of points, with the same results to the last bit.

On 5,000 points a hybrid query takes local mode .7 s: it compares sparse vectors point by point, and reads the filter
against every payload. Both answers hold until something is written: here the sparse vectors become an inverted index
and the filters' masks are kept, until `forget`. And every point that is written waits for the disk, which an index
that can be made again from its files need not do.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from qdrant_client import models
from qdrant_client.local import local_collection
from qdrant_client.local.persistence import CollectionPersistence

type Array = np.ndarray[Any, np.dtype[Any]]

_local: Any = local_collection
_check_every_payload = _local.calculate_payload_mask
MAX_MASKS: Final = 1000

_masks: dict[tuple[int, str], Array] = {}
_indexes: dict[int, "InvertedIndex"] = {}


class InvertedIndex:
    """Sparse vectors by dimension: for each, which points have it, and with what weight."""

    def __init__(self, vectors: Sequence[models.SparseVector]) -> None:
        self._vectors = vectors
        sizes = [len(vector.indices) for vector in vectors]
        dimensions = np.fromiter((index for vector in vectors for index in vector.indices), np.int64, sum(sizes))
        weights = np.fromiter((value for vector in vectors for value in vector.values), np.float64, sum(sizes))
        order = np.argsort(dimensions, kind="stable")
        self._dimensions = dimensions[order]
        self._weights = weights[order]
        self._points = np.repeat(np.arange(len(vectors)), sizes)[order]

    def scores(self, query: models.SparseVector) -> Array:
        """Return each point's dot product with a query sorted by index; minus infinity where they share nothing."""
        scores, shared = np.zeros(len(self._vectors)), np.zeros(len(self._vectors), dtype=bool)
        starts = np.searchsorted(self._dimensions, query.indices, "left")
        ends = np.searchsorted(self._dimensions, query.indices, "right")
        for start, end, weight in zip(starts, ends, query.values, strict=True):
            points = self._points[start:end]
            scores[points] += weight * self._weights[start:end]
            shared[points] = True
        return np.where(shared, scores, -np.inf).astype(np.float32)


class UnsyncedPersistence(CollectionPersistence):
    """Leaves the time of writing to the operating system: what is stored outlasts the process, not a power cut."""

    def __init__(self, location: str, force_disable_check_same_thread: bool = False) -> None:
        super().__init__(location, force_disable_check_same_thread)
        self.storage.execute("PRAGMA synchronous = OFF")


def install() -> None:
    """Put all this in the place of local mode's own, in this process."""
    _local.CollectionPersistence = UnsyncedPersistence
    _local.calculate_payload_mask = _payload_mask
    _local.calculate_distance_sparse = _distance_sparse


def forget() -> None:
    """Drop everything that was kept. To be called after every write."""
    _masks.clear()
    _indexes.clear()


def _payload_mask(
    payloads: list[dict[str, Any]], payload_filter: models.Filter | None, ids_inv: Any, deleted_per_vector: Any
) -> Array:
    key = id(payloads), payload_filter.model_dump_json() if payload_filter else ""
    if key not in _masks:
        if len(_masks) >= MAX_MASKS:
            _masks.clear()
        _masks[key] = _check_every_payload(payloads, payload_filter, ids_inv, deleted_per_vector)
    return _masks[key]


def _distance_sparse(
    query: models.SparseVector, vectors: list[models.SparseVector], empty_is_zero: bool = False
) -> Array:
    if not vectors:
        return np.zeros(0, dtype=np.float32)
    key = id(vectors[0])
    if key not in _indexes:
        _indexes[key] = InvertedIndex(vectors)
    scores = _indexes[key].scores(query)
    return np.where(np.isneginf(scores), np.float32(0), scores) if empty_is_zero else scores
