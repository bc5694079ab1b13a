"""The services of PS3.4 as flows, the user's side and the provider's side of each."""
