"""The services of PS3.4 as flows, each with its user side and its provider side."""
