// A stream checker: reads a line `{"state": DIR, "id": N}` for each state and answers it, so that Node is started and
// the store's library loaded only once.
//
// Each state is mounted at the same path, after the one before it was taken away; `dump` must open the store anew and
// leave nothing open.

const fs = require('fs');

const answer = (line, dump) => {
  const { state, id } = JSON.parse(line);
  if (state !== process.env.KILLPOINT_STATE) throw new Error(`the state is at ${state}`);
  try {
    return { id, store: dump() };
  } catch (error) {
    return { id, error: String(error).split('\n')[0] };
  }
};

exports.serve = (dump) => {
  let unread = '';
  process.stdin.setEncoding('utf8');
  process.stdin.on('data', (text) => {
    const lines = (unread + text).split('\n');
    unread = lines.pop();
    for (const line of lines) fs.writeSync(1, JSON.stringify(answer(line, dump)) + '\n');
  });
};
