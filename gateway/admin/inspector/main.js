/** Puts the parts together: the address says what is shown, the store says what is known. */

import { api } from "./api.js";
import { chartCards } from "./charts.js";
import { byId, button, el, put } from "./dom.js";
import { Filters, matches } from "./filters.js";
import { clock } from "./format.js";
import { healthCard } from "./health.js";
import { helpDialog, listenToKeys } from "./keys.js";
import { MailList } from "./list.js";
import { Live } from "./live.js";
import { announce, notice, showState } from "./notices.js";
import { rulesCard } from "./rules.js";
import { Store } from "./store.js";
import { themeSwitch } from "./theme.js";
import { TransactionView } from "./transaction.js";
import { TryForm } from "./try.js";
import { verdictOf } from "./words.js";

const OVERVIEW_PAUSE = 400;
const CHARTS_PAUSE = 5000;
const REFRESH_PAUSE = 300;
const HOME = "#/";

const store = new Store();
const list = new MailList(byId("mail-list"));
const filters = new Filters(byId("filters"), () => draw());
const charts = chartCards();
const health = healthCard();
const view = new TransactionView(byId("detail"), { store, close, tryAgain });
const tryForm = new TryForm(byId("try"), (answer) => {
  view.remember(answer);
  go(`#/transactions/${answer.transaction_id}`);
});
const openHelp = helpDialog(byId("help"));
let lastSeen = null;

// the list

function draw() {
  const rows = store.sorted();
  const wanted = filters.active ? rows.filter((row) => matches(row, filters.wanted)) : rows;
  list.recording = store.recording;
  list.show(wanted, nothing);
  list.mark(view.id);
  filters.say(wanted.length, rows.length);
}

function nothing() {
  if (!store.loaded) return el("p", {}, "Asking the gateway…");
  if (filters.active && store.rows.size)
    return [el("p", {}, "No mail is like that."), button("Show all mail", () => filters.clear())];
  return [
    el("p", {}, "No mail has come yet."),
    el(
      "p",
      { class: "dim" },
      "It appears here as soon as the MTA asks the gateway. Until then you can ",
      el("a", { href: "#/try" }, "try a message"),
      ".",
    ),
  ];
}

function overview() {
  const names = store.webhooks.map((item) => item.name);
  filters.offer(names);
  tryForm.offer(names);
  health.show(store.webhooks);
  charts.show(store.sorted(), store.calls);
  notice(
    "recording",
    store.recording
      ? null
      : [
          "Bodies and subjects are not recorded: requests, answers and messages cannot be seen here. To keep the latest in memory, set ",
          el("code", {}, "record = true"),
          " under ",
          el("code", {}, "[admin]"),
          " and start the gateway again.",
        ],
  );
}

let overviewTimer;
store.addEventListener("change", () => {
  lastSeen = clock(Date.now());
  draw();
  overviewTimer ??= setTimeout(() => {
    overviewTimer = undefined;
    overview();
  }, OVERVIEW_PAUSE);
});
store.addEventListener("arrived", ({ detail: row }) =>
  announce(`${verdictOf(row)}: ${row.subject ?? "mail"} from ${row.from || "nobody"}`),
);
setInterval(() => document.hidden || charts.show(store.sorted(), store.calls), CHARTS_PAUSE);

// the open mail follows what happens to it

let refreshTimer;
function follow({ transaction_id: id }) {
  if (id !== view.id) return;
  clearTimeout(refreshTimer);
  refreshTimer = setTimeout(() => view.id && view.refresh(), REFRESH_PAUSE);
}
store.addEventListener("exchange", ({ detail }) => follow(detail));
store.addEventListener("arrived", ({ detail }) => follow(detail));

// the address

let comesFrom = null;
let scrolled = 0;

function go(hash) {
  if (location.hash === hash) route();
  else location.hash = hash;
}

function close() {
  comesFrom = decode(location.hash.split("/")[2] ?? ""); // the address is ahead of what is drawn
  go(HOME);
}

async function tryAgain(whole) {
  try {
    await tryForm.again(whole);
    go("#/try");
  } catch (error) {
    notice("try", error.message, "warning");
  }
}

function route() {
  const [, page = "", id = ""] = location.hash.split("/").map(decode);
  const opened = { transactions: "mail", sessions: "session" }[page];
  const trying = page === "try";
  if (!view.id && !byId("mail").hidden) scrolled = byId("mail").scrollTop;
  document.body.dataset.page = trying ? "try" : opened ? "detail" : "mail";
  byId("mail").hidden = trying;
  byId("detail").hidden = !opened;
  byId("try").hidden = !trying;
  for (const link of document.querySelectorAll("nav [data-page]")) {
    if ((link.dataset.page === "try") === trying) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!opened) view.shut();
  else if (view.id !== id) view.open(opened, id);
  if (trying) byId("try").querySelector("h1").focus({ preventScroll: true });
  else if (!opened) backInTheList();
  list.mark(view.id);
}

function backInTheList() {
  byId("mail").scrollTop = scrolled;
  if (comesFrom) list.focus(comesFrom);
  comesFrom = null;
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// keys

function step(by) {
  const id = list.next(by);
  if (id === null) return;
  list.focus(id);
  if (view.id) go(store.rows.get(id).path);
}

function escape(target, typing) {
  if (typing && target.name === "text" && target.value) {
    target.value = "";
    filters.read();
  } else if (typing) target.blur();
  else if (document.body.dataset.page !== "mail") close();
}

listenToKeys({
  "/": () => {
    go(document.body.dataset.page === "try" ? HOME : location.hash || HOME);
    requestAnimationFrame(() => filters.search.focus());
  },
  j: () => step(1),
  k: () => step(-1),
  t: () => go("#/try"),
  "?": openHelp,
  Escape: escape,
});

// the demo, and the start

async function showRules() {
  try {
    const { paths, info } = await api.description();
    document.querySelector(".brand").title = `milter-gateway ${info.version}`;
    if ("/v1/demo/rules" in paths) byId("overview").prepend(rulesCard((await api.rules()).rules));
  } catch {
    // without the description there are no rules to be seen; the stream says whether the gateway is there
  }
}

async function load() {
  try {
    await store.load();
    notice("load", null);
  } catch (error) {
    notice("load", `The list could not be loaded: ${error.message}`, "warning");
  }
}

const live = new Live({
  happened: (name, value) => store.happened(name, value),
  state: (word, seconds) => {
    showState(word, seconds, lastSeen);
    if (word === "live") load();
  },
});

const roomy = matchMedia("(min-width: 701px)");
byId("overview-fold").open = roomy.matches;
roomy.addEventListener("change", () => (byId("overview-fold").open = roomy.matches));
put(byId("overview"), ...charts.cards, health.card);
themeSwitch(byId("theme-switch"));
byId("help-open").addEventListener("click", openHelp);
window.addEventListener("hashchange", route);
draw();
route();
showRules();
live.start();
