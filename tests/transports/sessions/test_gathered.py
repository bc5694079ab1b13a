"""`Gathered`: pieces that are kept take little more memory than their bytes."""

import itertools
from random import Random

from dicos_transports.buffers import Gathered


def test_what_is_gathered_is_kept_in_few_pieces() -> None:
    """However it comes: what is kept takes little more memory than its bytes."""
    random = Random(3)
    gathered, given = Gathered(), list[bytes]()
    for _ in range(2000):
        pieces = [memoryview(random.randbytes(random.choice((1, 2, 1023, 1024, 60_000)))) for _ in range(3)]
        gathered.add(pieces)
        given.extend(map(bytes, pieces))
    all_of_it = b"".join(given)
    assert b"".join(gathered.pieces) == all_of_it
    assert gathered.size == len(all_of_it)
    for one, other in itertools.pairwise(gathered.pieces):  # of two neighbours, one has been worth its buffer
        assert isinstance(one, memoryview) or isinstance(other, memoryview)
    small = Gathered()
    for _ in range(100_000):
        small.add([b"x"])
    assert len(small.pieces) == 1
