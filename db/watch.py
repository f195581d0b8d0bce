"""Whether workers have had the chance to renew their leases, so that one that ran out says something."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert

from db.database import Database, SqlRow, clock
from db.schema.watch import watch


def leases_may_expire(database: Database, lease_seconds: float) -> bool:
    """Note that the ledger is being reconciled; returns whether a lease that ran out may be taken back.

    A database that was away, read-only or full let nobody renew, and nobody reconcile. After a gap of half a
    lease, workers get as long to renew, which they try three times per lease. At every second call at the
    latest leases count, however rare the calls are: a batch whose worker died shall not wait for ever.
    """
    gap = lease_seconds / 2
    with database.read() as connection:
        now: float = connection.execute(select(clock())).scalar_one()
        last: SqlRow | None = connection.execute(select(watch.c.seen_at, watch.c.grace_until)).first()
    after_gap = False
    if last is not None and last.grace_until is None:
        passed = now - last.seen_at
        if 0 <= passed < gap / 4:
            return True  # noted a moment ago
        after_gap = passed > gap
    elif last is not None and now < last.grace_until:
        return False
    noted = {"seen_at": now, "grace_until": now + gap if after_gap else None}
    with database.write() as connection:
        connection.execute(
            upsert(watch).values(id=1, **noted).on_conflict_do_update(index_elements=["id"], set_=noted)
        )
    return not after_gap
