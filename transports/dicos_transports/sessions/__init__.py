"""Sessions: what is done with an association, whatever carries it."""
