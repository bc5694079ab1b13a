"""The subcommands of `dicos` that belong to this package: parsing of arguments, and printing."""
