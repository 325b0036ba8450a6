from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

class SessionOptions:
    intra_op_num_threads: int

class InferenceSession:
    def __init__(self, path: str, sess_options: SessionOptions, providers: Sequence[str]) -> None: ...
    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, np.ndarray[Any, np.dtype[np.int64]]]
    ) -> list[np.ndarray[Any, np.dtype[np.float32]]]: ...
