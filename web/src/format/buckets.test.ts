import { expect, it } from "vitest";
import { bucketLabel } from "./buckets";

it.each([
  ["2020-04-01T00:00:00Z", "month", "Apr 2020"],
  ["2020-04-01T00:00:00+14:00", "month", "Apr 2020"],
  ["2020-01-01T00:00:00-08:00", "day", "Jan 1, 2020"],
  ["2020-11-21T23:00:00Z", "hour", "Nov 21, 11:00 PM"],
] as const)("%s by %s reads %s, whatever the viewer's zone", (bucket, granularity, label) => {
  expect(bucketLabel(bucket, granularity, "en-US")).toBe(label);
});

it("shows what it cannot read as it came", () => {
  expect(bucketLabel("soon", "month")).toBe("soon");
});
