import { describe, expect, it } from "vitest";
import { bestCategory, categoryShares, monthRows } from "./series";

describe("monthRows", () => {
  const bucket = { revenue: "10.00", quantity: 2, orders: 1 };

  it("fills months without sales, over a new year too", () => {
    const rows = monthRows(
      [
        { bucket: "2020-11-01T00:00:00+01:00", ...bucket },
        { bucket: "2021-02-01T00:00:00+01:00", ...bucket },
      ],
      "en-US",
    );
    expect(rows.map(({ label, revenue }) => `${label} ${revenue}`)).toEqual([
      "Nov 2020 10.00",
      "Dec 2020 0.00",
      "Jan 2021 0.00",
      "Feb 2021 10.00",
    ]);
  });

  it("has no row without sales", () => {
    expect(monthRows([])).toEqual([]);
  });
});

describe("categoryShares", () => {
  const top = [
    { id: "electronics.smartphone", revenue: "60.00", quantity: 1, share: 0.6, name: null },
    { id: "unknown", revenue: "30.01", quantity: 1, share: 0.3001, name: null },
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
  const entry = { revenue: "1.00", quantity: 1, share: 1, name: null };
  expect(bestCategory([{ id: "unknown", ...entry }, { id: "shoes", ...entry }])).toBe("shoes");
  expect(bestCategory([{ id: "unknown", ...entry }])).toBeNull();
});
