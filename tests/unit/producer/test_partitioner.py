"""Producer and gateway must agree on a key's partition; the gateway uses aiokafka's own partitioner."""

from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from services.producer.partitioner import keyed_partitioner, murmur2


@given(st.binary(max_size=80))
def test_murmur2_is_kafkas(data: bytes) -> None:
    assert murmur2(data) == reference(data)


def test_murmur2_of_a_long_key() -> None:
    data = bytes(range(256)) * 4 + b"xyz"
    assert murmur2(data) == reference(data)


def test_murmur2_gives_the_figures_of_the_java_client() -> None:
    """From UtilsTest.testMurmur2 of Apache Kafka."""
    assert murmur2(b"21") == -973932308 & 0xFFFFFFFF
    assert murmur2(b"foobar") == -790332482 & 0xFFFFFFFF
    assert murmur2(b"a-little-bit-long-string") == -985981536 & 0xFFFFFFFF


@given(st.text(min_size=1, max_size=30).filter(lambda text: text.isprintable()), st.integers(1, 50))
def test_partition_is_that_of_the_default_partitioner(key: str, partitions: int) -> None:
    everywhere = list(range(partitions))
    expected = DefaultPartitioner()(key.encode(), everywhere, everywhere)
    assert keyed_partitioner(partitions)(key) == (expected, key.encode())
