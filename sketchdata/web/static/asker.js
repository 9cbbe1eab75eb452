/** Requests to the server of which only the newest counts, however slow the network is. */

/** A request that has run for longer, in milliseconds, is aborted by a newer one. */
const PATIENCE = 700;

/** Post a value as JSON and return the answer; throw if the answer is an error. */
export async function post(address, question, signal) {
  const response = await fetch(address, { method: "POST", body: JSON.stringify(question), headers: { "Content-Type": "application/json" }, signal });
  const text = await response.text();
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    throw new Error(`the server answers ${response.status} without JSON`);
  }
  if (!response.ok) throw new Error(found.error ?? `the server answers ${response.status}`);
  return found;
}

export class Asker {
  /** @param {object} settings address; show(answer) and fail(error), called unless the request was dropped. */
  constructor({ address, show, fail }) {
    Object.assign(this, { address, show, fail });
    this.wanted = null;
    this.way = null; // the request that is running
  }

  /** Send a request. It replaces one that waits, and aborts one that has run for longer than PATIENCE. */
  ask(question) {
    this.wanted = question;
    if (!this.way) this.#run();
    else if (performance.now() - this.way.since > PATIENCE) this.way.controller.abort();
  }

  /** Drop all requests. */
  drop() {
    this.wanted = null;
    this.way?.controller.abort();
  }

  async #run() {
    while (this.wanted) {
      const question = this.wanted;
      const controller = new AbortController();
      this.wanted = null;
      this.way = { controller, since: performance.now() };
      try {
        const found = await post(this.address, question, controller.signal);
        if (!controller.signal.aborted) this.show(found);
      } catch (error) {
        if (!controller.signal.aborted && !this.wanted) this.fail(error);
      }
    }
    this.way = null;
  }
}
