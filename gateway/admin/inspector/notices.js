/** What has to be said: aloud for screen readers, on the page for everybody, and whether the page is live. */

import { byId, el, put } from "./dom.js";

const SPOKEN_PAUSE = 4000;
let spoken = 0;
let waiting = null;

/** Says it politely, and not too often: what comes faster is put together. */
export function announce(words) {
  waiting = waiting ? `${waiting}; ${words}` : words;
  const pause = Math.max(0, spoken + SPOKEN_PAUSE - Date.now());
  if (waiting !== words) return;
  setTimeout(() => {
    byId("announcer").textContent = waiting;
    spoken = Date.now();
    waiting = null;
  }, pause);
}

/** Shows a sentence at the top until it is taken back with null. */
export function notice(name, words, kind = "") {
  const id = `notice-${name}`;
  const before = byId(id);
  const now = words && el("p", { id, class: `notice ${kind}`, role: "status" }, ...[words].flat());
  if (now && before?.textContent === now.textContent) return; // what was read aloud is not read again
  before?.remove();
  if (now) byId("notices").append(now);
}

const STATES = {
  connecting: ["Connecting…", ""],
  live: ["Live", "on"],
  gone: ["Not connected", "off"],
  full: ["Not live", "off"],
  paused: ["Paused", ""],
};

/** Says whether the page is live, in a word and, where it is not, in a sentence. */
export function showState(state, seconds, lastSeen) {
  const [word, kind] = STATES[state];
  put(byId("live"), el("span", { class: `lamp ${kind}`, "aria-hidden": "true" }), word);
  const since = lastSeen ? ` What is shown is what was known at ${lastSeen}.` : "";
  const sentences = {
    gone: `The connection to the gateway is gone: it was stopped, or the network is down.${since} Trying again in ${seconds} s.`,
    full: `Too many pages watch this gateway, so this one is not live.${since} Trying again in ${seconds} s.`,
  };
  notice("live", sentences[state] ?? null, "warning");
}
