/** Labels of time buckets. A bucket is an RFC 3339 start on the shop's calendar, and is shown on that calendar. */
export type Granularity = "month" | "day" | "hour" | "minute";

const LOCAL_PART = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2})/;

const FIELDS: Record<Granularity, Intl.DateTimeFormatOptions> = {
  month: { year: "numeric", month: "short" },
  day: { year: "numeric", month: "short", day: "numeric" },
  hour: { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" },
  minute: { hour: "2-digit", minute: "2-digit" },
};

/** E.g. "Apr 2020" for 2020-04-01T00:00:00+02:00, wherever the viewer is. */
export function bucketLabel(bucket: string, granularity: Granularity, locale?: string): string {
  const match = LOCAL_PART.exec(bucket);
  if (match === null) return bucket;
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0] = match.slice(1).map(Number);
  // The wall-clock fields are formatted as if they were UTC, so that no zone of the viewer shifts them.
  const asUtc = new Date(Date.UTC(year, month - 1, day, hour, minute));
  return new Intl.DateTimeFormat(locale, { ...FIELDS[granularity], timeZone: "UTC" }).format(asUtc);
}
