"""The tables of a survey."""

import sqlalchemy as sa

__all__ = ["HISTORY", "METADATA", "PEOPLE", "RESPONSES", "SESSIONS", "TOKENS"]

METADATA = sa.MetaData()
RESPONSES = sa.Table(
    "responses",
    METADATA,
    sa.Column("respondent", sa.String(32), primary_key=True),
    sa.Column("competition", sa.Text, nullable=False),
    sa.Column("team", sa.Text, nullable=False),
    sa.Column("team_key", sa.Text, nullable=False),
    sa.Column("mode", sa.String(8), nullable=False),  # closed, open or imported
    sa.Column("instrument", sa.String(64), nullable=False),
    sa.Column("opened", sa.String(32)),  # UTC, ISO 8601
    sa.Column("started", sa.String(32)),
    sa.Column("completed", sa.String(32)),
    sa.Column("draft", sa.JSON, nullable=False),  # what stands in the form
    sa.Column("sections", sa.JSON, nullable=False),  # those saved at least once
    sa.Column("answers", sa.JSON(none_as_null=True)),  # what was submitted
    sa.Column("revision", sa.Integer, nullable=False),  # how often
    sa.Column("seconds", sa.Float),  # until it was submitted first
)
HISTORY = sa.Table(
    "history",
    METADATA,
    sa.Column("respondent", sa.ForeignKey("responses.respondent"), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("instrument", sa.String(64), nullable=False),
    sa.Column("completed", sa.String(32), nullable=False),
    sa.Column("answers", sa.JSON, nullable=False),
)
TOKENS = sa.Table(
    "tokens",
    METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("respondent", sa.ForeignKey("responses.respondent"), nullable=False, index=True),
)
SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("respondent", sa.ForeignKey("responses.respondent"), nullable=False),
)
PEOPLE = sa.Table(
    "people",
    METADATA,
    sa.Column("person", sa.String(32), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("email_key", sa.Text, nullable=False, unique=True),
    sa.Column("coauthor", sa.Boolean, nullable=False),
    sa.Column("raffle", sa.Boolean, nullable=False),
    sqlite_with_rowid=False,  # a row number would tell who came when
)
