import { expect, it } from "vitest";
import type { RecommendedItem } from "../../api/types";
import { reasonText } from "./reason";

const item: RecommendedItem = {
  product_id: "1",
  product_name: "unknown",
  category_code: "unknown",
  brand: "unknown",
  price: "9.99",
  score: 0.8,
  reason: { code: "like_purchase", product_id: "2", weight: 0.4 },
};
const titleOf = (id: string): string | null => (id === "2" ? "samsung smartphone" : null);

it("names the purchase that the product goes with, and how much it counts", () => {
  expect(reasonText(item, titleOf)).toBe("Goes with samsung smartphone · 50% of the score");
});

it("does not invent what it does not know", () => {
  const elsewhere = { ...item, reason: { ...item.reason, product_id: "3", weight: 0 } };
  expect(reasonText(elsewhere, titleOf)).toBe("Goes with an earlier purchase");
  const strange = { ...item, reason: { code: "new_in_shop", product_id: null, weight: 1 } };
  expect(reasonText(strange, titleOf)).toBe("new in shop");
});
