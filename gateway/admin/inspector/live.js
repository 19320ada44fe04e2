/** The stream of what happens. Whatever was missed in a gap is asked for again by whoever listens to `state`. */

const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 15_000;
const FULL_PAUSE = 30_000;
const NAMES = ["session", "transaction", "exchange"];

/** Tells `happened(name, value)` and `state(word, seconds)`: live, gone, full or paused. */
export class Live {
  constructor({ happened, state }) {
    this.happened = happened;
    this.state = state;
    this.pause = FIRST_PAUSE;
    document.addEventListener("visibilitychange", () => this.seen(!document.hidden));
  }

  start() {
    this.stop();
    const source = new EventSource("v1/events");
    this.source = source;
    source.onopen = () => {
      this.pause = FIRST_PAUSE;
      this.state("live");
    };
    source.onerror = () => this.again("gone", this.longer());
    source.addEventListener("full", () => this.again("full", FULL_PAUSE));
    for (const name of NAMES) {
      source.addEventListener(name, (event) => this.happened(name, JSON.parse(event.data)));
    }
  }

  stop() {
    this.source?.close();
    clearTimeout(this.timer);
  }

  again(word, pause) {
    this.stop();
    this.state(word, Math.round(pause / 1000));
    this.timer = setTimeout(() => this.start(), pause);
  }

  longer() {
    const pause = this.pause;
    this.pause = Math.min(pause * 2, LONGEST_PAUSE);
    return pause;
  }

  /** A browser has few connections to one address: a page that nobody sees gives its own back. */
  seen(visible) {
    if (visible) this.start();
    else {
      this.stop();
      this.state("paused");
    }
  }
}
