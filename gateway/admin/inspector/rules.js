/** The rules of the demo's backend, with a switch for each. Only the demo has them. */

import { api } from "./api.js";
import { el, put } from "./dom.js";
import { announce } from "./notices.js";

/** Fills the card; `rules` as the API shows them. */
export function rulesCard(rules) {
  const list = el("ul", { class: "rules" });
  const trouble = el("p", { class: "failure", role: "alert", hidden: true });
  const draw = (shown) => put(list, ...shown.map((rule) => el("li", {}, ...ruleSwitch(rule, act))));

  async function act(rule, box) {
    try {
      const { rules: now } = await api.switchRule(rule.name, box.checked);
      announce(`${rule.does}: ${box.checked ? "on" : "off"}`);
      trouble.hidden = true;
      for (const item of now) list.querySelector(`[name="${CSS.escape(item.name)}"]`).checked = item.on;
    } catch (error) {
      box.checked = !box.checked;
      trouble.hidden = false;
      put(trouble, error.message);
    }
  }

  draw(rules);
  return el(
    "section",
    { class: "card", "aria-labelledby": "rules-title" },
    el("h2", { id: "rules-title" }, "The demo’s rules"),
    el("p", { class: "dim" }, "What its backend does. Switch one, and see the next mail."),
    list,
    trouble,
  );
}

function ruleSwitch(rule, act) {
  const id = `rule-${rule.name}`;
  const box = el("input", { type: "checkbox", role: "switch", class: "switch", id, name: rule.name });
  box.checked = rule.on;
  box.addEventListener("change", () => act(rule, box));
  return [box, el("label", { for: id }, rule.does), el("span", { class: "dim" }, rule.event)];
}
