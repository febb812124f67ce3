import { describe, expect, it } from "vitest";
import { Baselines, restatements } from "./restatement";

const bucket = (day: number, revenue: string, quantity = 1) => ({
  bucket: `2020-03-0${day}T00:00:00Z`,
  revenue,
  quantity,
  orders: 1,
});

describe("restatements", () => {
  const first = new Baselines().note("days", [bucket(1, "10.00"), bucket(3, "30.00")], 0);

  it("are the changes of complete buckets, exact to the cent", () => {
    const now = [bucket(1, "9.99", 0), bucket(2, "5.00"), bucket(3, "99.00"), bucket(4, "1.00")];
    expect(restatements(first, now)).toEqual([
      { bucket: "2020-03-01T00:00:00Z", revenue: "-0.01", quantity: -1 },
      { bucket: "2020-03-02T00:00:00Z", revenue: "5.00", quantity: 1 },
    ]);
  });

  it("are none where only the newest bucket and later ones grow", () => {
    expect(restatements(first, [bucket(1, "10.00"), bucket(3, "31.00"), bucket(5, "1.00")])).toEqual([]);
  });
});

it("compares each question with its own first answer", () => {
  const baselines = new Baselines();
  const first = baselines.note("days", [bucket(1, "10.00")], 1);
  expect(baselines.note("days", [bucket(1, "11.00")], 2)).toBe(first);
  expect(baselines.note("months", [], 3)).toMatchObject({ at: 3, newest: null });
});
