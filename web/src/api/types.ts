/** The gateway's answers, by the names the page uses. Ids and money are strings everywhere. */
import type { Money } from "../format/money";
import type { components, operations } from "./schema";

type Schemas = components["schemas"];

export type Config = Schemas["ConfigAnswer"];
export type Summary = Schemas["Summary"];
export type TopEntry = Schemas["TopItem"];
export type SalesBucket = Schemas["Bucket"];
export type Customer = Schemas["CustomerAnswer"];
export type Purchase = Schemas["PurchaseEntry"];
export type Recommendations = Schemas["Recommendations"];
export type RecommendedItem = Schemas["RecommendedItem"];
export type Strategy = Recommendations["strategy"];
export type TopKind = operations["top_v1_stats_top__board__get"]["parameters"]["path"]["board"];

/** One arrival. `id` is where the stream stood after it; `user_id` null for an anonymous purchase. */
export interface TickerEntry {
  id: string;
  arrived_at: string;
  event_time: string;
  order_id: string;
  user_id: string | null;
  product_id: string;
  product_name: string;
  category_code: string;
  brand: string;
  price: Money;
  quantity: number;
  revenue: Money;
}

/** The data of a `snapshot` event; `ticker` holds arrivals in the first one of a connection only. */
export interface Snapshot {
  summary: Summary;
  top: Record<TopKind, TopEntry[]>;
  ticker: TickerEntry[];
}

/** The data of a `stale` event, which comes in a snapshot's place while there are no figures. */
export interface Stale {
  reason: string;
}
