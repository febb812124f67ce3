import { describe, expect, it } from "vitest";
import { addDays, addMonths, bucketFrom, dayOf, daysBetween, isDay, nextBucket, startOfDay } from "./calendar";

const at = (text: string): number => Date.parse(text);
const iso = (instant: number): string => new Date(instant).toISOString();

describe("days", () => {
  it.each([
    ["2020-04-24", true],
    ["2020-02-30", false],
    ["2020-4-24", false],
    ["", false],
    ["soon", false],
  ])("%j is a day: %s", (text, is) => {
    expect(isDay(text)).toBe(is);
  });

  it("begin at the zone's midnight, before and after a change of clocks", () => {
    expect(iso(startOfDay("2020-03-29", "Europe/Berlin"))).toBe("2020-03-28T23:00:00.000Z");
    expect(iso(startOfDay("2020-03-30", "Europe/Berlin"))).toBe("2020-03-29T22:00:00.000Z");
    expect(iso(startOfDay("2020-10-25", "Europe/Berlin"))).toBe("2020-10-24T22:00:00.000Z");
    expect(iso(startOfDay("2020-01-01", "Asia/Kathmandu"))).toBe("2019-12-31T18:15:00.000Z");
  });

  it("are those of the zone", () => {
    expect(dayOf(at("2020-12-31T23:30:00Z"), "Europe/Berlin")).toBe("2021-01-01");
    expect(dayOf(at("2020-12-31T23:30:00Z"), "America/New_York")).toBe("2020-12-31");
  });

  it("are counted over months and leap days", () => {
    expect(addDays("2020-02-28", 2)).toBe("2020-03-01");
    expect(daysBetween("2020-02-28", "2020-03-01")).toBe(2);
    expect(addMonths("2020-11-01", 3)).toBe("2021-02-01");
    expect(addMonths("2020-01-01", -1)).toBe("2019-12-01");
  });
});

describe("buckets", () => {
  it("follow each other over a day of 23 hours", () => {
    const start = startOfDay("2020-03-29", "Europe/Berlin");
    expect(nextBucket(start, "day", "Europe/Berlin") - start).toBe(23 * 3_600_000);
    expect(iso(nextBucket(at("2020-12-01T00:00:00Z"), "month", "UTC"))).toBe("2021-01-01T00:00:00.000Z");
    expect(nextBucket(start, "minute", "Europe/Berlin") - start).toBe(60_000);
  });

  it("of a month begin with its first day", () => {
    expect(iso(bucketFrom("2020-03-02", "month", "UTC"))).toBe("2020-04-01T00:00:00.000Z");
    expect(iso(bucketFrom("2020-03-01", "month", "UTC"))).toBe("2020-03-01T00:00:00.000Z");
    expect(iso(bucketFrom("2020-03-02", "day", "UTC"))).toBe("2020-03-02T00:00:00.000Z");
  });
});
