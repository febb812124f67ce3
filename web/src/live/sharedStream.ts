import type { OpenSource, Source } from "./connection";

/**
 * One stream for all tabs of a browser: over HTTP/1.1 it opens six connections to a host, and each stream takes one for
 * good. The tab that holds a lock leads: it opens the stream and passes every event on. The browser gives the lock to
 * the next tab when the leader closes, and that tab goes on with the stream.
 */

const NAME = "tillstream-stream";
export const EVENTS = ["snapshot", "stale", "ticker", "update"] as const;
/** Tickers that a tab opened later is given, after the newest snapshot. */
const KEPT = 20;

type EventName = (typeof EVENTS)[number];

/** An event of the stream, or its loss. */
interface Passed {
  event: EventName | "error";
  data: string;
  lastEventId: string;
}

/** Between tabs. `hello` asks the leader for what a new tab lacks; only the asker takes `welcome`. */
type Note = { kind: "event"; passed: Passed } | { kind: "hello"; from: string } | { kind: "welcome"; to: string; passed: Passed[] };

/** The part of a BroadcastChannel that is used. */
export interface Channel {
  onmessage: ((message: { data: Note }) => void) | null;
  postMessage: (note: Note) => void;
  close: () => void;
}

/** The part of the Web Locks API that is used: the callback's promise holds the lock; a thief makes the request fail. */
export type RequestLock = (options: { signal?: AbortSignal; steal?: boolean }, lead: () => Promise<void>) => Promise<unknown>;

export interface Browser {
  channel: () => Channel;
  lock: RequestLock;
}

/** Null where the page came without https and not from `localhost`: there is no lock then, and each tab has a stream. */
export function browserOf(window: Window & typeof globalThis, group: string): Browser | null {
  if (!("locks" in window.navigator)) return null;
  const name = `${NAME} ${group}`;
  return {
    channel: () => new window.BroadcastChannel(name) as unknown as Channel,
    lock: (options, lead) => window.navigator.locks.request(name, options, lead),
  };
}

/** Opens streams that are shared with the other tabs; `open` is what the leader opens. */
export function shared(open: OpenSource, { channel, lock }: Browser): OpenSource {
  // A leader that was frozen holds the lock and says nothing: a tab that has heard nothing takes the lead.
  let silent = false;
  return (lastEventId) => {
    const stream = new SharedStream(open, channel(), lock, lastEventId, silent, (heard) => {
      silent = !heard;
    });
    return stream;
  };
}

class SharedStream implements Source {
  private readonly me = crypto.randomUUID();
  private readonly listeners = new Map<string, ((message: MessageEvent<string>) => void)[]>();
  private readonly closing = new AbortController();
  private snapshot: Passed | null = null;
  private tickers: Passed[] = [];
  private source: Source | null = null;
  private giveUpLead: () => void = () => undefined;
  private heard = false;

  constructor(
    private readonly open: OpenSource,
    private readonly channel: Channel,
    private readonly lock: RequestLock,
    private lastEventId: string,
    takeLead: boolean,
    private readonly closed: (heard: boolean) => void,
  ) {
    channel.onmessage = ({ data }) => { this.receive(data); };
    channel.postMessage({ kind: "hello", from: this.me });
    this.wait(takeLead);
  }

  addEventListener = (event: string, listener: unknown): void => {
    const listeners = this.listeners.get(event) ?? [];
    this.listeners.set(event, [...listeners, listener as (message: MessageEvent<string>) => void]);
  };

  close = (): void => {
    if (this.closing.signal.aborted) return;
    this.closed(this.heard || this.source !== null);
    this.closing.abort();
    this.stopLeading();
    this.channel.onmessage = null;
    this.channel.close();
  };

  /** Waits for the lead, or takes it. */
  private wait(takeLead: boolean): void {
    const { signal } = this.closing;
    this.lock(takeLead ? { steal: true } : { signal }, this.lead).catch(() => {
      this.stopLeading(); // another tab has taken the lead, or this one was closed
      if (!signal.aborted) this.wait(false);
    });
  }

  private readonly lead = (): Promise<void> => {
    if (this.closing.signal.aborted) return Promise.resolve();
    const source = this.open(this.lastEventId);
    this.source = source;
    for (const event of EVENTS) {
      source.addEventListener(event, (message: MessageEvent<string>) => {
        this.pass({ event, data: message.data, lastEventId: message.lastEventId });
      });
    }
    source.addEventListener("error", () => { this.emit({ event: "error", data: "", lastEventId: "" }); });
    return new Promise((resolve) => {
      this.giveUpLead = resolve;
    });
  };

  private stopLeading(): void {
    this.source?.close();
    this.source = null;
    this.giveUpLead();
  }

  private pass(passed: Passed): void {
    if (this.source === null) return;
    this.channel.postMessage({ kind: "event", passed });
    this.keep(passed);
    this.emit(passed);
  }

  private keep(passed: Passed): void {
    if (passed.event === "ticker") this.tickers = [...this.tickers, passed].slice(-KEPT);
    else if (passed.event !== "update") this.snapshot = passed;
  }

  private receive(note: Note): void {
    if (note.kind === "hello") {
      if (this.source !== null && this.snapshot !== null) {
        this.channel.postMessage({ kind: "welcome", to: note.from, passed: [this.snapshot, ...this.tickers] });
      }
    } else if (note.kind === "event") {
      this.follow(note.passed);
    } else if (note.to === this.me && this.snapshot === null) {
      note.passed.forEach((passed) => { this.follow(passed); });
    }
  }

  private follow(passed: Passed): void {
    this.heard = true;
    this.keep(passed);
    this.emit(passed);
  }

  private emit({ event, data, lastEventId }: Passed): void {
    if (lastEventId !== "") this.lastEventId = lastEventId;
    const message = new MessageEvent(event, { data, lastEventId });
    for (const listener of this.listeners.get(event) ?? []) listener(message);
  }
}
