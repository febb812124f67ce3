import { expect, it } from "vitest";
import { candidatesOf, toggled } from "./basket";

const product = (product_id: string, product_name: string) => ({
  product_id,
  product_name,
  category_code: null,
  brand: null,
});

it("offers each product once", () => {
  expect(candidatesOf([product("1", "tea"), product("2", "unknown"), product("1", "tea")])).toEqual([
    { id: "1", title: "tea" },
    { id: "2", title: "Product 2" },
  ]);
});

it("ticks and unticks", () => {
  expect(toggled([], "1")).toEqual(["1"]);
  expect(toggled(["1", "2"], "1")).toEqual(["2"]);
});
