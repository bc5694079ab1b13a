"""Mutation testing of the core: does a test fail when a rule of the engine is changed?

    .venv/bin/python -m tools.mutation [--jobs N] [--only TEXT] [module ...]

`module` is a dotted name within the package: `upper_layer.framing`.

Why not a ready tool: mutmut 3 leaves out everything outside functions, and `upper_layer.machine` is a table outside
functions; it leaves out properties too, and cannot leave out error texts. cosmic-ray starts pytest once a mutant, hours
in all.

A mutant of a function is a new code object given to the function itself, so every importer has it: one process collects
all tests and finds out which tests run which line (with coverage), then forks once a mutant and runs only those, the
quickest first, until one fails. A mutant of what is run at import (tables, defaults) is imported in a process of its
own, forked before anything of the project is imported, with the tests that `AT_IMPORT` names for its module.

Mutated: comparisons, `and`/`or`/`not`, conditions, arithmetic, numbers, booleans, bytes, names in strings (not
texts), members of enums, slices, arguments, elements of tuples and dicts, cells of table 9-10, the value returned, and
whole statements (left out). Not mutated: texts, annotations, decorators, `__slots__`.

The mutants that survive are compared with tools/mutation-survivors.txt, which gives the reason of each. Exit status 1:
another one survived, one that is listed did not or does not exist, or docs/mutation.md has other numbers.
"""
