import { expect, it } from "vitest";
import type { RecommendedItem } from "../../api/types";
import { becauseOf, reasonText } from "./reason";

const item: RecommendedItem = {
  product_id: "1",
  product_name: "unknown",
  category_code: "unknown",
  brand: "unknown",
  price: "9.99",
  score: 0.8,
  reason: { code: "bought_together", product_id: "2", weight: 0.4 },
};
const because = (code: string, weight = 0): RecommendedItem => ({ ...item, reason: { code, product_id: "2", weight } });

it("names the purchase that the product goes with, and how much it counts", () => {
  expect(becauseOf(item)).toBe("2");
  expect(reasonText(item, "samsung smartphone")).toBe("Bought together with samsung smartphone · 50% of the score");
});

it("says in how many orders both were", () => {
  const inOrders = (orders: number) => ({ ...item, reason: { ...item.reason, weight: 0.8, orders } });
  expect(reasonText(inOrders(1312), "bananas")).toBe("Bought together with bananas in 1,312 orders");
  expect(reasonText(inOrders(1), "bananas")).toBe("Bought together with bananas in 1 order");
});

it("has words for every reason", () => {
  expect(reasonText(because("popular"), null)).toBe("Popular this week");
  expect(reasonText(because("customers_like_you", 0.2), null)).toBe("Bought by customers like this one · 25% of the score");
  expect(reasonText(because("bought_before"), null)).toBe("Bought before, and likely to be due again");
  expect(reasonText(because("category"), null)).toBe("From a category that goes with what was bought");
  expect(reasonText(because("similar"), null)).toBe("Bought by the same customers");
});

it("names all that makes a product a substitute", () => {
  const reason = { ...because("same_category", 0.5).reason, also: ["like_name", "new_part"] };
  expect(reasonText({ ...item, reason }, null)).toBe("Same kind of product, similar name, new part");
});

it("does not invent what it does not know", () => {
  expect(reasonText(because("bought_together"), null)).toBe("Bought together with an earlier purchase");
  expect(becauseOf(because("popular"))).toBeNull();
  expect(reasonText(because("new_in_shop", 0.8), null)).toBe("new in shop");
});
