/** Age of the recommender's state as a sentence; null while it is fresh. */
import { formatWait } from "../../format/numbers";

/** The recommender follows the stream within a fraction of a second; an older state is stale. */
const AS_GOOD_AS_NOW_MS = 5_000;

export function knowledgeText(ageMs: number | null): string | null {
  if (ageMs === null || ageMs <= AS_GOOD_AS_NOW_MS) return null;
  return `The purchases of the last ${formatWait(ageMs)} are missing here: the recommender lags behind the stream.`;
}
