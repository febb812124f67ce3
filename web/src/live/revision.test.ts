import { expect, it } from "vitest";
import { settling } from "./revision";

it("moves with the value, and once more when what was kept of before is gone", () => {
  const revision = settling(60_000);
  const first = revision(7, 1_000);
  expect(revision(7, 60_999)).toBe(first);
  const settled = revision(7, 61_000);
  expect(settled).not.toBe(first);
  expect(revision(7, 900_000)).toBe(settled);
});

it("begins anew with every change", () => {
  const revision = settling(60_000);
  const settled = [revision(7, 0), revision(7, 60_000)];
  const moved = revision(8, 120_000);
  expect(settled).not.toContain(moved);
  expect(revision(8, 179_999)).toBe(moved);
  expect(revision(8, 180_000)).not.toBe(moved);
});
