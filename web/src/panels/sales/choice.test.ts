import { describe, expect, it } from "vitest";
import { byDays, byGranularity, choiceOf, daysBefore, daysInWords, instantsOf, shownDays } from "./choice";

const choice = (search: string): ReturnType<typeof choiceOf> => choiceOf(new URLSearchParams(search));

it("says the days as the viewer does", () => {
  expect(daysInWords({ from: null, to: null }, "en-US")).toBeNull();
  expect(daysInWords({ from: "2020-04-16", to: null }, "en-US")).toBe("from Apr 16, 2020 on");
  expect(daysInWords({ from: null, to: "2020-04-16" }, "en-US")).toBe("up to Apr 16, 2020");
  expect(daysInWords({ from: "2020-04-16", to: "2020-07-14" }, "en-US")).toMatch(/^Apr 16\s–\sJul 14, 2020$/);
});

describe("choiceOf", () => {
  it("is months of all time where nothing is said", () => {
    expect(choice("")).toEqual({
      granularity: "month",
      preset: "all",
      days: { from: null, to: null },
      category: null,
      compare: false,
    });
  });

  it("reads days, category and comparison", () => {
    expect(choice("by=day&from=2020-03-01&to=2020-03-31&category=electronics.audio&compare=before")).toEqual({
      granularity: "day",
      preset: null,
      days: { from: "2020-03-01", to: "2020-03-31" },
      category: "electronics.audio",
      compare: true,
    });
  });

  it("gives each granularity its usual range", () => {
    expect(["month", "day", "hour", "minute"].map((by) => choice(`by=${by}`).preset)).toEqual([
      "all",
      "90d",
      "7d",
      "1d",
    ]);
  });

  it("takes nothing that makes no sense", () => {
    expect(choice("by=year&range=1y")).toMatchObject({ granularity: "month", preset: "all" });
    expect(choice("from=2020-02-30")).toMatchObject({ preset: "all", days: { from: null } });
    expect(choice("from=2020-03-02&to=2020-03-01")).toMatchObject({ preset: "all", days: { from: null, to: null } });
    expect(choice("by=minute&category=shoes").granularity).toBe("day");
  });
});

describe("ranges", () => {
  it("of a preset end with the newest event's day", () => {
    expect(shownDays(choice("by=day&range=7d"), "2020-03-02")).toEqual({ from: "2020-02-25", to: "2020-03-02" });
    expect(shownDays(choice(""), "2020-03-02")).toEqual({ from: null, to: null });
  });

  it("before are as long, in days or in whole months", () => {
    expect(daysBefore({ from: "2020-03-08", to: "2020-03-14" }, "day")).toEqual({ from: "2020-03-01", to: "2020-03-07" });
    expect(daysBefore({ from: "2020-03-01", to: "2020-04-30" }, "month")).toEqual({ from: "2020-01-01", to: "2020-02-29" });
    expect(daysBefore({ from: "2020-03-01", to: "2020-04-10" }, "month")).toEqual({ from: "2020-01-01", to: "2020-02-29" });
    expect(daysBefore({ from: null, to: "2020-04-10" }, "day")).toBeNull();
  });

  it("end with the midnight after their last day", () => {
    const { from = 0, to = 0 } = instantsOf({ from: "2020-03-29", to: "2020-03-29" }, "hour", "Europe/Berlin");
    expect(to - from).toBe(23 * 3_600_000);
    expect(instantsOf({ from: null, to: null }, "day", "UTC")).toEqual({});
  });

  it("named by the viewer outlive another granularity", () => {
    expect(byGranularity("day")).toEqual({ by: "day", range: null });
    expect(byDays({ from: "2020-03-29", to: null })).toEqual({ from: "2020-03-29", to: null, range: null });
  });
});
