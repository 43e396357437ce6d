// Calls the relay's admin API for the operators' page. The token is kept only here, in
// memory, and is requested when the relay requires one.

import { at, say } from "./dom.js";

/** @type {string} */
let token = "";

export class Refusal extends Error {
  /** @param {number} status @param {string} code @param {string} detail */
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/**
 * Sends a request to the API.
 * @param {string} method @param {string} path @param {object} [body] @param {AbortSignal} [signal]
 */
export async function call(method, path, body, signal) {
  /** @type {Record<string, string>} */
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  const res = await fetch(`api/${path}`, { method, headers, body: body && JSON.stringify(body), signal, cache: "no-store" });
  if (res.ok) return res;
  let told = { code: "", detail: "" };
  try {
    told = await res.json();
  } catch {
    // not the relay's JSON
  }
  throw new Refusal(res.status, told.code, told.detail || `The relay responded with status ${res.status}.`);
}

/** @param {string} method @param {string} path @param {object} [body] */
export const json = async (method, path, body) => (await call(method, path, body)).json();

/** @type {Promise<void>|undefined} */
let asking;

/**
 * Asks the operator for a token if that is what is missing.
 * @param {unknown} err
 */
export async function unauthorized(err) {
  if (!(err instanceof Refusal) || err.status !== 401) return false;
  at("token-wrong").textContent = token ? "The relay does not accept this token." : "";
  asking ??= askToken().finally(() => (asking = undefined));
  await asking;
  return true;
}

/** @returns {Promise<void>} */
function askToken() {
  const dialog = /** @type {HTMLDialogElement} */ (at("token-dialog"));
  const field = /** @type {HTMLInputElement} */ (at("token"));
  say("Token required.");
  field.value = "";
  dialog.addEventListener("cancel", (e) => e.preventDefault());
  dialog.showModal();
  return new Promise((resolve) => {
    at("token-form").addEventListener(
      "submit",
      (e) => {
        e.preventDefault();
        token = field.value.trim();
        field.value = "";
        dialog.close();
        resolve();
      },
      { once: true },
    );
  });
}
