import { describe, expect, it } from "vitest";
import { formatRate, formatShare, formatWait } from "./numbers";

describe("formatWait", () => {
  it.each([
    [-5, "< 0.1 s"],
    [49, "< 0.1 s"],
    [50, "0.1 s"],
    [300, "0.3 s"],
    [9_940, "9.9 s"],
    [9_960, "10 s"],
    [99_000, "99 s"],
    [300_000, "5 min"],
    [3 * 3_600_000, "3 h"],
    [72 * 3_600_000, "3 d"],
  ])("%d ms reads %s", (milliseconds, text) => {
    expect(formatWait(milliseconds)).toBe(text);
  });
});

it("shows slow rates with a decimal and quick ones without", () => {
  expect(formatRate(0)).toBe("0.0");
  expect(formatRate(2.34)).toBe("2.3");
  expect(formatRate(49.7)).toBe("50");
});

it("says nothing about a share of nothing", () => {
  expect(formatShare(null)).toBe("—");
  expect(formatShare(0.1234)).toBe("12.3%");
  expect(formatShare(0.06)).toBe("6.0%");
});
