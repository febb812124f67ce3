import type { Snapshot, Stale, TickerEntry, Update } from "../api/types";
import { FreshnessMeter } from "./freshness";
import { Pacer } from "./pacer";
import { INITIAL, reduce, retryDelay, STALE_AFTER_MS, TICKER_ROWS, type LiveEvent, type LiveState } from "./state";

const SHOW_EVERY_MS = 250;
const QUEUE = 4;

/** The part of EventSource that is used; a test brings its own. */
export type Source = Pick<EventSource, "addEventListener" | "close">;
export type OpenSource = (lastEventId: string) => Source;

/**
 * Keeps one stream open and its state at hand. The browser's own reconnect is not waited for: it gives up for good on
 * an error answer, and does not see a connection that has fallen silent. A watchdog does.
 */
export class LiveConnection {
  private state = INITIAL;
  private source: Source | null = null;
  private lastEventId = "";
  readonly meter = new FreshnessMeter();
  private readonly pacer = new Pacer<TickerEntry>(QUEUE);
  private readonly listeners = new Set<() => void>();
  private watchdog: ReturnType<typeof setTimeout> | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private showing: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly openSource: OpenSource) {}

  /** Opens the stream. Returns what closes it. */
  start = (): (() => void) => {
    this.open();
    this.showing = setInterval(this.showArrivals, SHOW_EVERY_MS);
    return () => {
      clearInterval(this.showing);
      this.closeSource();
    };
  };

  getState = (): LiveState => this.state;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Try again at once instead of when the next attempt is due. */
  retryNow = (): void => {
    this.dispatch({ type: "retrying" });
    this.open();
  };

  private open(): void {
    this.closeSource();
    const source = this.openSource(this.lastEventId);
    this.source = source;
    source.addEventListener("snapshot", this.onSnapshot as EventListener);
    source.addEventListener("update", this.onUpdate as EventListener);
    source.addEventListener("stale", this.onStale as EventListener);
    source.addEventListener("ticker", this.onTicker as EventListener);
    source.addEventListener("error", this.onLost);
    this.watch();
  }

  private readonly onSnapshot = (message: MessageEvent<string>): void => {
    this.heard(message);
    this.dispatch({ type: "snapshot", snapshot: JSON.parse(message.data) as Snapshot, at: Date.now() });
  };

  private readonly onUpdate = (message: MessageEvent<string>): void => {
    this.heard(message);
    this.dispatch({ type: "update", update: JSON.parse(message.data) as Update, at: Date.now() });
  };

  private readonly onStale = (message: MessageEvent<string>): void => {
    this.heard(message);
    this.dispatch({ type: "stale", reason: (JSON.parse(message.data) as Stale).reason });
  };

  private readonly onTicker = (message: MessageEvent<string>): void => {
    this.heard(message);
    const arrivals = [JSON.parse(message.data) as TickerEntry];
    // A list that is not full yet is filled at once; only then the pace matters.
    if (this.state.arrivals.length < TICKER_ROWS) this.dispatch({ type: "arrivals", arrivals });
    else this.pacer.push(arrivals);
  };

  private readonly onLost = (): void => {
    this.closeSource();
    const delay = retryDelay(this.state.attempts, Math.random());
    this.dispatch({ type: "lost", retryAt: Date.now() + delay });
    this.retry = setTimeout(this.retryNow, delay);
  };

  private readonly showArrivals = (): void => {
    const arrivals = this.pacer.take(1);
    if (arrivals.length > 0) this.dispatch({ type: "arrivals", arrivals });
  };

  private heard({ lastEventId }: MessageEvent): void {
    if (lastEventId !== "") this.lastEventId = lastEventId;
    this.watch();
  }

  private watch(): void {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(this.onLost, STALE_AFTER_MS);
  }

  private closeSource(): void {
    clearTimeout(this.watchdog);
    clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
  }

  private dispatch(event: LiveEvent): void {
    const next = reduce(this.state, event);
    if (next === this.state) return;
    this.state = next;
    for (const listener of this.listeners) listener();
  }
}
