import { expect, it } from "vitest";
import { Pacer } from "./pacer";

it("hands out a burst one after the other, in order", () => {
  const pacer = new Pacer<number>(4);
  pacer.push([1, 2]);
  pacer.push([3]);
  expect([pacer.take(1), pacer.take(1), pacer.take(5), pacer.take(1)]).toEqual([[1], [2], [3], []]);
  expect(pacer.passedOver).toBe(0);
});

it("goes on with the newest when more come than it may hold, and counts the others", () => {
  const pacer = new Pacer<number>(3);
  pacer.push([1, 2, 3, 4, 5]);
  pacer.push([6]);
  expect(pacer.take(9)).toEqual([5, 6]);
  expect(pacer.passedOver).toBe(4);
});
