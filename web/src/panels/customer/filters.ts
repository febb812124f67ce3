/** Which products may be recommended, as the address says it. */
import type { Changes } from "../../router/location";

export interface Filters {
  category: string | null;
  /** Decimal strings with at most two places, as the gateway takes them. */
  min_price: string | null;
  max_price: string | null;
}

const PRICE = /^\d{1,15}(\.\d{1,2})?$/;

/** What the gateway would refuse is left out. */
export function filtersOf(search: URLSearchParams): Filters {
  const price = (name: string): string | null => {
    const text = search.get(name);
    return text !== null && isPrice(text) ? text : null;
  };
  return { category: search.get("category"), min_price: price("min_price"), max_price: price("max_price") };
}

export const isPrice = (text: string): boolean => PRICE.test(text);

/** The same for a request; what is open is left out. */
export const asQuery = (filters: Filters): Record<string, string> =>
  Object.fromEntries(Object.entries(filters).filter((entry): entry is [string, string] => entry[1] !== null));

export const NO_FILTERS: Changes = { category: null, min_price: null, max_price: null };
export const isFiltered = (filters: Filters): boolean => Object.keys(asQuery(filters)).length > 0;
