/** Products that a viewer may tick as if they were bought. */
import { productTitle, type Described } from "../../format/product";

export interface Candidate {
  id: string;
  title: string;
}

/** Each product once, in the order given. */
export function candidatesOf(products: readonly Described[]): Candidate[] {
  const titles = new Map(products.map((product) => [product.product_id, productTitle(product)]));
  return [...titles].map(([id, title]) => ({ id, title }));
}

/** The ticked products after one is ticked or unticked. */
export function toggled(ticked: readonly string[], id: string): string[] {
  return ticked.includes(id) ? ticked.filter((each) => each !== id) : [...ticked, id];
}
