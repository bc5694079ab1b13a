"""Parts of scripts: an association, a message, a reaction. Use them with `yield from`.

`calling` is for providers: the tester calls. `called` is for users: the tester is called. The rest is for both.
"""

from .association import Associated, goes_on, hear, react, reaction_to, released, said, tell
from .called import asked, called, request_of, serve, success
from .calling import associate, echoed, opened, request, storage_of, stored
from .messages import Hearing, Message, command_bytes, message, pdv

__all__ = [
    "Associated", "Hearing", "Message", "asked", "associate", "called", "command_bytes", "echoed", "goes_on", "hear",
    "message", "opened", "pdv", "react", "reaction_to", "released", "request", "request_of", "said", "serve",
    "storage_of", "stored", "success", "tell",
]  # fmt: skip
