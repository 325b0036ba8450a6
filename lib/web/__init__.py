"""The only room that knows HTTP. A function begins with it."""

import gc

# What an import makes stays: to look through it for garbage is a twentieth of a cold start's CPU. `lib.web.app` ends
# this with the first function that it makes, and has the collector leave alone what is there by then.
gc.set_threshold(100_000)
