/** What the viewer chose to see of the sales, as the address of the view says it. */
import { addDays, addMonths, bucketFrom, daysBetween, isDay, startOfDay, type Day } from "../../format/calendar";
import { GRANULARITIES, type Granularity } from "../../format/buckets";
import type { Changes } from "../../router/location";

/** Ranges that end with the newest event's day; `all` has no ends. */
export const PRESETS = ["all", "90d", "30d", "7d", "1d"] as const;
export type Preset = (typeof PRESETS)[number];

/** Days, both inclusive; null = open. */
export interface Days {
  from: Day | null;
  to: Day | null;
}

export interface Choice {
  granularity: Granularity;
  /** Null where the viewer named days. */
  preset: Preset | null;
  days: Days;
  category: string | null;
  compare: boolean;
}

const USUAL: Record<Granularity, Preset> = { month: "all", day: "90d", hour: "7d", minute: "1d" };
const LENGTH: Record<Exclude<Preset, "all">, number> = { "90d": 90, "30d": 30, "7d": 7, "1d": 1 };
const OPEN: Days = { from: null, to: null };

const oneOf = <T extends string>(all: readonly T[], text: string | null): T | null =>
  all.find((each) => each === text) ?? null;

const dayOrNull = (text: string | null): Day | null => (text !== null && isDay(text) ? text : null);

/** The choice that an address tells; what it does not tell, or tells wrongly, is as usual. */
export function choiceOf(search: URLSearchParams): Choice {
  const category = search.get("category");
  const wanted = oneOf(GRANULARITIES, search.get("by")) ?? "month";
  // Only the whole shop has finer sales than by day.
  const granularity = category !== null && (wanted === "hour" || wanted === "minute") ? "day" : wanted;
  const named = { from: dayOrNull(search.get("from")), to: dayOrNull(search.get("to")) };
  const days = named.from !== null && named.to !== null && named.from > named.to ? OPEN : named;
  const preset =
    days.from === null && days.to === null ? (oneOf(PRESETS, search.get("range")) ?? USUAL[granularity]) : null;
  return { granularity, preset, days, category, compare: search.get("compare") === "before" };
}

/** Another granularity brings its own usual range, unless the viewer has named days. */
export const byGranularity = (granularity: Granularity): Changes => ({ by: granularity, range: null });
export const byPreset = (preset: Preset): Changes => ({ range: preset, from: null, to: null });
export const byDays = ({ from, to }: Days): Changes => ({ from, to, range: null });

/** The days that are shown, where `newest` is the newest event's day. */
export function shownDays({ preset, days }: Choice, newest: Day): Days {
  if (preset === null) return days;
  return preset === "all" ? OPEN : { from: addDays(newest, 1 - LENGTH[preset]), to: newest };
}

/** As many days right before, or as many months where whole ones are shown; null where the range is open. */
export function daysBefore({ from, to }: Days, granularity: Granularity): Days | null {
  if (from === null || to === null) return null;
  if (granularity === "month" && from.endsWith("-01")) {
    const after = addDays(to, 1);
    const months = (year(after) - year(from)) * 12 + month(after) - month(from) + (after.endsWith("-01") ? 0 : 1);
    return { from: addMonths(from, -months), to: addDays(from, -1) };
  }
  const length = daysBetween(from, to) + 1;
  return { from: addDays(from, -length), to: addDays(from, -1) };
}

/** The days in words, in the viewer's locale: "Apr 16 to Jul 14, 2020"; null where all of them are shown. */
export function daysInWords({ from, to }: Days, locale?: string): string | null {
  const day = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeZone: "UTC" });
  const at = (text: Day): number => Date.parse(`${text}T00:00:00Z`);
  if (from === null) return to === null ? null : `up to ${day.format(at(to))}`;
  return to === null ? `from ${day.format(at(from))} on` : day.formatRange(at(from), at(to));
}

const year = (day: Day): number => Number(day.slice(0, 4));
const month = (day: Day): number => Number(day.slice(5, 7));

/** The instants of a range of days: from inclusive, to exclusive. */
export function instantsOf({ from, to }: Days, granularity: Granularity, zone: string): { from?: number; to?: number } {
  return {
    ...(from !== null && { from: bucketFrom(from, granularity, zone) }),
    ...(to !== null && { to: startOfDay(addDays(to, 1), zone) }),
  };
}
