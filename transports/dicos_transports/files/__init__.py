"""DICOM files [PS3.10]: reading, writing, sending and storing them."""
