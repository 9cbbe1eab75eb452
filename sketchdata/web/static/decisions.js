/** The decisions on the server: those of all curators appear within a second, and one counts when it is saved. */

const POLL_MILLISECONDS = 1000;

export class Decisions extends EventTarget {
  /** Emits "change" (detail: the changed ones) and "state" (detail: null, or the reason why the server cannot be reached). */
  constructor(address) {
    super();
    this.address = address;
    this.offset = 0;
    this.standing = new Map();
  }

  /** Start to poll the server. */
  async follow() {
    await this.poll();
    setTimeout(() => this.follow(), POLL_MILLISECONDS);
  }

  /** Poll once. */
  async poll() {
    try {
      const found = await answer(await fetch(`${this.address}?after=${this.offset}`));
      this.offset = found.offset;
      for (const decision of found.decisions) {
        if (decision.verdict === null) this.standing.delete(decision.id);
        else this.standing.set(decision.id, decision);
      }
      if (found.decisions.length) this.dispatchEvent(new CustomEvent("change", { detail: found.decisions }));
      this.dispatchEvent(new CustomEvent("state", { detail: null }));
    } catch (error) {
      // The log may have been replaced: the next poll reads it from its beginning.
      if (error.status === 409) this.#forget();
      this.dispatchEvent(new CustomEvent("state", { detail: error.message }));
    }
  }

  /** Save a verdict on some ids, to relabel with the new class; resolves when it is on disk, and throws when it is not. */
  async save(ids, verdict, reason, word = null) {
    const request = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ids, verdict, reason, word }) };
    await answer(await fetch(this.address, request));
    await this.poll();
  }

  /** Return the decision in force on an id, or undefined. */
  of(id) {
    return this.standing.get(String(id));
  }

  #forget() {
    const forgotten = [...this.standing.values()].map((decision) => ({ ...decision, verdict: null }));
    this.offset = 0;
    this.standing.clear();
    this.dispatchEvent(new CustomEvent("change", { detail: forgotten }));
  }
}

/** Return a response's JSON, or throw the error that the server states. */
export async function answer(response) {
  if (response.ok) return response.json();
  const { error } = await response.json().catch(() => ({ error: `${response.status} ${response.statusText}` }));
  throw Object.assign(new Error(error), { status: response.status });
}
