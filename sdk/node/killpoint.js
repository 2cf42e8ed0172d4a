// What an application may say about itself to Killpoint. One file; require() or import it.
//
// Every function does nothing when the program does not run under Killpoint, throws nothing, and never
// blocks: what cannot be said at once is not said, and unsaid() counts it.
//
// Node has no datagram sockets of the Unix kind. The supervisor therefore also reads a named pipe
// (KILLPOINT_NOTIFY_LINES): one line, one write, done when the call returns, so that a kill right
// behind it loses nothing. A pipe has no senders that the kernel vouches for: a line says who wrote it.
"use strict";

const fs = require("fs");

const MESSAGE_BYTES_MAX = 4096;
let unsaidCount = 0;
let pipe = null;
let journal = null;

/** Ready to work. The supervisor stops waiting for it. */
const ready = () => say("READY=1");

/** Still at work. Call it more often than the watchdog's time-out (WATCHDOG_USEC). */
const heartbeat = () => say("WATCHDOG=1");

/** The checkpoint of this number is on disk: call it after the file was synced. Numbers grow. */
const checkpoint = (sequence) => sayNumber("X_KILLPOINT_CHECKPOINT", sequence);

/** The operation log is on disk up to the operation of this number. */
const oplogFlushed = (sequence) => sayNumber("X_KILLPOINT_OPLOG", sequence);

/** About to end, by itself. */
const shutdown = () => say("STOPPING=1");

/** About to set key to value. Before the save. */
const intent = (key, value) => append("I", key, value);

/** About to delete key. Before the deletion. */
const intentToDelete = (key) => append("I", key, undefined, " -");

/** The latest intent of key survives a kill from now on. After the save. */
const ack = (key) => append("A", key);

/** Unsaved work: promises nothing; its restoration is counted. */
const draft = (key, value) => append("D", key, value);

/** Whether the program runs under a supervisor of Killpoint. */
const isSupervised = () => Boolean(process.env.KILLPOINT_NOTIFY_LINES);

/** How often something could not be said: nobody listened, or there was no room. */
const unsaid = () => unsaidCount;

function sayNumber(name, sequence) {
  const isNumber = typeof sequence === "bigint" ? sequence >= 0n : Number.isSafeInteger(sequence) && sequence >= 0;
  if (isNumber) say(`${name}=${sequence}`);
  else if (isSupervised()) unsaidCount += 1;
}

function say(message) {
  const path = process.env.KILLPOINT_NOTIFY_LINES;
  if (!path) return;
  try {
    // Without a reader this fails at once instead of waiting for one.
    if (pipe === null) pipe = fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
    fs.writeSync(pipe, `${process.pid} ${message}\n`);
  } catch {
    unsaidCount += 1;
  }
}

function append(word, key, value, rest = "") {
  const path = process.env.KILLPOINT_JOURNAL;
  if (!path) return;
  try {
    let line = `${word} ${encodeKey(String(key))}${rest}`;
    if (value !== undefined) line += ` ${encodeValue(String(value))}`;
    const data = Buffer.from(`${line}\n`);
    if (key === "" || data.length > MESSAGE_BYTES_MAX) {
      unsaidCount += 1;
      return;
    }
    if (journal === null) {
      const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = fs.constants;
      journal = fs.openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o644);
    }
    // One call, so that lines of several processes never mix; a part of one is no line.
    if (fs.writeSync(journal, data) !== data.length) unsaidCount += 1;
  } catch {
    unsaidCount += 1;
  }
}

// White space as Rust and Unicode have it, control characters, and the percent sign.
const MUST_BE_ENCODED = /[%\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/g;

function encode(text) {
  const bytes = (character) => [...Buffer.from(character)];
  const hexadecimal = (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  return text.replace(MUST_BE_ENCODED, (character) => bytes(character).map(hexadecimal).join(""));
}

const encodeKey = (text) => (text.startsWith("#") ? `%23${encode(text.slice(1))}` : encode(text));

function encodeValue(text) {
  if (text.startsWith("sha256:")) return `sha256%3A${encode(text.slice(7))}`;
  return text === "-" ? "%2D" : encode(text);
}

module.exports = {
  ready, heartbeat, checkpoint, oplogFlushed, shutdown,
  intent, intentToDelete, ack, draft, isSupervised, unsaid,
};
