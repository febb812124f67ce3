import { formatCompact } from "../format/numbers";
import styles from "./Sparkline.module.css";

const WIDTH = 100;
const HEIGHT = 24;

/** A small line without axes: how something went. Its ends are told in words. */
export function Sparkline({ values, label }: { values: readonly number[]; label: string }) {
  const told = `${label}: from ${formatCompact(Math.min(...values))} to ${formatCompact(Math.max(...values))} a day`;
  return (
    <svg className={styles.line} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={told}>
      <title>{told}</title>
      <path className={styles.area} d={`${pathOf(values)}L${WIDTH},${HEIGHT}L0,${HEIGHT}Z`} />
      <path d={pathOf(values)} />
    </svg>
  );
}

function pathOf(values: readonly number[]): string {
  const low = Math.min(0, ...values);
  const span = Math.max(...values) - low || 1;
  const step = WIDTH / Math.max(1, values.length - 1);
  // Two units stay free above and below, for the line's own width.
  const y = (value: number): number => HEIGHT - 2 - ((value - low) / span) * (HEIGHT - 4);
  return values.map((value, index) => `${index === 0 ? "M" : "L"}${(index * step).toFixed(2)},${y(value).toFixed(2)}`).join("");
}
