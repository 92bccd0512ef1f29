// Says each message on a WebSocket of undici's, one after the other's echo, and prints what was heard, as JSON.
//
// node node_websocket.mjs URL, in a directory with undici in node_modules. The environment's SENT holds the messages.
import { createRequire } from "node:module";

const { WebSocket } = createRequire(`${process.cwd()}/`)("undici");
const messages = JSON.parse(process.env.SENT);
const heard = [];
const socket = new WebSocket(process.argv[2]);
const next = () => (messages.length ? socket.send(messages.shift()) : socket.close(4001, "bye"));
socket.addEventListener("open", next);
socket.addEventListener("message", ({ data }) => {
  heard.push(data);
  next();
});
socket.addEventListener("close", ({ code, reason }) => process.stdout.write(JSON.stringify({ heard, code, reason })));
