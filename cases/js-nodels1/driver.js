const { drive, state } = require('key_value.js');

const open = () => {
  // The library hands out the same store twice for one path.
  delete require.cache[require.resolve('nls1')];
  const { LocalStorage } = require('nls1');
  return new LocalStorage(state + '/ls');
};

drive({
  open,
  put: (store, key, value) => store.setItem(key, value),
  remove: (store, key) => store.removeItem(key),
  dump: () => {
    const store = open();
    const held = {};
    for (let index = 0; index < store.length; index++) {
      held[store.key(index)] = store.getItem(store.key(index));
    }
    return held;
  },
});
