import { expect, it } from "vitest";
import { lineRate, merged, READINGS_KEPT, revenueRate, stepsOf, type Reading } from "./pulse";

const reading = (at: number, revenue: string, events: number): Reading => ({ at, revenue, events });

it("tells what came between two readings, exact to the cent", () => {
  const [step] = stepsOf([reading(1_000, "9007199254740993.10", 10), reading(3_000, "9007199254740993.41", 14)]);
  expect(step).toEqual({ at: 3_000, seconds: 2, revenue: "0.31", lines: 4 });
  expect(step && [revenueRate(step), lineRate(step)]).toEqual([0.155, 2]);
});

it("tells nothing over a gap, nor where the tables were built anew", () => {
  const readings = [reading(0, "1.00", 1), reading(6_000, "2.00", 2), reading(7_000, "0.50", 1), reading(8_000, "0.75", 2)];
  expect(stepsOf(readings)).toEqual([{ at: 8_000, seconds: 1, revenue: "0.25", lines: 1 }]);
});

it("adds what is new and forgets the oldest", () => {
  const first = [reading(1, "1.00", 1), reading(2, "2.00", 2)];
  expect(merged(first, [reading(2, "2.00", 2)])).toBe(first);
  expect(merged(first, [reading(2, "2.00", 2), reading(3, "3.00", 3)]).map(({ at }) => at)).toEqual([1, 2, 3]);
  const many = Array.from({ length: READINGS_KEPT + 9 }, (_, index) => reading(index, "1.00", 1));
  expect(merged([], many)).toHaveLength(READINGS_KEPT);
  expect(merged([], many).at(-1)?.at).toBe(READINGS_KEPT + 8);
});
