"""Conversations over one association, written once as generators."""
