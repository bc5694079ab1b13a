"""`python -m benchmarks`, from the checkout's root: this implementation beside raw sockets, DCMTK and pynetdicom."""
