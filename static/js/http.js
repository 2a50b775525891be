// Requests to the own site, with the token that Django asks for.

/** Headers that a changing request needs. */
export function csrfHeaders() {
  try {
    return JSON.parse(document.body.getAttribute("hx-headers") ?? "{}");
  } catch {
    return {};
  }
}

/** Fetch JSON from the own site; a failed answer becomes an Error with its code, message and remedy. */
export async function fetchJson(url, options = {}) {
  const method = options.method ?? "GET";
  const headers = { Accept: "application/json", ...(method === "GET" ? {} : csrfHeaders()), ...(options.headers ?? {}) };
  const response = await fetch(url, { credentials: "same-origin", ...options, headers });
  const isJson = response.headers.get("content-type")?.includes("json");
  const body = isJson ? await response.json() : null;
  if (response.ok) return body;
  const error = new Error(body?.message ?? `The hub answered ${response.status}.`);
  throw Object.assign(error, { status: response.status, code: body?.code ?? "", remedy: body?.remedy ?? "" });
}
