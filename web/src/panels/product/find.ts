import { api } from "../../api/client";
import type { Product } from "../../api/types";

type Search = (text: string, limit: number) => Promise<readonly Product[]>;

/** The product that somebody means who types this: the one of this very id, else the first that fits. Throws where none does. */
export async function productTyped(text: string, search: Search = api.products): Promise<Product> {
  const [first] = await search(text, 1); // the gateway puts the product of this very id first
  if (first === undefined) throw new Error(`No product fits “${text}”.`);
  return first;
}

/** The product of this very id, never one whose id only begins so. Throws where there is none. */
export async function productOf(id: string, search: Search = api.products): Promise<Product> {
  const product = await productTyped(id, search);
  if (product.product_id !== id) throw new Error(`No product fits “${id}”.`);
  return product;
}
