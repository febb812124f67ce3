import type { TopEntry } from "../../api/types";
import { sumMoney, type Money } from "../../format/money";

export interface CategoryFigures {
  top: readonly TopEntry[];
  /** Of the whole shop in the same days, as of the same moment. */
  revenue: Money;
}

/** As many categories as the gateway answers at once. */
export const MOST_CATEGORIES = 1_000;

/**
 * The categories with what they add up to: every line is in one of them, so this is all revenue, and of the same reading.
 * Only where there may be more categories than were answered, the shop's revenue is asked for.
 */
export async function categoryFigures(top: readonly TopEntry[], all: () => Promise<Money>): Promise<CategoryFigures> {
  const revenue = top.length < MOST_CATEGORIES ? sumMoney(top.map((entry) => entry.revenue)) : await all();
  return { top, revenue };
}
