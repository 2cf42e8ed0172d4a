const Conf = require('conf10');
const { drive, state } = require('key_value.js');

const open = () => new Conf({ cwd: state, projectName: 'app', configName: 'config' });

drive({
  open,
  put: (store, key, value) => store.set(key, value),
  remove: (store, key) => store.delete(key),
  dump: () => open().store,
});
