"""Sessions: everything that is done with an association, independent of the transport."""
