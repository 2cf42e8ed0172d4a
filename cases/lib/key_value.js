// The workload that every key/value case in JavaScript runs, and the ack journal that it writes: one write per line
// to a descriptor opened for appending.
//
// A case gives `open()`, `put(store, key, value)`, `remove(store, key)` and `dump()`, which opens the store by itself.

const fs = require('fs');

exports.state = process.env.KILLPOINT_STATE;

exports.drive = ({ open, put, remove, dump }) => {
  try {
    const phase = process.argv[2];
    if (phase === 'check') {
      console.log(JSON.stringify(dump()));
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
      save('new0', 'alpha');
      save('old1', 'short');
      save('old2', 'x'.repeat(300));
      save('new1', 'beta');
      save('old3', '-');
    }
  } catch (error) {
    console.log(String(error).split('\n')[0]);
    process.exit(1);
  }
};
