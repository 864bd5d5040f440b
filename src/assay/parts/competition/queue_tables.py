"""The tables of a queue of submissions."""

import sqlalchemy as sa

__all__ = ["ENTRANTS", "EVENTS", "METADATA", "METRIC", "STATES", "SUBMISSIONS"]

STATES = ("queued", "running", "scored", "refused", "failed", "stuck")
"""Where a submission can stand; that it was ``received`` is the first of its events."""
METADATA = sa.MetaData()
SUBMISSIONS = sa.Table(
    "submissions",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),  # order of arrival
    sa.Column("id", sa.String(32), nullable=False, unique=True),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("team", sa.Text, nullable=False),
    sa.Column("host", sa.Boolean, nullable=False),  # the organisers' own: off the board
    sa.Column("content", sa.String(80), nullable=False),  # SHA-256 of the bytes, and the suffix
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("costs", sa.Boolean, nullable=False),  # whether it takes one of the team's tries
    sa.Column("settled", sa.Boolean, nullable=False),  # an outcome stood once
    sa.Column("wanted", sa.Text, nullable=False),  # version of the metric to be computed
    sa.Column("received", sa.String(32), nullable=False),  # UTC, ISO 8601, as the others
    sa.Column("ended", sa.String(32)),
    sa.Column("code", sa.String(40), nullable=False, server_default=""),
    sa.Column("problems", sa.JSON, nullable=False),
    sa.Column("tail", sa.Text, nullable=False, server_default=""),
    sa.Column("result", sa.JSON(none_as_null=True)),  # the one that stands
    sa.Column("version", sa.Text),  # by which metric
    sa.Column("chosen", sa.Boolean, nullable=False),  # by the team, to be final
    sa.Column("worker", sa.Text, nullable=False, server_default=""),
    sa.Column("token", sa.Integer, nullable=False),  # raised with each lease: the fence
    sa.Column("beat", sa.Integer, nullable=False),  # raised by the worker
    sa.Column("beaten", sa.String(32)),  # by the worker's clock, to be looked at only
    sa.Column("faults", sa.Integer, nullable=False),  # of the platform, since it was queued afresh
    sa.CheckConstraint(f"state IN {STATES}"),
    sa.UniqueConstraint("phase", "team", "host", "content"),
    sa.Index("submissions_waiting", "state", "number"),
    sqlite_autoincrement=True,
)
EVENTS = sa.Table(
    "submission_events",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("submission", sa.ForeignKey("submissions.number"), nullable=False, index=True),
    sa.Column("event", sa.String(16), nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),  # for the operator alone: may tell of the truth
    sa.Column("result", sa.JSON(none_as_null=True)),
    sa.Column("version", sa.Text),
    sqlite_autoincrement=True,
)
ENTRANTS = sa.Table(  # locked while a team's tries are counted
    "entrants",
    METADATA,
    sa.Column("phase", sa.Text, primary_key=True),
    sa.Column("team", sa.Text, primary_key=True),
)
METRIC = sa.Table(  # one row
    "metric",
    METADATA,
    sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Text, nullable=False),
)
