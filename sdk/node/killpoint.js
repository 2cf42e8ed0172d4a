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
const SEQUENCES = 2n ** 64n;
// No value; undefined and null are ones that the application gave, by mistake.
const WITHOUT = Symbol("without");
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
const intentToDelete = (key) => append("I", key, WITHOUT, " -");

/** The latest intent of key survives a kill from now on. After the save. */
const ack = (key) => append("A", key, WITHOUT);

/** Unsaved work: promises nothing; its restoration is counted. */
const draft = (key, value) => append("D", key, value);

/** Whether the program runs under a supervisor of Killpoint. */
const isSupervised = () => Boolean(process.env.KILLPOINT_NOTIFY_LINES);

/** How often something could not be said: nobody listened, or there was no room. */
const unsaid = () => unsaidCount;

function sayNumber(name, sequence) {
  const isNumber =
    typeof sequence === "bigint" ? sequence >= 0n && sequence < SEQUENCES : Number.isSafeInteger(sequence) && sequence >= 0;
  if (isNumber) say(`${name}=${sequence}`);
  else if (isSupervised()) unsaidCount += 1;
}

function say(message) {
  const path = process.env.KILLPOINT_NOTIFY_LINES;
  if (!path) return;
  try {
    // Without a reader this fails at once instead of waiting for one.
    if (!isOurs(pipe)) pipe = open(path, fs.constants.O_NONBLOCK);
    fs.writeSync(pipe.number, `${process.pid} ${message}\n`);
  } catch {
    unsaidCount += 1;
  }
}

function append(word, key, value, rest = "") {
  const path = process.env.KILLPOINT_JOURNAL;
  if (!path) return;
  try {
    const data = lineOf(word, key, value, rest);
    const { O_APPEND, O_CREAT, O_NONBLOCK } = fs.constants;
    if (data !== null && !isOurs(journal)) journal = open(path, O_APPEND | O_CREAT | O_NONBLOCK);
    // One call, so that lines of several processes never mix; a part of one is no line.
    if (data === null || fs.writeSync(journal.number, data) !== data.length) unsaidCount += 1;
  } catch {
    unsaidCount += 1;
  }
}

/** A line of the journal; null if it would be none. */
function lineOf(word, key, value, rest) {
  if (key === undefined || key === null || value === undefined || value === null) return null;
  const [name, text] = [String(key), value === WITHOUT ? "" : String(value)];
  // What is too long as it is, is longer encoded: no work is done for it.
  if (name === "" || name.length + text.length > MESSAGE_BYTES_MAX) return null;
  let line = `${word} ${encodeKey(name)}${rest}`;
  if (value !== WITHOUT) line += ` ${encodeValue(text)}`;
  const data = Buffer.from(`${line}\n`);
  const isLine = data.length <= MESSAGE_BYTES_MAX && !HALF_A_CHARACTER.test(line);
  return isLine ? data : null;
}

function open(path, flags) {
  const number = fs.openSync(path, fs.constants.O_WRONLY | flags, 0o644);
  const { dev, ino } = fs.fstatSync(number, { bigint: true });
  return { number, dev, ino };
}

/** Whether a number that was kept still means what it meant: who closes it may have opened another file. */
function isOurs(kept) {
  if (kept === null) return false;
  try {
    const { dev, ino } = fs.fstatSync(kept.number, { bigint: true });
    return dev === kept.dev && ino === kept.ino;
  } catch {
    return false;
  }
}

// It has no bytes: another one would stand in its place.
const HALF_A_CHARACTER = /\p{Surrogate}/u;

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
