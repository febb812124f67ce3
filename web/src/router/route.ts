/** The addresses of the page. Ids are percent-encoded in them, whole. */
export type Route =
  | { view: "now" | "sales" | "models" | "system" | "nowhere" }
  | { view: "customers" | "products"; id: string | null };

export type View = Route["view"];

const SIMPLE = new Map<string, Route>([
  ["", { view: "now" }],
  ["sales", { view: "sales" }],
  ["models", { view: "models" }],
  ["system", { view: "system" }],
]);

/** What a path shows. */
export function routeOf(path: string): Route {
  const [first = "", ...rest] = path.replace(/^\//, "").replace(/\/$/, "").split("/");
  if (first === "customers" || first === "products") return withId(first, rest);
  return (rest.length === 0 ? SIMPLE.get(first) : undefined) ?? { view: "nowhere" };
}

function withId(view: "customers" | "products", rest: readonly string[]): Route {
  if (rest.length === 0) return { view, id: null };
  try {
    return { view, id: decodeURIComponent(rest.join("/")) };
  } catch {
    return { view: "nowhere" }; // no percent-encoded UTF-8
  }
}

export const customerPath = (id: string): string => `/customers/${encodeURIComponent(id)}`;
export const productPath = (id: string): string => `/products/${encodeURIComponent(id)}`;
