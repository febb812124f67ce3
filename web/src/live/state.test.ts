import { describe, expect, it } from "vitest";
import type { Snapshot, TickerEntry } from "../api/types";
import { INITIAL, isLive, reduce, retryDelay, TICKER_ROWS, type LiveState } from "./state";

const snapshot: Snapshot = {
  summary: {
    revenue: "12.50",
    quantity: 2,
    orders: 1,
    buyers: 1,
    events: 2,
    events_per_second: 0.2,
    dead_letters: 0,
    freshness_ms: 300,
    lag: 0,
    model_version: null,
    first_event: null,
    last_event: null,
    today: null,
    as_of: "2026-11-22T20:00:00Z",
  },
  top: { spenders: [], products: [], categories: [], brands: [] },
  ticker: [],
};

const arrival = (id: string): TickerEntry => ({
  id,
  arrived_at: "2026-11-22T20:00:00Z",
  event_time: "2026-11-22T20:00:00Z",
  order_id: "1",
  user_id: null,
  product_id: "1515966223509088521",
  product_name: "unknown",
  category_code: "unknown",
  brand: "unknown",
  price: "1.00",
  quantity: 1,
  revenue: "1.00",
});

const ids = (state: LiveState): string[] => state.arrivals.map(({ id }) => id);

describe("reduce", () => {
  const live = reduce(INITIAL, { type: "snapshot", snapshot, at: 1_000 });

  it("is live only from the first snapshot on", () => {
    expect(INITIAL.connection).toBe("connecting");
    expect(live).toMatchObject({ connection: "live", receivedAt: 1_000 });
  });

  it("keeps the last figures when the stream is lost, and no longer calls them live", () => {
    const lost = reduce(live, { type: "lost", retryAt: 9_000 });
    expect(lost).toMatchObject({ connection: "lost", retryAt: 9_000, attempts: 1, receivedAt: 1_000, snapshot });
    expect(reduce(lost, { type: "retrying" })).toMatchObject({ connection: "lost", retryAt: null, attempts: 1 });
    expect(reduce(lost, { type: "snapshot", snapshot, at: 9_500 })).toMatchObject({ connection: "live", attempts: 0 });
  });

  it("takes the figures of an update, and leaves the rates to the snapshots", () => {
    const summary = { ...snapshot.summary, events: snapshot.summary.events + 1, as_of: "2026-11-22T20:00:09Z" };
    const spenders = [{ id: "1", revenue: "9.00", quantity: 1, share: 1, name: null, category_code: null, brand: null }];
    const updated = reduce(live, { type: "update", update: { summary, top: { spenders } }, at: 1_100 });
    expect(updated).toMatchObject({ connection: "live", receivedAt: 1_100, snapshot: { summary, top: { spenders } } });
    expect(updated.snapshot?.top.products).toBe(snapshot.top.products);
    expect(updated.readings).toBe(live.readings);
    const lost = reduce(live, { type: "lost", retryAt: 9_000 });
    expect(reduce(lost, { type: "update", update: { summary, top: {} }, at: 1_100 })).toBe(lost);
  });

  it("says why there are no figures, and does not call the last ones live", () => {
    const stale = reduce(live, { type: "stale", reason: "the tables cannot be read" });
    expect(stale).toMatchObject({ connection: "stale", reason: "the tables cannot be read", snapshot });
    expect(reduce(stale, { type: "snapshot", snapshot, at: 2_000 })).toMatchObject({ connection: "live", reason: null });
  });

  it("shows what a first snapshot says was missed", () => {
    const missed = { ...snapshot, ticker: [arrival("1"), arrival("2")] };
    expect(ids(reduce(live, { type: "snapshot", snapshot: missed, at: 2_000 }))).toEqual(["2", "1"]);
  });

  it("shows arrivals newest first, each once, and forgets the oldest", () => {
    const two = reduce(live, { type: "arrivals", arrivals: [arrival("1"), arrival("2")] });
    expect(ids(two)).toEqual(["2", "1"]);
    expect(ids(reduce(two, { type: "arrivals", arrivals: [arrival("2"), arrival("3"), arrival("3")] }))).toEqual([
      "3",
      "2",
      "1",
    ]);
    const many = Array.from({ length: TICKER_ROWS + 5 }, (_, index) => arrival(`n${index}`));
    const full = ids(reduce(two, { type: "arrivals", arrivals: many }));
    expect(full).toHaveLength(TICKER_ROWS);
    expect(full[0]).toBe(`n${TICKER_ROWS + 4}`);
  });

  it("tells what came as it happened from what a first snapshot tells of", () => {
    expect(reduce(INITIAL, { type: "snapshot", snapshot: { ...snapshot, ticker: [arrival("1")] }, at: 1 }).fresh).toEqual([]);
    const two = reduce(live, { type: "arrivals", arrivals: [arrival("1"), arrival("2")] });
    expect(two.fresh).toEqual([arrival("1"), arrival("2")]);
    const repeated = reduce(two, { type: "arrivals", arrivals: [arrival("2"), arrival("3")] });
    expect(repeated.fresh).toEqual([arrival("3")]); // a reconnect repeats what was shown
  });

  it("does not call figures live that stand still while purchases wait", () => {
    const waiting = { ...snapshot, summary: { ...snapshot.summary, lag: 7 } };
    const after = (seconds: number, from = live, told: Snapshot = waiting): LiveState =>
      Array.from({ length: seconds }, (_, second) => 2_000 + second * 1_000).reduce(
        (state, at) => reduce(state, { type: "snapshot", snapshot: told, at }),
        from,
      );
    expect([isLive(after(5)), isLive(after(6))]).toEqual([true, false]);
    expect(isLive(after(60, live, snapshot))).toBe(true); // nothing waits: the shop is quiet
    const counted = { ...waiting, summary: { ...waiting.summary, events: 3 } };
    expect(isLive(reduce(after(6), { type: "snapshot", snapshot: counted, at: 8_000 }))).toBe(true);
  });

  it("does not cry wolf while repeats or bad rows are worked off", () => {
    const told = (lags: readonly number[], deadLetters: (second: number) => number = () => 0): LiveState =>
      lags.reduce((state, lag, second) => {
        const summary = { ...snapshot.summary, lag, dead_letters: deadLetters(second) };
        return reduce(state, { type: "snapshot", snapshot: { ...snapshot, summary }, at: second * 1_000 });
      }, live);
    const high = Array.from({ length: 10 }, () => 500);
    expect(isLive(told(high))).toBe(false);
    expect(isLive(told(high.map((lag, second) => lag - second)))).toBe(true);
    expect(isLive(told(high.map((lag, second) => lag + second)))).toBe(false);
    expect(isLive(told(high, (second) => second))).toBe(true);
  });

  it("counts from anew where the tables were built anew", () => {
    const emptied = { ...snapshot, summary: { ...snapshot.summary, buyers: 0 } };
    const back = reduce(live, { type: "snapshot", snapshot: emptied, at: 2_000 });
    expect(back.first).toBe(emptied);
    expect(reduce(back, { type: "snapshot", snapshot, at: 3_000 }).first).toBe(emptied);
  });

  it("remembers the first snapshot, when it came to life, and the totals of each", () => {
    const next = { ...snapshot, summary: { ...snapshot.summary, as_of: "2026-11-22T20:00:01Z", events: 5 } };
    const lost = reduce(live, { type: "lost", retryAt: 1 });
    const back = reduce(lost, { type: "snapshot", snapshot: next, at: 9_000 });
    expect([live.liveSince, back.liveSince]).toEqual([1_000, 9_000]);
    expect(back.first).toBe(snapshot);
    expect(back.readings.map(({ events }) => events)).toEqual([2, 5]);
  });

  it("keeps the very state where nothing is new, so that nothing is drawn again", () => {
    const one = reduce(live, { type: "arrivals", arrivals: [arrival("1")] });
    expect(reduce(one, { type: "arrivals", arrivals: [arrival("1")] })).toBe(one);
  });
});

it("waits longer after each failure, up to 15 s", () => {
  expect([0, 1, 2, 3, 4, 30].map((attempts) => retryDelay(attempts, 0))).toEqual([
    1_000, 2_000, 4_000, 8_000, 15_000, 15_000,
  ]);
  expect(retryDelay(0, 1)).toBe(800);
});
