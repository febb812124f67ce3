/** Counts, rates, shares and durations in the viewer's locale. */

const whole = new Intl.NumberFormat();
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const oneDecimal = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat(undefined, {
  style: "percent",
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});
const axisPercent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const growth = new Intl.NumberFormat(undefined, {
  style: "percent",
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
  signDisplay: "exceptZero",
});
const score = new Intl.NumberFormat(undefined, { minimumFractionDigits: 3, maximumFractionDigits: 3 });

export const formatCount = (count: number): string => whole.format(count);
export const formatCompact = (count: number): string => compact.format(count);
/** For an axis or a sentence: 6% rather than 6.0%. */
export const formatShortShare = (share: number): string => axisPercent.format(share);
export const formatScore = (value: number): string => score.format(value);

/** A share of 0 to 1; an em dash where there is nothing to share. */
export const formatShare = (share: number | null): string => (share === null ? "—" : percent.format(share));

/** By what part something has grown: +12.3%. */
export const formatGrowth = (grown: number): string => growth.format(grown);

/** Events a second: one decimal below ten, whole above. */
export const formatRate = (perSecond: number): string =>
  perSecond < 10 ? oneDecimal.format(perSecond) : whole.format(Math.round(perSecond));

/** A waiting time in milliseconds as a person says it: < 0.1 s, 0.3 s, 12 s, 5 min, 3 h, 2 d. */
export function formatWait(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 0.05) return `< ${oneDecimal.format(0.1)} s`;
  if (seconds < 9.95) return `${oneDecimal.format(seconds)} s`;
  if (seconds < 99.5) return `${whole.format(Math.round(seconds))} s`;
  if (seconds < 5400) return `${whole.format(Math.round(seconds / 60))} min`;
  if (seconds < 48 * 3600) return `${whole.format(Math.round(seconds / 3600))} h`;
  return `${whole.format(Math.round(seconds / 86_400))} d`;
}
