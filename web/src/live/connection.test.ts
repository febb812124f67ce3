import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { LiveConnection, type Source } from "./connection";
import { STALE_AFTER_MS, TICKER_ROWS } from "./state";

class FakeSource implements Source {
  readonly listeners = new Map<string, (event: unknown) => void>();
  closed = false;

  constructor(readonly lastEventId: string) {}

  addEventListener = (type: string, listener: unknown): void => {
    this.listeners.set(type, listener as (event: unknown) => void);
  };
  close = (): void => {
    this.closed = true;
  };
  emit(type: string, data: object = {}, lastEventId = ""): void {
    this.listeners.get(type)?.({ data: JSON.stringify(data), lastEventId });
  }
}

let sources: FakeSource[];
let connection: LiveConnection;
let stop: () => void;

const newest = (): FakeSource => {
  const source = sources.at(-1);
  if (source === undefined) throw new Error("no stream was opened");
  return source;
};
const shown = (): string[] => connection.getState().arrivals.map(({ id }) => id);

beforeEach(() => {
  vi.useFakeTimers();
  sources = [];
  connection = new LiveConnection((lastEventId) => {
    sources.push(new FakeSource(lastEventId));
    return newest();
  });
  stop = connection.start();
});

afterEach(() => {
  stop();
  vi.useRealTimers();
});

it("goes live with the first snapshot and stays so while they come", () => {
  for (let second = 0; second < 10; second += 1) {
    newest().emit("snapshot", { summary: { events: second }, ticker: [] });
    vi.advanceTimersByTime(1_000);
  }
  expect(connection.getState()).toMatchObject({ connection: "live", snapshot: { summary: { events: 9 } } });
  expect(sources).toHaveLength(1);
});

it("takes silence for a loss, keeps the last figures, and tries again by itself", () => {
  newest().emit("snapshot", { summary: { events: 7 }, ticker: [] });
  vi.advanceTimersByTime(STALE_AFTER_MS);
  expect(connection.getState()).toMatchObject({ connection: "lost", snapshot: { summary: { events: 7 } } });
  expect(newest().closed).toBe(true);
  vi.advanceTimersByTime(1_000);
  expect(sources).toHaveLength(2);
  newest().emit("snapshot", { summary: { events: 8 }, ticker: [] });
  expect(connection.getState()).toMatchObject({ connection: "live", attempts: 0 });
});

it("asks for what it missed", () => {
  newest().emit("ticker", { id: "17-0" }, "17-0");
  newest().emit("error");
  vi.advanceTimersByTime(1_000);
  expect(newest().lastEventId).toBe("17-0");
});

it("stays connected while the gateway says that it has no figures", () => {
  for (let second = 0; second < 10; second += 1) {
    newest().emit("stale", { reason: "the tables cannot be read" });
    vi.advanceTimersByTime(1_000);
  }
  expect(connection.getState()).toMatchObject({ connection: "stale", reason: "the tables cannot be read" });
  expect(sources).toHaveLength(1);
});

it("tries at once when asked to, and only once", () => {
  newest().emit("error");
  connection.retryNow();
  expect(sources).toHaveLength(2);
  newest().emit("snapshot", { summary: {}, ticker: [] });
  vi.advanceTimersByTime(3_000);
  expect(sources).toHaveLength(2);
});

it("fills the ticker at once, then paces it", () => {
  for (let order = 0; order < TICKER_ROWS + 3; order += 1) newest().emit("ticker", { id: `${order}` });
  expect(shown()[0]).toBe(`${TICKER_ROWS - 1}`);
  vi.advanceTimersByTime(250);
  expect(shown()[0]).toBe(`${TICKER_ROWS}`);
  vi.advanceTimersByTime(500);
  expect(shown()[0]).toBe(`${TICKER_ROWS + 2}`);
});

it("opens nothing more once it is stopped", () => {
  stop();
  vi.advanceTimersByTime(60_000);
  expect(sources).toHaveLength(1);
  expect(newest().closed).toBe(true);
});
