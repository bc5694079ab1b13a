"""Adapters that carry the bytes of `dicos_proto`, DICOM files, and the `dicos` command: all that touches the world."""
