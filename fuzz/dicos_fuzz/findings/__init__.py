"""Findings made small, repeatable and readable: minimising, reproducer files, replay, transcripts, exports, groups."""
