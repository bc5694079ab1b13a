"""What carries a command: blocking sockets, trio or asyncio."""
