"""Differential oracles: the engine's decoders beside those of pynetdicom, tshark and DCMTK's dcmdump.

`python -m dicos_fuzz.inside.differential --against NAME` runs one. The modules that know another implementation are
imported when they are used.
"""
