"""Adapters that carry the bytes of `dicos_proto`, DICOM files, and the `dicos` command: all that touches the world."""

__path__.append(f"{__path__[0]}/_moved")  # the names that modules had before they were sorted into packages
