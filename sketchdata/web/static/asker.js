/** Questions to the server of which only the newest counts, however slow the network is. */

/** A question that is older than this, in milliseconds, gives way to a newer one. */
const PATIENCE = 700;

/** Post a question as JSON and return the answer; an answer that tells of an error is thrown. */
export async function post(address, question, signal) {
  const response = await fetch(address, { method: "POST", body: JSON.stringify(question), headers: { "Content-Type": "application/json" }, signal });
  const text = await response.text();
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    throw new Error(`the server answers ${response.status} and no JSON`);
  }
  if (!response.ok) throw new Error(found.error ?? `the server answers ${response.status}`);
  return found;
}

export class Asker {
  /** @param {object} settings address; show(answer) and fail(error), of questions that were not dropped meanwhile. */
  constructor({ address, show, fail }) {
    Object.assign(this, { address, show, fail });
    this.wanted = null;
    this.way = null; // of the question that is under way
  }

  /** Ask; a question that waits is forgotten, and one that has long been under way is broken off. */
  ask(question) {
    this.wanted = question;
    if (!this.way) this.#run();
    else if (performance.now() - this.way.since > PATIENCE) this.way.controller.abort();
  }

  /** Forget all questions: what is answered from now on is stale. */
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
