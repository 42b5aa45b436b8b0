// A listening server, and the bridge in front of a target, while `use` runs; both are ended by their process ids.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { startDemo } from "../clients/ts/demo.mjs";

const directory = fileURLToPath(new URL("node", import.meta.url));

/** Runs `use` with the URL of a server that `command` starts on `port`. */
export async function whileServing(command, env, port, use) {
  const child = spawn(command[0], command.slice(1), { cwd: directory, env: { PATH: process.env.PATH, ...env }, stdio: "ignore" });
  const ended = once(child, "exit");
  const url = `http://127.0.0.1:${port}/mcp`;
  try {
    for (let tries = 0; !(await fetch(url).then(() => true, () => false)); tries++) {
      if (child.exitCode !== null || tries > 1500) throw new Error(`${command.join(" ")} does not start`);
      await pause(20);
    }
    return await use(url);
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}

/** Runs `use` with the URL and the origin of a demo in front of what `args` say. */
export async function whileBridging(server, args, use) {
  const demo = await startDemo(server, { PATH: process.env.PATH }, args);
  try {
    return await use(`${demo.origin}/mcp`, demo.origin);
  } finally {
    await demo.stop();
  }
}
