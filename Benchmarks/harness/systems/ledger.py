"""Martlet's books, read as anybody could."""

import psycopg2


class LedgerReader:
    """A connection for counting."""

    def __init__(self, url):
        self.connection = psycopg2.connect(url)
        self.connection.autocommit = True

    def close(self):
        """Ends the connection."""
        self.connection.close()

    def rows(self, statement, *values):
        """All rows of a query."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def value(self, statement, *values):
        """The one value of a query."""
        return self.rows(statement, *values)[0][0]

    def is_busy(self):
        """Whether a run is alive; cheap, for asking often."""
        return bool(self.rows("SELECT 1 FROM martlet.runs WHERE state IN ('pending', 'running') LIMIT 1"))

    def ended(self, source):
        """How many runs of a producer have ended, by state."""
        return dict(
            self.rows("SELECT state, count(*) FROM martlet.runs WHERE event_source = %s GROUP BY state", source)
        )

    def stage_gaps(self, source):
        """Seconds from the end of `first` to the begin of `second`, per run."""
        return [
            float(row[0])
            for row in self.rows(
                """
                SELECT extract(epoch FROM b.started_at - a.finished_at)
                FROM martlet.runs r
                JOIN martlet.tasks a ON a.run_id = r.id AND a.stage = 'first'
                JOIN martlet.tasks b ON b.run_id = r.id AND b.stage = 'second'
                WHERE r.event_source = %s AND r.state = 'succeeded'
                """,
                source,
            )
        ]
