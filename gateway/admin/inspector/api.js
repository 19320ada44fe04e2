/** The admin API, as it is documented at /docs. Everything the page knows comes from here. */

/** Why a call gave nothing, in words. `status` is 0 where the gateway did not answer at all. */
export class ApiError extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

const SECOND_TRY = 300;
const SILENCE = "The gateway does not answer.";

async function ask(path, options = {}) {
  const response = await reach(path, { credentials: "same-origin", cache: "no-store", ...options });
  if (!response.ok) throw new ApiError(response.status, await reason(response));
  return response;
}

/** A browser drops what is under way when the machine changes networks: what only reads is asked for once more. */
async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    if (options.method !== undefined) throw new ApiError(0, SILENCE);
  }
  await new Promise((resolve) => setTimeout(resolve, SECOND_TRY));
  try {
    return await fetch(path, options);
  } catch {
    throw new ApiError(0, SILENCE);
  }
}

async function reason(response) {
  try {
    const { detail } = await response.json();
    if (typeof detail === "string") return detail;
    return detail.map((item) => `${item.loc.slice(1).join(".")}: ${item.msg}`).join("; ");
  } catch {
    return `The gateway answered with status ${response.status}.`;
  }
}

async function json(path, options) {
  return (await ask(path, options)).json();
}

function query(values) {
  const given = Object.entries(values).flatMap(([name, value]) => [value].flat().map((item) => [name, item]));
  const text = new URLSearchParams(given.filter(([, value]) => value !== null && value !== undefined)).toString();
  return text ? `?${text}` : "";
}

const part = encodeURIComponent;

export const api = {
  description: () => json("openapi.json"),
  sessions: (limit) => json(`v1/sessions${query({ limit })}`),
  exchanges: (chosen) => json(`v1/exchanges${query(chosen)}`),
  webhooks: () => json("v1/webhooks"),
  transaction: (id) => json(`v1/transactions/${part(id)}`),
  exchange: (id) => json(`v1/exchanges/${part(id)}`),
  curl: async (id) => (await ask(`v1/exchanges/${part(id)}/curl`)).text(),
  replay: (id, url) => json(`v1/exchanges/${part(id)}/replay${query({ url: url || null })}`, { method: "POST" }),
  simulate: (raw, chosen) => json(`v1/simulate${query(chosen)}`, { method: "POST", body: raw }),
  messagePath: (id, version) => `v1/transactions/${part(id)}/message${query({ as: version })}`,
  message: async (id) => new Uint8Array(await (await ask(api.messagePath(id, "received"))).arrayBuffer()),
  rules: () => json("v1/demo/rules"),
  switchRule: (name, on) =>
    json(`v1/demo/rules/${part(name)}`, {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ on }),
    }),
};
