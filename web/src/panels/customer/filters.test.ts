import { expect, it } from "vitest";
import { asQuery, filtersOf, isFiltered } from "./filters";

const filters = (search: string): ReturnType<typeof filtersOf> => filtersOf(new URLSearchParams(search));

it("reads what the address says and leaves out what is no price", () => {
  expect(filters("category=shoes&min_price=9.90&max_price=1e3")).toEqual({
    category: "shoes",
    min_price: "9.90",
    max_price: null,
  });
  expect(filters("min_price=1.234&max_price=-1")).toMatchObject({ min_price: null, max_price: null });
});

it("asks for nothing where nothing is chosen", () => {
  expect(asQuery(filters(""))).toEqual({});
  expect(isFiltered(filters(""))).toBe(false);
  expect(asQuery(filters("max_price=10"))).toEqual({ max_price: "10" });
  expect(isFiltered(filters("max_price=10"))).toBe(true);
});
