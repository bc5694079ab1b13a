"""Fuzzing from the inside: the engine and its adapters run in this process, on inputs made to break them."""
