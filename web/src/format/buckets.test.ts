import { expect, it } from "vitest";
import { bucketLabels } from "./buckets";

it.each([
  ["2020-04-01T00:00:00Z", "month", "UTC", "Apr 2020"],
  ["2020-03-31T10:00:00Z", "month", "Pacific/Kiritimati", "Apr 2020"],
  ["2020-01-01T08:00:00Z", "day", "America/Los_Angeles", "Jan 1, 2020"],
  ["2020-11-21T23:00:00Z", "hour", "UTC", "Nov 21, 11:00 PM"],
  ["2020-11-21T23:07:00Z", "minute", "UTC", "Nov 21, 11:07 PM"],
] as const)("%s by %s in %s reads %s", (start, granularity, zone, label) => {
  expect(bucketLabels(granularity, zone, "en-US")(Date.parse(start))).toBe(label);
});
