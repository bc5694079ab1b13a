"""Campaigns against a peer over the network: learn what it accepts, send it faults, watch and judge its reactions."""
