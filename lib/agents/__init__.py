"""Agents: who answers, set up by a team."""
