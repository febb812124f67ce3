import { expect, it } from "vitest";
import { clockOf, FreshnessMeter } from "./freshness";

it("believes the quickest answer, and knows by how much it may be wrong", () => {
  const slow = { asked: 0, answered: 400, shown: 1_000_350 };
  const quick = { asked: 500, answered: 520, shown: 1_000_510 };
  expect(clockOf([slow, quick, slow])).toEqual({ offset: 1_000_000, error: 10 });
  expect(clockOf([])).toBeNull();
});

it("measures from the broker's time to the screen, whatever this machine's clock shows", () => {
  const meter = new FreshnessMeter();
  meter.setClock({ offset: 5_000_000, error: 10 });
  meter.seen([{ id: "1", arrivedAt: 5_000_700 }], 1_000);
  expect(meter.getState()).toEqual({ count: 1, half: 300, most: 300, error: 10 });
});

it("tells half and 99 of 100, of the newest two hundred", () => {
  const meter = new FreshnessMeter();
  meter.setClock({ offset: 0, error: 0 });
  for (let delay = 1; delay <= 300; delay += 1) meter.seen([{ id: String(delay), arrivedAt: 0 }], delay);
  expect(meter.getState()).toEqual({ count: 200, half: 200, most: 298, error: 0 });
});

it("measures nothing without a clock, and keeps the last one where none was learnt", () => {
  const meter = new FreshnessMeter();
  meter.seen([{ id: "1", arrivedAt: 0 }], 1);
  expect(meter.getState()).toBeNull();
  meter.setClock({ offset: 0, error: 1 });
  meter.setClock(null);
  meter.seen([{ id: "1", arrivedAt: 0 }], 1);
  expect(meter.getState()?.count).toBe(1);
});

it("measures each purchase once", () => {
  const meter = new FreshnessMeter();
  meter.setClock({ offset: 0, error: 0 });
  meter.seen([{ id: "1", arrivedAt: 100 }], 150);
  meter.seen([{ id: "1", arrivedAt: 100 }, { id: "2", arrivedAt: 7_000 }], 7_060);
  expect(meter.getState()).toMatchObject({ count: 2, half: 50, most: 60 });
});

it("does not measure what had arrived before anybody could see it", () => {
  const meter = new FreshnessMeter();
  meter.setClock({ offset: 1_000_000, error: 0 });
  meter.watchFrom(5_000);
  meter.seen([{ id: "1", arrivedAt: 1_004_999 }], 5_100);
  expect(meter.getState()).toBeNull();
  meter.seen([{ id: "2", arrivedAt: 1_005_000 }], 5_100);
  expect(meter.getState()).toMatchObject({ count: 1, most: 100 });
});
