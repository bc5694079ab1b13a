"""Reports about a campaign: text for a terminal, JSON lines, one self-contained HTML page."""
