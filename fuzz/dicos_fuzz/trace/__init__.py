"""Traces: every association of a recording, decoded from outside, with what deviates from the standard.

Knows: what both sides said, in what order and when. Must not know: packets and files (`captures`), a peer's insides.
"""
