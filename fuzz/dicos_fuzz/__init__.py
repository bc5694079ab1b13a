"""Fault injection, fuzzing and traces for DICOM and DICOS associations.

`tree` and `grammar` turn bytes into trees of named fields and change them on purpose; `faults` puts seeded faults
around any `Wire`; `inside` exercises the engine and the adapters; `campaign` drives a peer over the network, `findings`
makes its findings small and repeatable; `captures` and `trace` read recordings.
"""
