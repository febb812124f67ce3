/** Labels of time buckets: an instant, shown on the shop's calendar wherever the viewer is. */
export const GRANULARITIES = ["month", "day", "hour", "minute"] as const;
export type Granularity = (typeof GRANULARITIES)[number];
export const GRANULARITY_NAMES: Record<Granularity, string> = {
  month: "Month",
  day: "Day",
  hour: "Hour",
  minute: "Minute",
};

const FIELDS: Record<Granularity, Intl.DateTimeFormatOptions> = {
  month: { year: "numeric", month: "short" },
  day: { year: "numeric", month: "short", day: "numeric" },
  hour: { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" },
  minute: { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" },
};

/** A function that labels buckets, e.g. "Apr 2020" for the start of April in the shop's zone. */
export function bucketLabels(granularity: Granularity, zone: string, locale?: string): (start: number) => string {
  const format = new Intl.DateTimeFormat(locale, { ...FIELDS[granularity], timeZone: zone });
  return (start) => format.format(start);
}
