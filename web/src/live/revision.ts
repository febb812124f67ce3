/** What a question follows: it is asked again where this has changed. */
export type Revision = (value: unknown, now: number) => string;

/**
 * A revision that moves whenever the value does, and once more `settlesAfterMs` later. Whoever answers may have kept an
 * answer for so long, so the one that came with the last change need not be the last one.
 */
export function settling(settlesAfterMs: number): Revision {
  let last: unknown;
  let since = -Infinity;
  let moves = 0;
  return (value, now) => {
    if (value !== last || moves === 0) {
      [last, since] = [value, now];
      moves += 1;
    }
    return `${moves} ${now - since >= settlesAfterMs ? "settled" : "moving"}`;
  };
}
