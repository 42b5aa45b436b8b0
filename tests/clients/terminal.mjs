// A full-screen program, run in tmux: its input and its screen contents.
import { execFile } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

export class Terminal {
  constructor(socket) {
    this.tmux = (...words) => run("tmux", ["-L", socket, ...words]);
  }

  /** Starts `command`, a line of shell, in a screen of 160 by 50 characters. */
  static async start(command) {
    const terminal = new Terminal(`mcp-oauth-server-${process.pid}`);
    await terminal.tmux("-f", "/dev/null", "new-session", "-d", "-s", "walk", "-x", "160", "-y", "50", command);
    return terminal;
  }

  /** Types `text` and Enter; screens that complete what is typed need the moment between them. */
  async type(text) {
    if (text) await this.tmux("send-keys", "-t", "walk", "-l", text);
    await pause(500);
    await this.tmux("send-keys", "-t", "walk", "Enter");
  }

  async shown() {
    return (await this.tmux("capture-pane", "-p", "-S", "-200", "-t", "walk")).stdout.replace(/^\s*\n/gm, "");
  }

  /** Waits until the screen matches, for 60 s at most. */
  async see(pattern) {
    for (let tries = 0; tries < 300; tries++) {
      if (pattern.test(await this.shown())) return;
      await pause(200);
    }
    throw new Error(`the screen does not show ${pattern}:\n${await this.shown()}`);
  }

  end() {
    return this.tmux("kill-server");
  }
}
