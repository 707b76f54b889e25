// The HTTP client of geteventstore-promise, as applications use it.
const assert = require('node:assert');
const { HTTPClient, EventFactory } = require('geteventstore-promise');

async function main(hostname, port) {
    const client = new HTTPClient({ hostname, port, credentials: { username: 'admin', password: 'changeit' } });
    await client.ping();

    assert.strictEqual(await client.checkStreamExists('order-1'), false);
    await client.writeEvent('order-1', 'Placed', { nr: 0 }, { by: 'eve' }, { expectedVersion: -1 });
    assert.strictEqual(await client.checkStreamExists('order-1'), true);

    const factory = new EventFactory();
    const more = [];
    for (let nr = 1; nr < 25; nr++) {
        more.push(factory.newEvent(nr % 2 ? 'Odd' : 'Even', { nr }));
    }
    await client.writeEvents('order-1', more, { expectedVersion: 0 });
    // Sent again, as after an answer that was lost: nothing is written twice.
    await client.writeEvents('order-1', more, { expectedVersion: 0 });
    await assert.rejects(
        client.writeEvent('order-1', 'Late', { nr: 99 }, {}, { expectedVersion: 3 }),
        (error) => error.response.status === 400 && error.response.headers['es-currentversion'] === '24',
    );

    const numbers = (events) => events.map((event) => event.data.nr);
    const all = await client.getAllStreamEvents('order-1', 10);
    assert.deepStrictEqual(numbers(all), [...Array(25).keys()]);
    assert.strictEqual(all[0].eventType, 'Placed');
    assert.deepStrictEqual(JSON.parse(all[0].metaData), { by: 'eve' });

    const forward = await client.readEventsForward('order-1', 5, 3);
    assert.deepStrictEqual(numbers(forward.events), [5, 6, 7]);
    assert.strictEqual(forward.isEndOfStream, false);
    assert.strictEqual(forward.nextEventNumber, 8);
    const backward = await client.readEventsBackward('order-1', undefined, 3);
    assert.deepStrictEqual(numbers(backward.events), [24, 23, 22]);
    const odd = await client.getEventsByType('order-1', ['Odd'], 0, 10);
    assert.deepStrictEqual(numbers(odd), [1, 3, 5, 7, 9]);

    // A stream that is deleted softly goes on counting; one that is deleted for good does not go on.
    await client.deleteStream('order-1');
    assert.strictEqual(await client.checkStreamExists('order-1'), false);
    await client.writeEvent('order-1', 'Again', { nr: 25 });
    const again = await client.getEvents('order-1', 0, 10, 'forward');
    assert.deepStrictEqual(again.map((event) => event.eventNumber), [25]);
    await client.deleteStream('order-1', true);
    await assert.rejects(client.getEvents('order-1'), (error) => error.response.status === 410);
    await assert.rejects(
        client.writeEvent('order-1', 'Never', { nr: 26 }),
        (error) => error.response.status === 410,
    );
    console.log('promise: done');
}

main(process.argv[2], Number(process.argv[3])).catch((error) => {
    console.error(error);
    process.exit(1);
});
