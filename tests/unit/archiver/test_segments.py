"""The protocol of the archive under every order of events that hypothesis finds.

Several archivers, most of them zombies, work on one partition of one log, whose offsets have gaps where markers of
transactions and aborted records are. Each may pause for any time between any two
steps, crash, lose its commit, or begin from an older commit. After every step the objects in S3 must be a chain
of the log's records without gap or overlap.
"""

import gzip
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.archiver.open_object import OpenObject
from services.archiver.partition_archiver import PartitionArchiver
from services.archiver.segments import SegmentChains, SegmentRef
from services.archiver.start import StartPosition
from services.common.archive.keys import Extent, partition_and_first_offset
from tests.support.memory_archive import LogRecord, MemoryStore

HOUR_MS = 3600 * 1000


@dataclass
class Worker:
    """A partition archiver with the consumer's position and its pending upload."""

    archiver: PartitionArchiver
    fetch_from: int
    pending: list[OpenObject] = field(default_factory=list)


class ArchiverMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[LogRecord] = []
        self.store = MemoryStore()
        self.chains = SegmentChains(self.store)
        self.commits: list[SegmentRef] = []
        self.workers: list[Worker] = []

    @initialize(
        steps=st.lists(
            st.tuples(st.sampled_from([0, 1, HOUR_MS]), st.sampled_from([0, 0, 1, 2])), min_size=30, max_size=30
        ),
        workers=st.integers(1, 3),
    )
    def log_and_workers(self, steps: list[tuple[int, int]], workers: int) -> None:
        timestamp, offset = 1_587_729_039_000, -1
        for step, gap in steps:
            timestamp += step
            offset += 1 + gap
            self.log.append(LogRecord(offset, timestamp, b'{"n":%d}' % offset))
        for _ in range(workers):
            self.begin("no commit", 0)

    @rule(how=st.sampled_from(["newest commit", "any commit", "no commit"]), pick=st.integers(0, 99))
    def begin(self, how: str, pick: int) -> None:
        """A new member of the group; a commit that it sees may be older than what others have archived since."""
        if how == "no commit" or not self.commits:
            segment = self.chains.newest(0)
        else:
            segment = self.commits[-1 if how == "newest commit" else pick % len(self.commits)]
        archiver = PartitionArchiver(0)
        fetch_from = archiver.begin(StartPosition(segment.extent.next_offset if segment else 0, segment))
        self.workers.append(Worker(archiver, fetch_from))

    @precondition(lambda self: self.workers)
    @rule(
        pick=st.integers(0, 99),
        fetches=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=2),
    )
    def fill(self, pick: int, fetches: list[tuple[int, int]]) -> None:
        """Fetch, and close the object; it stays pending until `upload`, whatever happens in between."""
        worker = self._pick(pick)
        if worker.pending:
            return
        for count, beyond in fetches:
            following = [record for record in self.log if record.offset >= worker.fetch_from]
            records = following[:count]
            end = records[-1].offset + 1 if records else worker.fetch_from
            if len(following) > count:  # a fetch may go over some of the markers that follow
                end = min(end + beyond, following[count].offset)
            worker.archiver.take(records, end, 0.0)
            worker.fetch_from = end
        if closed := worker.archiver.close():
            worker.pending.append(closed)

    @precondition(lambda self: self.workers)
    @rule(pick=st.integers(0, 99), commits=st.booleans(), crashes=st.sampled_from([False, False, False, True]))
    def upload(self, pick: int, commits: bool, crashes: bool) -> None:
        worker = self._pick(pick)
        if not worker.pending:
            return
        closed = worker.pending.pop()
        segment = self.chains.add(closed.key, closed.extent, closed.finish())
        if crashes:
            self.workers.remove(worker)  # before it could commit
            return
        elsewhere = worker.archiver.on_archived(segment, closed.extent)
        worker.fetch_from = worker.fetch_from if elsewhere is None else elsewhere
        if commits:
            self.commits.append(segment)

    @invariant()
    def the_archive_is_a_chain_of_the_log(self) -> None:
        lines = b"".join(gzip.decompress(body) for body, _ in self._in_offset_order())
        expected = (
            b'{"partition":0,"offset":%d,"timestamp":%d,"value":%b}\n' % (r.offset, r.timestamp, r.value or b"null")
            for r in self.log[: lines.count(b"\n")]
        )
        assert lines == b"".join(expected)

    @invariant()
    def metadata_tells_the_extent(self) -> None:
        following = 0
        for body, metadata in self._in_offset_order():
            extent = Extent.read("", metadata)
            assert extent.covers_from == following
            following = extent.next_offset
            held = [r for r in self.log if extent.covers_from <= r.offset <= extent.last_offset]
            assert gzip.decompress(body).count(b"\n") == len(held)

    def _pick(self, pick: int) -> Worker:
        return self.workers[pick % len(self.workers)]

    def _in_offset_order(self) -> list[tuple[bytes, dict[str, str]]]:
        return [self.store.objects[key] for key in sorted(self.store.objects, key=_first_offset)]


def _first_offset(key: str) -> int:
    named = partition_and_first_offset(key)
    assert named
    return named[1]


ArchiverMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestArchiverMachine = ArchiverMachine.TestCase
