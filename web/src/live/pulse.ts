/** The pulse of the shop: from totals, read once a second, to what came between two readings. */
import type { PulseReading, Summary } from "../api/types";
import { approximate, fromCents, toCents, type Money } from "../format/money";

export const READINGS_KEPT = 1_001;
/** After a silence so long it is not known when within it something was sold. */
const GAP_MS = 5_000;

/** Totals since the beginning as of one moment, epoch milliseconds of the gateway. */
export interface Reading {
  at: number;
  revenue: Money;
  events: number;
}

/** What came from the reading before, `seconds` earlier, up to this one. */
export interface Step {
  at: number;
  seconds: number;
  revenue: Money;
  lines: number;
}

export const readingOf = ({ as_of, revenue, events }: PulseReading | Summary): Reading => ({
  at: Date.parse(as_of),
  revenue,
  events,
});

/** Both together by time, each moment once, the newest thousand. `more` may begin before `readings` end. */
export function merged(readings: readonly Reading[], more: readonly Reading[]): readonly Reading[] {
  const last = readings.at(-1)?.at ?? -Infinity;
  const fresh = more.filter(({ at }) => at > last);
  return fresh.length === 0 ? readings : [...readings, ...fresh].slice(-READINGS_KEPT);
}

/** The steps between readings; over a gap, or where the tables were built anew, there is none. */
export function stepsOf(readings: readonly Reading[]): Step[] {
  return readings.slice(1).flatMap((reading, index) => {
    const before = readings[index];
    if (before === undefined || reading.at - before.at > GAP_MS || reading.events < before.events) return [];
    return [
      {
        at: reading.at,
        seconds: (reading.at - before.at) / 1000,
        revenue: fromCents(toCents(reading.revenue) - toCents(before.revenue)),
        lines: reading.events - before.events,
      },
    ];
  });
}

export const revenueRate = ({ revenue, seconds }: Step): number => approximate(revenue) / seconds;
export const lineRate = ({ lines, seconds }: Step): number => lines / seconds;
