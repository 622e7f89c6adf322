"""A client that shares no code with ours: transactions, a group and offsets, against any Kafka broker.

usage: client.py BOOTSTRAP TOPIC OUTPUT GROUP   (both topics exist, with two partitions, and are empty)
"""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

COUNT = 100
PARTITIONS = 2


async def produce(bootstrap: str, topic: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", compression_type="gzip")
    await producer.start()
    for n in range(COUNT):
        await producer.send_and_wait(
            topic, key=b"k%d" % n, value=b"%d" % n, partition=n % PARTITIONS, headers=[("n", b"%d" % n)]
        )
    await producer.stop()


async def transform(bootstrap: str, topic: str, output: str, group: str) -> None:
    """Consumes in a group, produces in transactions with the offsets; aborts every third batch and reads it again."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=group)
    await consumer.start()
    await producer.start()
    done, batches = 0, 0
    while done < COUNT:
        batch = await consumer.getmany(timeout_ms=500, max_records=10)
        if not batch:
            continue
        batches += 1
        await producer.begin_transaction()
        offsets, starts = {}, {}
        for place, records in batch.items():
            for record in records:
                await producer.send(output, key=record.key, value=record.value, partition=place.partition)
            starts[place] = records[0].offset
            offsets[place] = records[-1].offset + 1
        if batches % 3 == 0:
            await producer.abort_transaction()
            for place, offset in starts.items():
                consumer.seek(place, offset)
            continue
        await producer.send_offsets_to_transaction(offsets, group)
        await producer.commit_transaction()
        done += sum(len(records) for records in batch.values())
    await producer.stop()
    await settle(bootstrap, group)
    places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    committed, expected = [], [COUNT // PARTITIONS] * PARTITIONS
    for _ in range(100):
        committed = [await consumer.committed(place) for place in places]
        if committed == expected:
            break
        await asyncio.sleep(0.1)
    assert committed == expected, f"committed offsets are {committed}"
    await consumer.stop()


async def settle(bootstrap: str, transactional_id: str) -> None:
    """Waits for the last transaction's markers.

    A broker answers a commit before it has written them, and this client asks for offsets without the flag that
    waits for pending ones. A successor's start does wait.
    """
    successor = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=transactional_id)
    await successor.start()
    await successor.stop()


async def check(bootstrap: str, output: str) -> None:
    """Each record once, although some were written twice; what was aborted is in the log and hidden."""
    places = [TopicPartition(output, partition) for partition in range(PARTITIONS)]
    counts = {}
    for isolation in ["read_committed", "read_uncommitted"]:
        reader = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, auto_offset_reset="earliest", isolation_level=isolation
        )
        await reader.start()
        reader.assign(places)
        await reader.seek_to_beginning()
        ends = await reader.end_offsets(places)
        values = []
        while any([await reader.position(place) < ends[place] for place in places]):
            batch = await reader.getmany(timeout_ms=500)
            values += [int(record.value) for records in batch.values() for record in records]
        await reader.stop()
        counts[isolation] = sorted(values)
    assert counts["read_committed"] == list(range(COUNT)), f"committed: {counts['read_committed']}"
    assert len(counts["read_uncommitted"]) > COUNT, "nothing was aborted"


async def main(bootstrap: str, topic: str, output: str, group: str) -> None:
    await produce(bootstrap, topic)
    await transform(bootstrap, topic, output, group)
    await check(bootstrap, output)


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), timeout=240))
