import { expect, it } from "vitest";
import { categoryLabels, categoryPath, isShown, productTitle, stockText } from "./product";

const product = {
  product_id: "1515966223509088521",
  product_name: null,
  category_code: "appliances.kitchen.coffee_machine",
  brand: "bosch",
};

it("names a product by the best that is known of it", () => {
  expect(productTitle({ ...product, product_name: "Filter coffee" })).toBe("Filter coffee");
  expect(productTitle(product)).toBe("bosch coffee machine");
  expect(productTitle({ ...product, category_code: null })).toBe("bosch");
});

it("falls back to the whole id, digit for digit", () => {
  const unknown = { ...product, product_name: "unknown", category_code: "unknown", brand: "unknown" };
  expect(productTitle(unknown)).toBe("Product 1515966223509088521");
  expect(productTitle({ ...product, category_code: null, brand: null })).toBe("Product 1515966223509088521");
});

it("spells out a category", () => {
  expect(categoryPath("appliances.kitchen.coffee_machine")).toBe("appliances › kitchen › coffee machine");
  expect(categoryPath(null)).toBe("unknown category");
});

it("shortens categories as far as they stay apart", () => {
  expect(categoryLabels(["electronics.smartphone", "kitchen.table", "furniture.living_room.table", "unknown"])).toEqual([
    "smartphone",
    "kitchen › table",
    "living room › table",
    "unknown",
  ]);
});

it("shows pictures of listed origins only", () => {
  const origins = ["https://images.example.com"];
  expect(isShown("https://images.example.com/1.jpg", origins)).toBe(true);
  expect(isShown("http://images.example.com/1.jpg", origins)).toBe(false);
  expect(isShown("https://images.example.com.evil.example/1.jpg", origins)).toBe(false);
  expect(isShown("javascript:alert(1)", origins)).toBe(false);
  expect(isShown("no address", origins)).toBe(false);
});

it("says what the catalogue says of stock, also where it is new to the page", () => {
  expect(stockText("in_stock")).toBe("In stock");
  expect(stockText("preorder")).toBe("preorder");
});
