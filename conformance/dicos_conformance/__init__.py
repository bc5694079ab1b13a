"""A conformance tester for DICOM and DICOS peers in both roles: cases, clauses, a runner, reports, a statement.

A case is a small script without I/O, so that the same case runs against a socket and against an engine in memory.
"""
