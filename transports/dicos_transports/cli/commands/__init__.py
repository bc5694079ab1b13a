"""The subcommands of `dicos`, a module each, imported when it is chosen."""
