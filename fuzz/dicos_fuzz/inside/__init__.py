"""The engine and the adapters from inside: targets, oracles, a reference model, coverage, differential oracles."""
