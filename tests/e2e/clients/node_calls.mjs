// Sends every call with one of Node's HTTP clients and prints what was read, as JSON.
//
// node node_calls.mjs fetch|undici|axios BASE VALUE, in a directory with the client's package in node_modules.
// The environment's SENT says which answers to fetch, and holds the bodies.
import { Blob } from "node:buffer";
import { createRequire } from "node:module";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";

const [client, base, value] = process.argv.slice(2);
const { asked, order, csv } = JSON.parse(process.env.SENT);
const here = createRequire(`${process.cwd()}/`);
const octets = { "Content-Type": "application/octet-stream" };
const query = new URLSearchParams({ card_number: value, page: 2 });

function* lines() {
  for (const line of csv.split(/(?<=\n)/)) yield Buffer.from(line);
}

function form(FormData) {
  const made = new FormData();
  made.append("shop", "1");
  made.append("file", new Blob([csv], { type: "text/csv" }), "orders.csv");
  return made;
}

// Each gives send(method, path, headers, body) -> {status, headers, body}, and its own ways to make a form and a stream.
const clients = {
  fetch: () => ({
    form: () => form(FormData),
    stream: () => Readable.toWeb(Readable.from(lines())),
    async send(method, path, headers, body) {
      const answer = await fetch(base + path, { method, headers, body, duplex: "half" });
      return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.arrayBuffer() };
    },
  }),
  undici: () => {
    const { FormData, request } = here("undici");
    return {
      form: () => form(FormData),
      stream: () => Readable.from(lines()),
      async send(method, path, headers, body) {
        // Its core gives and takes bodies as they are: no type is added to a form, and no coding taken off.
        const data = body instanceof URLSearchParams ? `${body}` : body;
        const type = body instanceof URLSearchParams ? { "Content-Type": "application/x-www-form-urlencoded" } : {};
        const answer = await request(base + path, { method, headers: { ...type, ...headers }, body: data });
        return { status: answer.statusCode, headers: answer.headers, body: await answer.body.arrayBuffer() };
      },
    };
  },
  axios: () => {
    const axios = here("axios");
    return {
      form: () => form(FormData),
      stream: () => Readable.from(lines()),
      async send(method, path, headers, data) {
        const asked = { method, url: base + path, headers, data, responseType: "arraybuffer" };
        try {
          const answer = await axios.request(asked);
          return { status: answer.status, headers: { ...answer.headers }, body: answer.data };
        } catch (error) {
          if (error.name !== "AxiosError" || !error.response) throw error;
          const { status, headers: fields, data: body } = error.response;
          return { status, headers: { ...fields }, body };
        }
      },
    };
  },
};

const { send, form: makeForm, stream } = clients[client]();
const json = { "Content-Type": "application/json" };
const calls = {
  "call/json": () => send("POST", "/call/json", json, JSON.stringify(order)),
  "call/form": () => send("POST", "/call/form", {}, new URLSearchParams({ CardNo: value, Method: "1", name: "山田" })),
  "call/multipart": () => send("POST", "/call/multipart", {}, makeForm()),
  "call/bytes": () => send("PUT", "/call/bytes", octets, Buffer.from(csv)),
  "call/chunked": () => send("POST", "/call/chunked", octets, stream()),
  "call/gzip": () => send("POST", "/call/gzip", { ...octets, "Content-Encoding": "gzip" }, gzipSync(csv)),
  "call/query": () => send("GET", `/call/query?${query}`, {}),
  "call/header": () => send("GET", "/call/header", { "X-Card": value }),
  ...Object.fromEntries(asked.map((name) => [`answer/${name}`, () => send("GET", `/answer/${name}`, {})])),
};

const read = {};
for (const [name, call] of Object.entries(calls)) {
  const { status, headers, body } = await call();
  const joined = Object.fromEntries(Object.entries(headers).map(([key, field]) => [key, `${field}`]));
  read[name] = { status, headers: joined, body: Buffer.from(body).toString("base64") };
}
process.stdout.write(JSON.stringify(read));
