"""Data sets and bytes: reading, checking, writing and transcoding them [PS3.5]."""
