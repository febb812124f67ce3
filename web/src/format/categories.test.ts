import { describe, expect, it } from "vitest";
import { allCategories, categoryLevel, categoryTrail } from "./categories";

const entry = (id: string, revenue: string, quantity = 1) => ({ id, revenue, quantity, share: null, name: null, category_code: null, brand: null });
const TOP = [
  entry("electronics.audio.headphone", "30.00", 3),
  entry("electronics.audio", "10.10"),
  entry("electronics.smartphone", "50.00"),
  entry("unknown", "9.90"),
  entry("electronicsx", "-1.00"),
];

describe("categoryLevel", () => {
  it("adds up what lies below each top category", () => {
    expect(categoryLevel(TOP, null)).toMatchObject([
      { code: "electronics", label: "electronics", revenue: "90.10", quantity: 5, deeper: true },
      { code: "unknown", label: "unknown", revenue: "9.90", deeper: false },
      { code: "electronicsx", revenue: "-1.00", deeper: false },
    ]);
  });

  it("goes down a level, by whole names only", () => {
    const level = categoryLevel(TOP, "electronics");
    expect(level).toMatchObject([
      { code: "electronics.smartphone", label: "smartphone", revenue: "50.00", deeper: false },
      { code: "electronics.audio", label: "audio", revenue: "40.10", deeper: true },
    ]);
    expect(level[1]?.share).toBeCloseTo(40.1 / 90.1);
  });

  it("shows what a category sells itself beside those below it", () => {
    expect(categoryLevel(TOP, "electronics.audio")).toMatchObject([
      { code: "electronics.audio.headphone", revenue: "30.00", deeper: false },
      { code: "electronics.audio", label: "without a category below", revenue: "10.10", deeper: false },
    ]);
  });

  it("is empty for a category that nobody knows", () => {
    expect(categoryLevel(TOP, "toys")).toEqual([]);
  });
});

it("tells the way to a category", () => {
  expect(categoryTrail("a.b_c")).toEqual([
    { code: "a", label: "a" },
    { code: "a.b_c", label: "b c" },
  ]);
  expect(categoryTrail(null)).toEqual([]);
});

it("lists every category with those above it", () => {
  expect(allCategories(TOP)).toEqual([
    "electronics",
    "electronics.audio",
    "electronics.audio.headphone",
    "electronics.smartphone",
    "electronicsx",
    "unknown",
  ]);
});
