// geteventstore-client, which walks a stream by the links of its feed, event by event.
const assert = require('node:assert');
const { promisify } = require('node:util');
const { createClient } = require('geteventstore-client');

async function main(host, port) {
    const writer = createClient({ host, port });
    const write = promisify(writer.write.bind(writer));
    const count = 45;
    for (let nr = 0; nr < count; nr++) {
        await write('walked', { nr }, 'Walked');
    }

    // From the newest to the oldest by `first` and `next`, over three pages.
    const back = createClient({ host, port });
    const readFirst = promisify(back.readFirst.bind(back));
    const readNext = promisify(back.readNext.bind(back));
    const seen = [];
    for (let event = await readFirst('walked'); event; event = await readNext('walked')) {
        seen.push(event.nr);
    }
    assert.deepStrictEqual(seen, [...Array(count).keys()].reverse());

    // From the oldest to the newest by `last` and `previous`, and then what came in meanwhile.
    const ahead = createClient({ host, port });
    const readLast = promisify(ahead.readLast.bind(ahead));
    const readPrevious = promisify(ahead.readPrevious.bind(ahead));
    const walked = [];
    for (let event = await readLast('walked'); event; event = await readPrevious('walked')) {
        walked.push(event.nr);
    }
    assert.deepStrictEqual(walked, [...Array(count).keys()]);
    await write('walked', { nr: count }, 'Walked');
    assert.strictEqual((await readPrevious('walked')).nr, count);
    assert.strictEqual(await readPrevious('walked'), null);

    await promisify(ahead.deleteStream.bind(ahead))('walked', true);
    const after = createClient({ host, port });
    await assert.rejects(promisify(after.readFirst.bind(after))('walked'), /deleted/);
    console.log('walker: done');
}

main(process.argv[2], process.argv[3]).catch((error) => {
    console.error(error);
    process.exit(1);
});
