/** The gateway's word for a text that no purchase has ever told. */
const UNKNOWN = "unknown";

/** What a shop knows of a product; any text may be missing. Ids are strings: they do not fit a number. */
export interface Described {
  product_id: string;
  product_name: string | null;
  category_code: string | null;
  brand: string | null;
}

/** The text, or null where it is missing in either of its two forms. */
export const known = (text: string | null): string | null => (text === UNKNOWN ? null : text);

/** A name to call a product by: its own, else brand and kind ("samsung smartphone"), else its id. */
export function productTitle(product: Described): string {
  const name = known(product.product_name);
  if (name !== null) return name;
  const named = [known(product.brand), categoryLeaf(product.category_code)].filter((part) => part !== null);
  return named.length > 0 ? named.join(" ") : `Product ${product.product_id}`;
}

/** `electronics.audio.headphone` → "headphone", with spaces for underscores. */
export function categoryLeaf(code: string | null): string | null {
  return known(code)?.split(".").at(-1)?.replaceAll("_", " ") ?? null;
}

/** `electronics.audio.headphone` → "electronics › audio › headphone". */
export function categoryPath(code: string | null): string {
  return known(code)?.split(".").join(" › ").replaceAll("_", " ") ?? "unknown category";
}

/** Short labels for a list of categories: the last part, with the one above where two would read the same. */
export function categoryLabels(codes: readonly string[]): string[] {
  const leaves = codes.map((code) => categoryLeaf(code) ?? UNKNOWN);
  return codes.map((code, index) => {
    const leaf = leaves[index] ?? code;
    const unique = leaves.filter((other) => other === leaf).length === 1;
    return unique ? leaf : code.split(".").slice(-2).join(" › ").replaceAll("_", " ");
  });
}

const STOCK: Record<string, string> = {
  in_stock: "In stock",
  out_of_stock: "Out of stock: not recommended",
  hidden: "Hidden: not recommended",
  deleted: "Deleted: not recommended",
};

/** What the catalogue says of a product's availability. */
export const stockText = (availability: string): string => STOCK[availability] ?? availability;

/** Whether a picture is at one of the origins that the page may load from. */
export function isShown(url: string, origins: readonly string[]): boolean {
  const parsed = URL.parse(url);
  return parsed !== null && origins.includes(parsed.origin);
}
