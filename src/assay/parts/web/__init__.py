"""Web: the one gate that every server of Assay stands behind, and how it is started.

The gate is part of the shared parts and not of the application, because servers belong to systems
(`assay survey serve`, leaderboards), and systems cannot import the application.
"""
