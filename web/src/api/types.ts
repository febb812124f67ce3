/** The gateway's answers. Ids and money are strings everywhere; null where something is not known. */
import type { Instant } from "../format/time";
import type { Money } from "../format/money";

export interface Config {
  currency: string;
  time_zone: string;
  version: string;
}

export interface Summary {
  revenue: Money;
  quantity: number;
  orders: number;
  buyers: number;
  events: number;
  events_per_second: number;
  dead_letters: number;
  freshness_ms: number | null;
  lag: number | null;
  model_version: string | null;
  first_event: Instant | null;
  last_event: Instant | null;
  as_of: Instant;
}

export interface TopEntry {
  id: string;
  revenue: Money;
  quantity: number;
  share: number | null;
  /** A product's name, where known. */
  name?: string | null;
}

export interface SalesBucket {
  bucket: string;
  revenue: Money;
  quantity: number;
  orders: number;
}

export interface Snapshot {
  summary: Summary;
  top: Record<TopKind, TopEntry[]>;
}

export type TopKind = "spenders" | "products" | "categories" | "brands";

export interface TickerEntry {
  arrived_at: Instant;
  event_time: Instant;
  order_id: string;
  user_id: string | null;
  product_id: string;
  product_name: string | null;
  category_code: string | null;
  brand: string | null;
  price: Money;
  quantity: number;
  revenue: Money;
}

export interface Purchase {
  event_time: Instant;
  order_id: string;
  product_id: string;
  product_name: string | null;
  category_code: string | null;
  brand: string | null;
  price: Money;
  quantity: number;
  revenue: Money;
}

export interface Customer {
  user_id: string;
  revenue: Money;
  quantity: number;
  orders: number;
  first_seen: Instant | null;
  last_seen: Instant | null;
  purchases: Purchase[];
}

export interface Reason {
  code: string;
  product_id: string | null;
  weight: number;
}

export interface RecommendedItem {
  product_id: string;
  product_name: string | null;
  category_code: string | null;
  brand: string | null;
  price: Money | null;
  score: number;
  reason: Reason;
}

export type Strategy = "personal" | "basket" | "similar" | "popular" | "popular_fallback";

export interface Recommendations {
  user_id: string | null;
  strategy: Strategy;
  model_version: string | null;
  items: RecommendedItem[];
  /** Why `items` is empty or short, where it is. */
  message?: string | null;
}
