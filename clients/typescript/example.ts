/** Figures, recommendations and a sale with the types of the REST API: `node example.js http://localhost:8080 CUSTOMER`. */
import type { components, paths } from "./schema";

type Json<T> = T extends { responses: { 200: { content: { "application/json": infer A } } } } ? A : never;
/** The routes that answer in JSON. */
type Route = { [P in keyof paths]: paths[P] extends { get: infer G } ? (Json<G> extends never ? never : P) : never }[keyof paths];
type Answer<P extends Route> = paths[P] extends { get: infer G } ? Json<G> : never;

declare const process: { argv: string[] };

const [address = "http://localhost:8080", customer = "1"] = process.argv.slice(2);

/** With API keys: add the header `Authorization: Bearer KEY`. */
async function get<P extends Route>(route: P, names: Record<string, string> = {}): Promise<Answer<P>> {
  const path = route.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(names[name] ?? ""));
  const response = await fetch(address + path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return (await response.json()) as Answer<P>;
}

const figures = await get("/v1/stats/summary");
console.log("revenue", figures.revenue);

const answer = await get("/v1/users/{user_id}/recommendations", { user_id: customer });
console.log("recommended", ...answer.items.map((item) => item.product_id));

const sale: components["schemas"]["PurchaseEvent"] = {
  event_id: "1",
  event_time: "2026-11-29T12:00:00Z",
  order_id: "A-18",
  product_id: "4711",
  price: "9.90",
};
const taken = await fetch(`${address}/v1/events`, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(sale),
});
const verdict = (await taken.json()) as components["schemas"]["EventsResponse"];
console.log("accepted", verdict.accepted);
