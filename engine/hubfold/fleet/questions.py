"""The questions that are asked of exported indexes, as SQL for DuckDB. Pure.

All of them are about `files`, the rows of all the files, as `layout` has them. A payload counts once on its host, and
once in all where several hosts use its file system. Hosts that know one content by two digests are brought together
where some host knows both.
"""

from __future__ import annotations

from typing import NamedTuple

#: A content that some hosts know by xxh3_128 alone has the key that others have for it.
_NAMED = """
bridge AS (
    SELECT xxh3, min(content) AS content, min(algorithm) AS algorithm FROM files
    WHERE xxh3 IS NOT NULL GROUP BY xxh3
),
named AS (
    SELECT host, share, inode, repo_type, repo_id, revision, name, size, bytes, first, algorithm, content
    FROM files WHERE content IS NOT NULL AND algorithm <> 'xxh3_128'
    UNION ALL
    SELECT host, share, inode, repo_type, repo_id, revision, name, size, bytes, first,
        coalesce(b.algorithm, f.algorithm), coalesce(b.content, f.content)
    FROM files f LEFT JOIN bridge b ON b.xxh3 = f.content WHERE f.algorithm = 'xxh3_128'
)"""

#: One row a payload with the hosts that have it: one, or on a share several, of which the first and the last are told.
_EACH_FILE = f"""{_NAMED},
each_file AS (
    SELECT content, host, host AS last_host, bytes, repo_id FROM named WHERE first AND share IS NULL
    UNION ALL
    SELECT content, min(host), max(host), max(bytes), min(repo_id) FROM named
    WHERE first AND share IS NOT NULL GROUP BY share, inode, content
)"""


class Question(NamedTuple):
    """A question with its SQL; `takes` are the values that it is asked with, in order."""

    title: str
    sql: str
    takes: tuple[str, ...] = ()


HOSTS = Question(
    "what each host has",
    """
SELECT host, min(scanned) AS scanned, count(*) AS files, sum(bytes)::BIGINT AS bytes,
    count(DISTINCT repo_id) AS models
FROM files GROUP BY host ORDER BY bytes DESC, host""",
)

SAVES = Question(
    "what one shared cache would save",
    f"""
WITH {_EACH_FILE},
contents AS (
    SELECT content, count(*) AS copies, sum(bytes) AS bytes, max(bytes) AS one,
        min(host) <> max(last_host) AS several
    FROM each_file GROUP BY content
)
SELECT count(*) AS contents, coalesce(sum(copies), 0)::BIGINT AS copies, coalesce(sum(bytes), 0)::BIGINT AS bytes,
    coalesce(sum(bytes - one), 0)::BIGINT AS saved,
    coalesce(sum(bytes - one) FILTER (WHERE several), 0)::BIGINT AS saved_between_hosts
FROM contents""",
)

HELD = Question(
    "which models are held how often",
    """
SELECT repo_id AS model, count(DISTINCT host) AS hosts, count(DISTINCT revision) AS revisions,
    sum(bytes)::BIGINT AS bytes
FROM files WHERE repo_id IS NOT NULL
GROUP BY repo_type, repo_id ORDER BY hosts DESC, bytes DESC, model LIMIT ?""",
    ("limit",),
)

ONLY = Question(
    "what only one host has",
    f"""
WITH {_EACH_FILE},
single AS (
    SELECT min(host) AS host, sum(bytes) AS bytes, min(repo_id) AS model FROM each_file
    GROUP BY content HAVING min(host) = max(last_host)
)
SELECT host, model, count(*) AS contents, sum(bytes)::BIGINT AS bytes
FROM single GROUP BY host, model ORDER BY bytes DESC, host, model LIMIT ?""",
    ("limit",),
)

DIFFERS = Question(
    "what differs under one name",
    f"""
WITH {_NAMED},
variants AS (
    SELECT repo_id, revision, name, algorithm, count(DISTINCT content) AS contents, min(size) AS low,
        max(size) AS high, min(host) AS host, max(host) AS last_host
    FROM named WHERE name IS NOT NULL AND repo_id IS NOT NULL
    GROUP BY repo_type, repo_id, revision, name, algorithm
)
SELECT repo_id AS model, revision, name, max(contents) AS contents, min(low) AS smallest, max(high) AS largest,
    min(host) AS host, max(last_host) AS other_host
FROM variants GROUP BY repo_id, revision, name
HAVING max(contents) > 1 OR min(low) < max(high)
ORDER BY model, revision, name LIMIT ?""",
    ("limit",),
)

MODEL = Question(
    "which hosts have a model",
    """
SELECT host, root, backend, revision, count(*) AS files, sum(bytes)::BIGINT AS bytes, min(scanned) AS scanned
FROM files WHERE repo_id = ?
GROUP BY host, root, backend, revision ORDER BY host, root, revision LIMIT ?""",
    ("model", "limit"),
)

#: By the words that they are asked for with.
QUESTIONS = {"hosts": HOSTS, "saves": SAVES, "held": HELD, "only": ONLY, "differs": DIFFERS}


def view(paths: list[str], *, namesakes: bool = False) -> str:
    """The SQL that makes `files` of these files; with `namesakes`, hosts have their machine's id in their names."""
    quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    columns = "* REPLACE (host || '-' || left(machine, 8) AS host)" if namesakes else "*"
    return f"CREATE VIEW files AS SELECT {columns} FROM read_parquet([{quoted}])"
