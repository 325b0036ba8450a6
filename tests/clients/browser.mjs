// Runs a document's JavaScript as a browser would on a page of the deployment's own: `node browser.mjs URL FILE CALL`.
// Relative addresses lead to URL, and cookies are kept, which node's fetch does not do. What the script says on its
// console comes out as it is; CALL is an expression to await.
import { readFileSync } from "node:fs";
import { runInThisContext } from "node:vm";

const [url, file, call] = process.argv.slice(2);
const cookies = new Map();
const fetchAnywhere = globalThis.fetch;

globalThis.fetch = async (address, options = {}) => {
  const headers = new Headers(options.headers);
  if (options.credentials === "include") {
    headers.set("Cookie", [...cookies].map(([name, value]) => `${name}=${value}`).join("; "));
    headers.set("Origin", url);
  }
  const response = await fetchAnywhere(new URL(address, url), { ...options, headers });
  for (const cookie of response.headers.getSetCookie()) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
    cookies.set(name, value);
  }
  return response;
};

runInThisContext(readFileSync(file, "utf8"), { filename: file });
await runInThisContext(`(async () => { ${call} })()`);
