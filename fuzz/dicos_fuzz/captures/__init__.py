"""Capture files: pcapng written, pcap and pcapng read, TCP connections put together, TLS decrypted with a key log.

Knows: files of packets and the bytes of connections. Must not know: what the bytes mean, beyond what tells DICOM from
other protocols (`trace` decodes them).
"""
