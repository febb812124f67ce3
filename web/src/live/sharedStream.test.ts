import { beforeEach, expect, it } from "vitest";
import type { Source } from "./connection";
import { shared, type Browser, type Channel, type RequestLock } from "./sharedStream";

class FakeSource implements Source {
  readonly listeners = new Map<string, (event: unknown) => void>();
  closed = false;

  constructor(readonly lastEventId: string) {
    sources.push(this);
  }

  addEventListener = (type: string, listener: unknown): void => {
    this.listeners.set(type, listener as (event: unknown) => void);
  };
  close = (): void => {
    this.closed = true;
  };
  emit(type: string, data = "", lastEventId = ""): void {
    this.listeners.get(type)?.({ data, lastEventId });
  }
}

/** Channels and one lock, as the tabs of a browser share them. */
class FakeBrowser implements Browser {
  private readonly channels = new Set<Channel>();
  private holder: { robbed: (reason: Error) => void } | null = null;
  private waiting: (() => void)[] = [];

  channel = (): Channel => {
    const channel: Channel = {
      onmessage: null,
      postMessage: (note) => {
        const others = [...this.channels].filter((other) => other !== channel);
        queueMicrotask(() => { others.forEach((other) => other.onmessage?.({ data: note })); });
      },
      close: () => this.channels.delete(channel),
    };
    this.channels.add(channel);
    return channel;
  };

  lock: RequestLock = ({ signal, steal }, lead) =>
    new Promise((resolve, reject) => {
      const holder = { robbed: reject };
      const take = (): void => {
        if (signal?.aborted) { this.next(); return; }
        this.holder = holder;
        void lead().then(() => {
          resolve(undefined);
          if (this.holder === holder) this.next();
        });
      };
      signal?.addEventListener("abort", () => { reject(new Error("given up")); });
      if (steal) this.holder?.robbed(new Error("stolen"));
      if (steal || this.holder === null) take();
      else this.waiting.push(take);
    });

  private next(): void {
    this.holder = null;
    this.waiting.shift()?.();
  }
}

interface Tab {
  stream: Source;
  seen: string[];
}

let sources: FakeSource[];
let browser: FakeBrowser;

/** What one tab does: it opens a stream and notes the data of what comes. */
function tabs(): (lastEventId?: string) => Tab {
  const open = shared((lastEventId) => new FakeSource(lastEventId), browser);
  return (lastEventId = "") => {
    const seen: string[] = [];
    const stream = open(lastEventId);
    for (const event of ["snapshot", "update", "ticker", "stale", "error"]) {
      stream.addEventListener(event, ((message: MessageEvent<string>) => {
        seen.push(`${event} ${message.data}`.trim());
      }) as EventListener);
    }
    return { stream, seen };
  };
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));
const source = (index: number): FakeSource => {
  const found = sources[index];
  if (found === undefined) throw new Error("no such stream was opened");
  return found;
};

beforeEach(() => {
  sources = [];
  browser = new FakeBrowser();
});

it("opens one stream for all tabs and passes each event on", async () => {
  const opened = Array.from({ length: 7 }, () => tabs()());
  source(0).emit("snapshot", "1");
  source(0).emit("ticker", "2", "5-0");
  source(0).emit("update", "3");
  await settled();
  expect(sources).toHaveLength(1);
  expect(opened.map(({ seen }) => seen)).toEqual(Array.from({ length: 7 }, () => ["snapshot 1", "ticker 2", "update 3"]));
});

it("gives a tab that is opened later the newest snapshot and the tickers", async () => {
  tabs()();
  source(0).emit("snapshot", "old");
  source(0).emit("ticker", "t", "5-0");
  source(0).emit("update", "passing");
  source(0).emit("snapshot", "new");
  const other = tabs()();
  const last = tabs()();
  await settled();
  expect(other.seen).toEqual(["snapshot new", "ticker t"]);
  expect(last.seen).toEqual(other.seen);
});

it("goes on in another tab where the first one ended, when the leader closes", async () => {
  const [first, second] = [tabs()(), tabs()()];
  source(0).emit("ticker", "t", "5-0");
  await settled();
  first.stream.close();
  await settled();
  expect(source(0).closed).toBe(true);
  expect(source(1).lastEventId).toBe("5-0");
  source(1).emit("snapshot", "s");
  await settled();
  expect(second.seen).toEqual(["ticker t", "snapshot s"]);
  expect(first.seen).toEqual(["ticker t"]);
});

it("loses the stream in the tab that leads, and the next one tries", async () => {
  const [first, second] = [tabs()(), tabs()()];
  source(0).emit("error");
  await settled();
  expect(first.seen).toEqual(["error"]);
  expect(second.seen).toEqual([]);
  first.stream.close();
  await settled();
  source(1).emit("error");
  expect(second.seen).toEqual(["error"]);
});

it("takes the lead from a tab that says nothing", async () => {
  const frozen = tabs()();
  const openAgain = tabs();
  openAgain().stream.close();
  const next = openAgain("7-0");
  await settled();
  expect(source(0).closed).toBe(true);
  expect(source(1).lastEventId).toBe("7-0");
  source(1).emit("snapshot", "s");
  await settled();
  expect([next.seen, frozen.seen]).toEqual([["snapshot s"], ["snapshot s"]]);
  next.stream.close();
  await settled();
  expect(sources).toHaveLength(3);
});

it("does not take the lead from a tab that it has heard", async () => {
  tabs()();
  const openAgain = tabs();
  const second = openAgain();
  source(0).emit("snapshot", "s");
  await settled();
  second.stream.close();
  openAgain();
  await settled();
  expect(sources).toHaveLength(1);
});
