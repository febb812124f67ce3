import type { RecommendedItem, Strategy } from "../../api/types";
import { formatCount, formatShortShare } from "../../format/numbers";

const STRATEGY: Record<Strategy, string> = {
  personal: "Chosen for this customer",
  basket: "Goes with this basket",
  similar: "Chosen for this product",
  popular: "Popular products: too little is known for a personal choice",
  popular_fallback: "Popular products: no model could answer",
};

/** Reasons that no other product carries. */
const REASON: Record<string, string> = {
  popular: "Popular this week",
  new: "New in the shop",
  customers_like_you: "Bought by customers like this one",
  bought_before: "Bought before, and likely to be due again",
  category: "From a category that goes with what was bought",
  same_category: "Same kind of product",
  like_name: "Similar name",
  same_brand: "Same brand",
  like_price: "Similar price",
  similar: "Bought by the same customers",
  like_orders: "Bought with the same products",
};

/** Reasons that another product carries, before its name. */
const BECAUSE_OF: Record<string, string> = {
  bought_together: "Bought together with",
};

export const strategyText = (strategy: Strategy): string => STRATEGY[strategy];

/** The product that the reason names, where it has one to name. */
export const becauseOf = ({ reason }: RecommendedItem): string | null =>
  reason.code in BECAUSE_OF ? reason.product_id : null;

/** Why a product is shown. `title` is what the product that the reason names is called; null where that is not known. */
export function reasonText(item: RecommendedItem, title: string | null): string {
  const { code } = item.reason;
  const because = BECAUSE_OF[code];
  const words = because === undefined ? reasonOf(code) : `${because} ${title ?? "an earlier purchase"}`;
  return `${words}${inOrders(item)}${also(item) || shareOfScore(item)}`;
}

const reasonOf = (code: string): string => REASON[code] ?? code.replaceAll("_", " ");

/** The other reasons of a substitute: ", similar name, same brand". */
const also = ({ reason }: RecommendedItem): string =>
  (reason.also ?? []).map((code) => `, ${reasonOf(code).toLowerCase()}`).join("");

/** In how many orders both were bought, where that is the reason: " in 312 orders". */
function inOrders({ reason }: RecommendedItem): string {
  const { orders } = reason;
  return orders == null ? "" : ` in ${formatCount(orders)} ${orders === 1 ? "order" : "orders"}`;
}

/** What part of the score the reason carries, where it is less than all of it: " · 62% of the score". */
function shareOfScore({ score, reason }: RecommendedItem): string {
  const share = reason.weight / score;
  return share > 0 && share < 1 ? ` · ${formatShortShare(share)} of the score` : "";
}
