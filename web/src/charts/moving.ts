/** Geometry of a line that moves with the time. Pure: times in milliseconds, places in CSS pixels. */

/** So far behind the clock the right end runs: the newest value is known by then, and slides in. */
export const BEHIND_MS = 2_000;
/** So much of the future fits on the canvas, beyond the window: it can be moved so far without being drawn again. */
export const AHEAD_MS = 4_000;

export interface Value {
  at: number;
  value: number;
  /** Whether the value before it is the one of the second before: else the line is broken there. */
  joined: boolean;
}

export interface Scale {
  low: number;
  high: number;
}

/** A scale from 0 to a round number above all values (and below, where some are negative). */
export function scaleOf(values: readonly number[]): Scale {
  return { low: 0 - round(-Math.min(0, ...values)), high: round(Math.max(0, ...values)) || 1 };
}

const STEPS = [1, 2, 2.5, 5, 10];

function round(value: number): number {
  if (value <= 0) return 0;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * (STEPS.find((step) => step * power >= value) ?? 10);
}

/** What of the values lies in the window that ends at `edge`, with the one before it so that the line reaches the rim. */
export function visible(values: readonly Value[], edge: number, spanMs: number): readonly Value[] {
  const first = values.findIndex(({ at }) => at >= edge - spanMs);
  return first === -1 ? values.slice(-1) : values.slice(Math.max(0, first - 1));
}

/** Where a time is drawn: 0 is the window's left rim, `width` its right one, which is `edge`. */
export const placeOf = (at: number, edge: number, spanMs: number, width: number): number =>
  width + ((at - edge) / spanMs) * width;

/**
 * Where the right end is to be: it goes on with the clock. Only where it has come too far from what is known, after a
 * pause, it starts anew.
 */
export function nextEdge(edge: number | null, elapsedMs: number, newest: number): number {
  const wanted = newest - BEHIND_MS;
  if (edge === null) return wanted;
  const moved = edge + elapsedMs;
  return moved > newest + 1_000 || moved < newest - BEHIND_MS - 2_000 ? wanted : moved;
}
