/** How long after its arrival at the broker a purchase is seen in this browser. */

/** The gateway's clock as this browser knows it: `performance.now() + offset` is the gateway's epoch milliseconds. */
export interface Clock {
  offset: number;
  /** By how much that may be wrong: half of the quickest answer's round trip. */
  error: number;
}

export interface ClockSample {
  /** `performance.now()` before the question and after the answer. */
  asked: number;
  answered: number;
  /** What the gateway's clock showed meanwhile, epoch milliseconds. */
  shown: number;
}

/** The clock by the quickest answer, since its middle is known best (Cristian 1989); null where there is none. */
export function clockOf(samples: readonly ClockSample[]): Clock | null {
  const [quickest] = [...samples].sort((a, b) => a.answered - a.asked - (b.answered - b.asked));
  if (quickest === undefined) return null;
  const { asked, answered, shown } = quickest;
  return { offset: shown - (asked + answered) / 2, error: (answered - asked) / 2 };
}

export interface Freshness {
  /** Of so many purchases, the newest ones. */
  count: number;
  /** Half of them were seen within so many milliseconds, and 99 of 100 within so many; negative where clocks differ. */
  half: number;
  most: number;
  /** By how much both may be wrong. */
  error: number;
}

const KEPT = 200;

/** So many purchases are remembered, so that none is measured twice. */
const REMEMBERED = 1_000;

/** A purchase on the screen; `arrivedAt` at the broker, epoch milliseconds. */
export interface Painted {
  id: string;
  arrivedAt: number;
}

/** Collects measurements of purchases that were waited for. Its state is the same object until there is a new one. */
export class FreshnessMeter {
  private readonly known = new Set<string>();
  private watchedSince = -Infinity;
  private delays: number[] = [];
  private clock: Clock | null = null;
  private state: Freshness | null = null;
  private readonly listeners = new Set<() => void>();

  getState = (): Freshness | null => this.state;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  setClock(clock: Clock | null): void {
    this.clock = clock ?? this.clock;
  }

  /** From this `performance.now()` on somebody can see purchases: those that arrived before were not waited for. */
  watchFrom(at: number): void {
    this.watchedSince = at;
  }

  /** These purchases were on the screen at this `performance.now()`. */
  seen(painted: readonly Painted[], at: number): void {
    const { clock, watchedSince } = this;
    if (clock === null) return;
    const waitedFor = painted.filter(({ id, arrivedAt }) => this.isNew(id) && arrivedAt - clock.offset >= watchedSince);
    if (waitedFor.length === 0) return;
    this.delays = [...this.delays, ...waitedFor.map(({ arrivedAt }) => at + clock.offset - arrivedAt)].slice(-KEPT);
    const sorted = [...this.delays].sort((a, b) => a - b);
    this.state = { count: sorted.length, half: quantile(sorted, 0.5), most: quantile(sorted, 0.99), error: clock.error };
    for (const listener of this.listeners) listener();
  }

  private isNew(id: string): boolean {
    if (this.known.has(id)) return false;
    this.known.add(id);
    const [oldest] = this.known;
    if (this.known.size > REMEMBERED && oldest !== undefined) this.known.delete(oldest);
    return true;
  }
}

const quantile = (sorted: readonly number[], part: number): number =>
  sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? 0;

/** Calls back once the browser has painted what was drawn so far, with `performance.now()`; never for a hidden page. */
export function afterPaint(painted: (at: number) => void): void {
  if (document.hidden) return;
  requestAnimationFrame(() => {
    // A message is handled after the frame that is about to be painted.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      painted(performance.now());
    };
    port2.postMessage(null);
  });
}
