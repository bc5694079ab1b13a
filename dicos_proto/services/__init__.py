"""The services of PS3.4 as flows, user side and provider side of each: verification, storage."""
