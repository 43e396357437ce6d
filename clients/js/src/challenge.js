// @ts-check
// Proof of work in ALTCHA's wire format: find the number for which SHA-256(salt + number)
// is the challenge. It runs in slices on the page's own thread, because a strict policy
// forbids workers.

/** Duration of a slice in ms, so that the page stays responsive. */
const slice = 10;
/** Numbers tried between checks of the clock. */
const stride = 64;

/**
 * A challenge from the relay.
 * @typedef {object} Challenge
 * @property {string} algorithm
 * @property {string} challenge SHA-256 in hex
 * @property {string} salt
 * @property {string} signature
 * @property {number} [maxnumber]
 */

/**
 * Finds the number, and returns the value of the header Relay-Challenge.
 * @param {Challenge} challenge
 * @param {() => boolean} [gone] whether the result is no longer needed
 * @returns {Promise<string>}
 */
export async function solve({ algorithm, challenge, salt, signature, maxnumber = 1e6 }, gone) {
  if (algorithm.toUpperCase() !== "SHA-256") throw new Error(`no ${algorithm} here`);
  const [first, ...rest] = /** @type {string[]} */ (challenge.match(/.{8}/g)).map((word) => parseInt(word, 16) | 0);
  const hash = hasher(salt);
  for (let number = 0; ; ) {
    const stop = performance.now() + slice;
    do {
      for (const end = number + stride; number < end; number++) {
        if (number > maxnumber) throw new Error("the challenge has no solution");
        const words = hash(number);
        if (words[0] === first && rest.every((word, at) => words[at + 1] === word)) {
          return btoa(JSON.stringify({ algorithm, challenge, number, salt, signature }));
        }
      }
    } while (performance.now() < stop);
    await new Promise((done) => setTimeout(done));
    if (gone?.()) throw new Error("given up");
  }
}

/** Remaining lifetime in ms below which a challenge is not solved. */
const margin = 30_000;

/** @typedef {import("./outbox.js").Outbox} Outbox */

/**
 * The challenge solved before a turn needs it, and its solution until a turn takes it.
 * @type {WeakMap<Outbox, {challenge: Challenge, solution?: Promise<string>}>}
 */
const ahead = new WeakMap();

/**
 * Solves the challenge of the introduction, once.
 * @param {Outbox} box
 */
export function prepare(box) {
  const challenge = box.client.introduction?.challenge;
  if (!challenge || challenge === ahead.get(box)?.challenge) return;
  const until = 1000 * Number(/expires=(\d+)/.exec(challenge.salt)?.[1]);
  if (!(until - margin > Date.now())) return; // the relay will send another
  ahead.set(box, { challenge, solution: solve(challenge, () => box.closed).catch(() => "") });
}

/**
 * Takes the solution for a turn; the next turn gets none.
 * @param {Outbox} box
 */
export async function take(box) {
  prepare(box);
  const found = ahead.get(box);
  const solution = found?.solution;
  delete found?.solution;
  return solution ?? "";
}

/** The roots of the first 64 primes, as used by SHA-256. */
const primes = [2];
for (let n = 3; primes.length < 64; n += 2) if (primes.every((p) => n % p)) primes.push(n);
const fraction = (/** @type {number} */ x) => ((x % 1) * 2 ** 32) | 0;
const K = Int32Array.from(primes, (p) => fraction(Math.cbrt(p)));
const initial = Int32Array.from(primes.slice(0, 8), (p) => fraction(Math.sqrt(p)));

const w = new Int32Array(64);

/**
 * Processes one block.
 * @param {Int32Array} state @param {DataView} bytes @param {number} at
 */
function compress(state, bytes, at) {
  for (let i = 0; i < 16; i++) w[i] = bytes.getInt32(at + 4 * i);
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15];
    const y = w[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}

/**
 * Hashes numbers after a salt; the salt's complete blocks are processed once.
 * @param {string} salt
 */
function hasher(salt) {
  const head = new TextEncoder().encode(salt);
  const whole = head.length & ~63;
  const start = initial.slice();
  const view = new DataView(head.buffer);
  for (let at = 0; at < whole; at += 64) compress(start, view, at);
  const rest = head.subarray(whole);
  const tail = new Uint8Array(128);
  const bytes = new DataView(tail.buffer);
  const state = new Int32Array(8);
  tail.set(rest);
  return (/** @type {number} */ number) => {
    let n = rest.length;
    for (const digit of String(number)) tail[n++] = digit.charCodeAt(0);
    const end = n < 56 ? 64 : 128;
    tail.fill(0, n, end);
    tail[n] = 0x80;
    bytes.setUint32(end - 4, 8 * (whole + n));
    state.set(start);
    compress(state, bytes, 0);
    if (end > 64) compress(state, bytes, 64);
    return state;
  };
}
