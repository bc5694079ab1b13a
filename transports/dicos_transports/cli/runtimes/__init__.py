"""The runtimes of the commands: blocking sockets, trio and asyncio."""
