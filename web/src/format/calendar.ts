/**
 * The shop's calendar. A day is text such as `2020-04-24`; an instant is epoch milliseconds. Nothing here depends on
 * the viewer's own zone.
 */
import type { Granularity } from "./buckets";

export type Day = string;

const DAY_MS = 86_400_000;
const STEP_MS = { hour: 3_600_000, minute: 60_000 } as const;
const readers = new Map<string, Intl.DateTimeFormat>();

function reader(zone: string): Intl.DateTimeFormat {
  const kept = readers.get(zone);
  if (kept !== undefined) return kept;
  const made = new Intl.DateTimeFormat("en-US", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  readers.set(zone, made);
  return made;
}

/** What the clocks of a zone show at an instant, as if they showed UTC. */
function wallClock(at: number, zone: string): number {
  const fields = new Map(reader(zone).formatToParts(at).map(({ type, value }) => [type, Number(value)]));
  const field = (name: Intl.DateTimeFormatPartTypes): number => fields.get(name) ?? 0;
  return Date.UTC(field("year"), field("month") - 1, field("day"), field("hour"), field("minute"), field("second"));
}

/** When the clocks of a zone show this. The first offset may be that of before a change of clocks: look twice. */
function instantOf(wall: number, zone: string): number {
  const guess = 2 * wall - wallClock(wall, zone);
  return guess + wall - wallClock(guess, zone);
}

const asDay = (wall: number): Day => new Date(wall).toISOString().slice(0, 10);

/** Midnight of a day in UTC; NaN where it is no day. */
const utc = (day: Day): number => (/^\d{4}-\d{2}-\d{2}$/.test(day) ? Date.parse(`${day}T00:00:00Z`) : Number.NaN);

export const isDay = (text: string): boolean => !Number.isNaN(utc(text)) && asDay(utc(text)) === text;
export const dayOf = (at: number, zone: string): Day => asDay(wallClock(at, zone));
export const startOfDay = (day: Day, zone: string): number => instantOf(utc(day), zone);
export const addDays = (day: Day, days: number): Day => asDay(utc(day) + days * DAY_MS);
export const daysBetween = (first: Day, last: Day): number => Math.round((utc(last) - utc(first)) / DAY_MS);

/** The same day some months on; the 31st becomes the 1st of the month after where a month is shorter. */
export function addMonths(day: Day, months: number): Day {
  const date = new Date(utc(day));
  return asDay(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months, date.getUTCDate()));
}

/** The start of the bucket that begins at this time or next. */
export function bucketFrom(day: Day, granularity: Granularity, zone: string): number {
  const first = granularity === "month" && !day.endsWith("-01") ? addMonths(`${day.slice(0, 8)}01`, 1) : day;
  return startOfDay(first, zone);
}

/** The start of the bucket after the one that starts here. */
export function nextBucket(start: number, granularity: Granularity, zone: string): number {
  if (granularity === "hour" || granularity === "minute") return start + STEP_MS[granularity];
  const wall = new Date(wallClock(start, zone));
  const next =
    granularity === "month"
      ? Date.UTC(wall.getUTCFullYear(), wall.getUTCMonth() + 1, 1)
      : Date.UTC(wall.getUTCFullYear(), wall.getUTCMonth(), wall.getUTCDate() + 1);
  return instantOf(next, zone);
}
