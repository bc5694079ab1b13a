"""Adapters that carry the bytes of `dicos_proto`, DICOM files, and the `dicos` command: all that touches the world."""

from typing import TYPE_CHECKING

__path__.append(f"{__path__[0]}/_moved")  # the names that modules had before they were sorted into packages

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """A module of the package, by its name or a former one, which is imported when it is asked for."""
        from importlib import import_module

        module = f"{__name__}.{name}"
        try:
            if name.startswith("_"):
                raise ModuleNotFoundError(name=module)
            return import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:  # one of its own imports
                raise
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
