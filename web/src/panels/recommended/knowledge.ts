/** How old what the recommender knows of purchases is, in words; null while it is as good as now. */
import { formatWait } from "../../format/numbers";

/** The recommender follows the stream within a fraction of a second; what is older than this stands still. */
const AS_GOOD_AS_NOW_MS = 5_000;

export function knowledgeText(ageMs: number | null): string | null {
  if (ageMs === null || ageMs <= AS_GOOD_AS_NOW_MS) return null;
  return `Purchases of the last ${formatWait(ageMs)} are not yet in these answers: the recommender cannot follow the stream.`;
}
