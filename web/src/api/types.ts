/** The gateway's answers, by the names the page uses. Ids and money are strings everywhere. */
import type { components, operations } from "./schema";

type Schemas = components["schemas"];

export type Config = Schemas["ConfigResponse"];
export type Summary = Schemas["Summary"];
export type Clock = Schemas["ClockResponse"];
export type PulseReading = Schemas["TotalsReading"];
export type TopEntry = Schemas["TopItem"];
export type SalesBucket = Schemas["Bucket"];
export type Customer = Schemas["CustomerResponse"];
export type Purchase = Schemas["PurchaseEntry"];
export type Recommendations = Schemas["Recommendations"];
export type SystemState = Schemas["SystemResponse"];
export type Part = Schemas["Component"];
export type AlertsState = Schemas["AlertsResponse"];
export type FiringAlert = Schemas["Alert"];
export type DeadLetterCount = Schemas["DeadLetterCount"];
export type SimilarProducts = Schemas["SimilarProducts"];
export type ModelList = Schemas["ModelList"];
export type Variant = Schemas["Variant"];
export type ModelEntry = Schemas["ModelEntry"];
export type Books = Schemas["ReconciliationResponse"];
export type RecommendationList = Schemas["RecommendationList"];
export type Basket = Partial<Schemas["RecommendationsRequest"]>;
export type Product = Schemas["ProductResponse"];
export type RecommendedItem = Schemas["RecommendedItem"];
export type Strategy = Recommendations["strategy"];
export type TopKind = operations["top_v1_stats_top__board__get"]["parameters"]["path"]["board"];

export type TickerEntry = Schemas["TickerEntry"];
/** The top spenders are for roles that see persons. */
type TopLists = Record<Exclude<TopKind, "spenders">, TopEntry[]> & { spenders?: TopEntry[] };
export type Snapshot = Schemas["StreamSnapshot"] & { top: TopLists };
export type Update = Schemas["StreamUpdate"] & { top: Partial<TopLists> };
export type SessionState = Schemas["SessionResponse"];
export type Access = Schemas["Access"];

/** The data of a `stale` event, which comes in a snapshot's place while there are no figures. */
export interface Stale {
  reason: string;
}

/**
 * What a run of the batch job decided about its model, as it stands in the manifest and in reports/gate/. The gateway hands
 * it on as it is: a record of another release may lack all but the verdict.
 */
export interface GateRecord {
  version: string;
  verdict: "published" | "refused";
  winner?: "candidate" | "live" | "popularity";
  /** One sentence for a person. */
  reason?: string;
  rule?: string;
  recipes?: GateRecipe[];
  checks?: { name: string; passed: boolean; detail: string }[];
}

/** A value with its 95 % interval: value, low, high. */
export type Interval = [number, number, number];
type GateFigures = Partial<Record<"hr@3" | "ndcg@10", Interval>>;

/** One of the recipes that were compared, each fitted before the split. */
export interface GateRecipe {
  name: string;
  /** Why it could not win; null where it could. */
  refused?: string | null;
  figures?: Partial<Record<"warm" | "all", GateFigures>>;
  against_live?: Interval | null;
  against_popularity?: Interval | null;
}
