/** Runs the steps of a walk in order; each stands on the one before. */
export async function runSteps(steps) {
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step();
    } catch (error) {
      console.error(`at: ${name}\n`, error);
      process.exit(1);
    }
    console.log(`ok: ${name}`);
  }
  process.exit(0);
}
