"""The subcommands of `dicos`, one module each, imported only when the subcommand is chosen."""
