// Right: replaces six files atomically and at the same time, through the thread pool of fs.promises.

const fs = require('fs');
const { open, rename } = require('fs/promises');
const path = require('path');

const isCheck = process.argv[2] === 'check';
const state = process.env.KILLPOINT_STATE || process.argv[process.argv.length - 1];
fs.mkdirSync(state, { recursive: true });

const check = () => {
  const held = {};
  for (const name of fs.readdirSync(state).sort()) {
    if (!name.endsWith('.tmp')) held[name] = fs.readFileSync(path.join(state, name), 'utf8');
  }
  console.log(JSON.stringify(held));
};

const syncDirectory = async () => {
  const directory = await open(state, 'r');
  await directory.sync();
  await directory.close();
};

const save = async (journal, key) => {
  for (let round = 1; round <= 2; round++) {
    const value = `round-${round}-of-${key}`;
    fs.writeSync(journal, `I ${key} ${value}\n`);
    const temporary = path.join(state, `${key}.tmp`);
    const file = await open(temporary, 'w');
    await file.writeFile(value);
    await file.sync();
    await file.close();
    await rename(temporary, path.join(state, key));
    await syncDirectory();
    fs.writeSync(journal, `A! ${key}\n`);
  }
};

const work = async () => {
  const journal = fs.openSync(process.env.KILLPOINT_JOURNAL || '/dev/null', 'a');
  await Promise.all([1, 2, 3, 4, 5, 6].map((number) => save(journal, `file-${number}`)));
};

if (isCheck) check();
else work();
