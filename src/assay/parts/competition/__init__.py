"""Competitions: a challenge in one file, what teams hand in, and a board that can be trusted."""
