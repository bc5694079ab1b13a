"""The subcommands of `dicos` that belong to the fuzzer: arguments and output."""
