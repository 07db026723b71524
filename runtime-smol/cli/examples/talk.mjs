// A program that talks through overcom: node talk.mjs NODE NAME ARGUMENTS… (NODE is the overcom program).
// Sends a note to NAME, then prints every message until one says bye.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const [program, name, ...options] = process.argv.slice(2);
const node = spawn(program, ["node", ...options], { stdio: ["pipe", "pipe", "inherit"] });
let number = 0;
const ask = (op, fields) => node.stdin.write(JSON.stringify({ id: ++number, op, ...fields }) + "\n");

for await (const line of createInterface({ input: node.stdout })) {
  const { hello, error, notice, ...told } = JSON.parse(line);
  if (hello) ask("send", { to: name, type: "note", payload: { text: "hello from Node" } });
  if (error) console.error(`${error.message}; ${error.hint}`), process.exit(1);
  if (notice === "delivered" && !told.device) console.log("delivered");
  if (notice === "message") console.log(told.name ?? told.from, told.type, JSON.stringify(told.payload));
  if (notice === "message" && told.type === "bye") node.stdin.end(); // the node says good-bye and ends
}
