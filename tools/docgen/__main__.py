"""`python -m tools.docgen`: write the generated pages of docs/; say which have changed."""

from . import write

for path in write():
    print(f"docs: {path} is new")
