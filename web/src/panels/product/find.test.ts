import { expect, it } from "vitest";
import type { Product } from "../../api/types";
import { productOf, productTyped } from "./find";

const finds =
  (...ids: string[]) =>
  () =>
    Promise.resolve(ids.map((product_id) => ({ product_id }) as Product));

it("takes the first product that fits what is typed, and says so where none does", async () => {
  expect((await productTyped("red phone", finds("71"))).product_id).toBe("71");
  await expect(productTyped("red phone", finds())).rejects.toThrow("No product fits “red phone”.");
});

it("does not take a product whose id only begins as the one that is meant", async () => {
  expect((await productOf("7", finds("7"))).product_id).toBe("7");
  await expect(productOf("7", finds("71"))).rejects.toThrow("No product fits “7”.");
});
