import { describe, expect, it } from "vitest";
import { bestCategory, categoryShares, growth, salesRows, totalOf } from "./series";

describe("salesRows", () => {
  const sold = { revenue: "10.00", quantity: 2, orders: 1 };
  const rows = (starts: string[], span: Parameters<typeof salesRows>[1]): string[] =>
    salesRows(
      starts.map((bucket) => ({ bucket, ...sold })),
      span,
      "en-US",
    ).map(({ label, revenue }) => `${label} ${revenue}`);

  it("fills months without sales, over a new year and a change of clocks", () => {
    const starts = ["2020-09-01T00:00:00+02:00", "2020-11-01T00:00:00+01:00", "2021-01-01T00:00:00+01:00"];
    expect(rows(starts, { granularity: "month", zone: "Europe/Berlin" })).toEqual([
      "Sep 2020 10.00",
      "Oct 2020 0.00",
      "Nov 2020 10.00",
      "Dec 2020 0.00",
      "Jan 2021 10.00",
    ]);
  });

  it("begins and ends where it is told to", () => {
    const span = { from: Date.parse("2020-03-01T00:00:00Z"), to: Date.parse("2020-03-04T00:00:00Z") };
    expect(rows(["2020-03-02T00:00:00Z"], { granularity: "day", zone: "UTC", ...span })).toEqual([
      "Mar 1, 2020 0.00",
      "Mar 2, 2020 10.00",
      "Mar 3, 2020 0.00",
    ]);
  });

  it("loses no sale that lies between two steps", () => {
    expect(rows(["2020-03-02T00:00:00Z", "2020-03-02T00:30:00Z"], { granularity: "hour", zone: "UTC" })).toHaveLength(2);
  });

  it("does not fill in decades of minutes", () => {
    const starts = ["2000-01-01T00:00:00Z", "2026-01-01T00:00:00Z"];
    expect(rows(starts, { granularity: "minute", zone: "UTC" })).toHaveLength(2);
  });

  it("has no row without sales", () => {
    expect(salesRows([], { granularity: "month", zone: "UTC" })).toEqual([]);
  });
});

it("adds rows up to the cent", () => {
  const row = { start: 0, label: "", revenue: "0.10", quantity: -1, orders: 2 };
  expect(totalOf([row, row, row])).toEqual({ revenue: "0.30", quantity: -3, orders: 6 });
});

it("knows no growth from nothing", () => {
  expect(growth(3, 2)).toBe(0.5);
  expect(growth(3, 0)).toBeNull();
});

describe("categoryShares", () => {
  const top = [
    { id: "electronics.smartphone", revenue: "60.00", quantity: 1, share: 0.6, name: null, category_code: null, brand: null },
    { id: "unknown", revenue: "30.01", quantity: 1, share: 0.3001, name: null, category_code: null, brand: null },
  ];

  it("adds what the top ones leave over, exact to the cent", () => {
    const rows = categoryShares(top, { revenue: "100.00" });
    expect(rows.at(-1)).toMatchObject({ label: "all others", revenue: "9.99", rest: true });
    expect(rows.at(-1)?.share).toBeCloseTo(0.0999);
  });

  it("leaves the rest out where the top ones are all there is", () => {
    expect(categoryShares(top, { revenue: "90.01" })).toHaveLength(2);
    expect(categoryShares([], { revenue: "0.00" })).toEqual([]);
  });
});

it("takes the best category that has a name", () => {
  const entry = { revenue: "1.00", quantity: 1, share: 1, name: null, category_code: null, brand: null };
  expect(bestCategory([{ id: "unknown", ...entry }, { id: "shoes", ...entry }])).toBe("shoes");
  expect(bestCategory([{ id: "unknown", ...entry }])).toBeNull();
});
