"""`python -m tools.docgen`: write the generated pages of docs/ and print the changed ones."""

from . import write

for path in write():
    print(f"docs: {path} has changed")
