import type { RecommendedItem, Strategy } from "../../api/types";
import { formatShortShare } from "../../format/numbers";

const STRATEGY: Record<Strategy, string> = {
  personal: "Chosen for this customer",
  basket: "Goes with this basket",
  similar: "Like this product",
  popular: "Popular with everybody: too little is known of this customer",
  popular_fallback: "Popular with everybody: no model gave an answer",
};

const REASON: Record<string, string> = {
  popular: "Popular now",
  customers_like_you: "Bought by customers like this one",
  like_basket: "Goes with the basket",
  similar: "Bought by the same customers",
};

export const strategyText = (strategy: Strategy): string => STRATEGY[strategy];

/** Why a product is shown. `titleOf` names a product that the customer bought; null where it is not known. */
export function reasonText(item: RecommendedItem, titleOf: (productId: string) => string | null): string {
  const { code, product_id: because } = item.reason;
  if (code !== "like_purchase") return REASON[code] ?? code.replaceAll("_", " ");
  const bought = because === null ? null : titleOf(because);
  return `Goes with ${bought ?? "an earlier purchase"}${shareOfScore(item)}`;
}

/** What part of the score the reason carries, where it is a part: " · 62% of the score". */
function shareOfScore({ score, reason }: RecommendedItem): string {
  const share = reason.weight / score;
  return share > 0 && share <= 1 ? ` · ${formatShortShare(share)} of the score` : "";
}
