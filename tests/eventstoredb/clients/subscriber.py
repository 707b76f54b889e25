"""AtomicPuppy, which follows a stream by its feed: it gets every event once and in order, while others
publish; and finds the newest event that fits."""

import asyncio
import sys
import uuid

import atomicpuppy

HOST, PORT = sys.argv[1], int(sys.argv[2])
STREAM = "order-followed"
COUNT = 60


def config():
    return {
        "atomicpuppy": {
            "host": HOST,
            "port": PORT,
            "instance": "test",
            "page_size": 7,
            "streams": [STREAM],
        }
    }


def publish(publisher, first, last):
    for nr in range(first, last):
        event = atomicpuppy.Event(uuid.uuid4(), "Counted", {"nr": nr}, STREAM, None, {"m": nr})
        answer = publisher.post(event)
        assert answer.status_code == 201, answer
        assert answer.headers["Location"].endswith(f"/streams/{STREAM}/{nr}"), answer.headers


async def main():
    publisher = atomicpuppy.EventPublisher(HOST, PORT)
    publish(publisher, 0, 25)
    seen = []
    done = asyncio.Event()

    def handle(event):
        assert event.metadata == {"m": event.data["nr"]}, event
        seen.append((event.sequence, event.data["nr"]))
        if len(seen) == COUNT:
            done.set()

    puppy = atomicpuppy.AtomicPuppy(config(), handle)
    following = asyncio.ensure_future(puppy.start())
    # While it reads, and while it waits between two looks.
    await asyncio.get_running_loop().run_in_executor(None, publish, publisher, 25, COUNT)
    waiting = asyncio.ensure_future(done.wait())
    await asyncio.wait({following, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=60)
    following.cancel()
    assert seen == [(nr, nr) for nr in range(COUNT)], seen
    await puppy.session.close()

    finder = atomicpuppy.EventFinder(config())
    found = await finder.find_backwards(STREAM, lambda event: event.data["nr"] % 10 == 3)
    assert found.sequence == 53, found
    try:
        await finder.find_backwards("nowhere", lambda event: True)
        raise AssertionError("a stream that is not there was read")
    except atomicpuppy.StreamNotFoundError:
        pass
    print("subscriber: done", flush=True)


asyncio.run(main())
# Its reader goes on for as long as its loop does.
