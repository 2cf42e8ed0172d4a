const Database = require('simple-json-db');
const { drive, state } = require('key_value.js');

const open = () => new Database(state + '/db.json');

drive({
  open,
  put: (store, key, value) => store.set(key, value),
  remove: (store, key) => store.delete(key),
  dump: () => open().JSON(),
});
