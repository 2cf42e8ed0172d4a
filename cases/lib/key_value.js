// The workload that every key/value case in JavaScript runs, and the ack journal that it writes: one write per line
// to a descriptor opened for appending.
//
// A case gives `open()`, `put(store, key, value)`, `remove(store, key)` and `dump()`, which opens the store by itself.
// `CASES_REPEAT` makes the workload so many times as long.

const fs = require('fs');
const { serve } = require('stream.js');

exports.state = process.env.KILLPOINT_STATE;

exports.drive = ({ open, put, remove, dump }) => {
  try {
    const phase = process.argv[2];
    if (phase === 'check') {
      console.log(JSON.stringify(dump()));
      return;
    }
    if (phase === 'stream') {
      serve(dump);
      return;
    }
    const journal = fs.openSync(process.env.KILLPOINT_JOURNAL, 'a');
    const store = open();
    const save = (key, value) => {
      fs.writeSync(journal, `I ${key} ${value}\n`);
      if (value === '-') remove(store, key);
      else put(store, key, value);
      fs.writeSync(journal, `A ${key}\n`);
    };
    if (phase === 'setup') {
      for (let number = 0; number < 5; number++) save(`old${number}`, 'v'.repeat(40) + number);
    } else {
      for (let number = 0; number < Number(process.env.CASES_REPEAT ?? 1); number++) {
        const again = number ? String(number) : '';
        save(`new${2 * number}`, 'alpha');
        save('old1', 'short' + again);
        save('old2', 'x'.repeat(300) + again);
        save(`new${2 * number + 1}`, 'beta');
        save(number ? `new${2 * number - 1}` : 'old3', '-');
      }
    }
  } catch (error) {
    console.log(String(error).split('\n')[0]);
    process.exit(1);
  }
};
