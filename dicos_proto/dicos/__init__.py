"""DICOS objects in memory."""
