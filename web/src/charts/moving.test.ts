import { describe, expect, it } from "vitest";
import { BEHIND_MS, nextEdge, placeOf, scaleOf, visible } from "./moving";

it("has a round scale with 0 in it", () => {
  expect(scaleOf([3, 7.2])).toEqual({ low: 0, high: 10 });
  expect(scaleOf([130, 210])).toEqual({ low: 0, high: 250 });
  expect(scaleOf([-30, 4])).toEqual({ low: -50, high: 5 });
  expect(scaleOf([])).toEqual({ low: 0, high: 1 });
});

it("draws the newest known at the right rim and the span before it", () => {
  expect([placeOf(1_000, 1_000, 500, 80), placeOf(500, 1_000, 500, 80), placeOf(1_250, 1_000, 500, 80)]).toEqual([80, 0, 120]);
});

it("keeps the value before the window, so that the line reaches its rim", () => {
  const values = [0, 100, 200, 300].map((at) => ({ at, value: at, joined: true }));
  expect(visible(values, 300, 150).map(({ at }) => at)).toEqual([100, 200, 300]);
  expect(visible(values, 900, 150).map(({ at }) => at)).toEqual([300]);
  expect(visible([], 900, 150)).toEqual([]);
});

describe("the right end", () => {
  it("begins behind the newest value and goes on with the clock", () => {
    expect(nextEdge(null, 0, 10_000)).toBe(10_000 - BEHIND_MS);
    expect(nextEdge(8_000, 1_050, 11_000)).toBe(9_050);
  });

  it("starts anew where it has run away from what is known, or has fallen behind", () => {
    expect(nextEdge(8_000, 60_000, 11_000)).toBe(9_000);
    expect(nextEdge(8_000, 1_000, 90_000)).toBe(88_000);
  });
});
