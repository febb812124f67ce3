import type { Granularity } from "../format/buckets";
import type {
  Basket,
  Books,
  Clock,
  Config,
  Customer,
  DeadLetterCount,
  ModelList,
  Product,
  PulseReading,
  RecommendationList,
  Recommendations,
  SalesBucket,
  SessionState,
  SimilarProducts,
  Summary,
  SystemState,
  TopEntry,
  TopKind,
} from "./types";

/** The gateway answered with an error (RFC 9457 problem+json), or not at all (status 0). */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

type Query = Record<string, string | number | undefined>;

/** Bucket starts from `from` (inclusive) to `to` (exclusive), epoch milliseconds. */
export interface Span {
  from?: number | undefined;
  to?: number | undefined;
}

export interface SeriesQuery extends Span {
  granularity: Granularity;
}

export interface SalesQuery extends SeriesQuery {
  category?: string | undefined;
}

/** Sales over time, and what the gateway has left out of them. */
export interface Series {
  buckets: SalesBucket[];
  /** Sales before this time are no longer kept by the minute. */
  minuteFloor: string | null;
  /** Only the newest buckets were answered. */
  cut: boolean;
}

/** The gateway's REST routes. All take a signal that gives up waiting. */
export const api = {
  config: (signal?: AbortSignal) => get<Config>("/v1/config", {}, signal),
  users: (prefix: string, limit: number, signal?: AbortSignal) =>
    get<string[]>("/v1/users", { prefix, limit }, signal),
  customer: (userId: string, signal?: AbortSignal) => get<Customer>(`/v1/users/${segment(userId)}`, {}, signal),
  recommendations: (userId: string, wanted: Query, signal?: AbortSignal) =>
    get<Recommendations>(`/v1/users/${segment(userId)}/recommendations`, wanted, signal),
  basket: async (wanted: Basket, signal?: AbortSignal): Promise<Recommendations> => {
    const { results } = await post<RecommendationList>("/v1/recommendations", wanted, signal);
    const [result] = results;
    if (result === undefined) throw new ApiError(0, "The gateway answered with no result.");
    return result;
  },
  products: (search: string, limit: number, signal?: AbortSignal) =>
    get<Product[]>("/v1/products", { search, limit }, signal),
  popular: async (n: number, signal?: AbortSignal): Promise<Product[]> => {
    const top = await api.top("products", n, signal);
    return Promise.all(top.map(({ id }) => api.product(id, signal)));
  },
  product: (productId: string, signal?: AbortSignal) => get<Product>(`/v1/products/${segment(productId)}`, {}, signal),
  system: (signal?: AbortSignal) => get<SystemState>("/v1/system", {}, signal),
  deadLetters: (signal?: AbortSignal) => get<DeadLetterCount[]>("/v1/stats/dead-letters", {}, signal),
  productSales: (productId: string, wanted: SeriesQuery, signal?: AbortSignal) =>
    series(`/v1/products/${segment(productId)}/sales`, wanted, signal),
  similar: (productId: string, k: number, signal?: AbortSignal) =>
    get<SimilarProducts>(`/v1/products/${segment(productId)}/similar`, { k }, signal),
  models: (signal?: AbortSignal) => get<ModelList>("/v1/models", {}, signal),
  /** Without a token the session decides. */
  activate: (version: string, token: string | null, note: string) =>
    post<unknown>(
      `/v1/models/${segment(version)}/activate`,
      { note },
      undefined,
      token === null ? {} : { authorization: `Bearer ${token}` },
    ),
  /** Its own 401 calls nobody back: who listens asks for the session again. */
  session: async (signal?: AbortSignal) => (await (await ask("/v1/session", {}, signal, false)).json()) as SessionState,
  logout: () => ask("/v1/session", { method: "DELETE" }),
  reconciliation: (signal?: AbortSignal) => get<Books>("/v1/stats/reconciliation", {}, signal),
  summary: (signal?: AbortSignal) => get<Summary>("/v1/stats/summary", {}, signal),
  sales: (wanted: SalesQuery, signal?: AbortSignal) => series("/v1/stats/sales", wanted, signal),
  /** Of a range, products and categories only: the gateway keeps no days of the others. */
  top: (kind: TopKind, n: number, signal?: AbortSignal, { from, to }: Span = {}) =>
    get<TopEntry[]>(`/v1/stats/top/${kind}`, { n, from: instant(from), to: instant(to) }, signal),
  pulse: (signal?: AbortSignal) => get<PulseReading[]>("/v1/stats/pulse", {}, signal),
  clock: (signal?: AbortSignal) => get<Clock>("/v1/clock", {}, signal),
};

export const STREAM_PATH = "/v1/stats/stream";

const UNAUTHORIZED = 401;
const unauthorized = new Set<() => void>();

/** Calls back when a request is refused because nobody is logged in. Returns what ends that. */
export function onUnauthorized(listener: () => void): () => void {
  unauthorized.add(listener);
  return () => unauthorized.delete(listener);
}

const segment = encodeURIComponent;

async function get<T>(path: string, query: Query, signal?: AbortSignal): Promise<T> {
  const response = await ask(withQuery(path, query), {}, signal);
  return (await response.json()) as T;
}

async function post<T>(path: string, body: unknown, signal?: AbortSignal, headers: HeadersInit = {}): Promise<T> {
  const json = new Headers(headers);
  json.set("content-type", "application/json");
  const response = await ask(path, { method: "POST", body: JSON.stringify(body), headers: json }, signal);
  return (await response.json()) as T;
}

async function series(path: string, { from, to, ...query }: SalesQuery, signal?: AbortSignal): Promise<Series> {
  const response = await ask(withQuery(path, { ...query, from: instant(from), to: instant(to) }), {}, signal);
  return {
    buckets: (await response.json()) as SalesBucket[],
    minuteFloor: response.headers.get("Tillstream-Minute-Floor"),
    cut: response.headers.has("Tillstream-Cut"),
  };
}

const instant = (at: number | undefined): string | undefined => (at === undefined ? undefined : new Date(at).toISOString());

/** A good answer. Throws ApiError for any other, and for none within 15 s. */
async function ask(url: string, request: RequestInit, signal?: AbortSignal, notifies = true): Promise<Response> {
  const patience = AbortSignal.timeout(15_000);
  const response = await fetch(url, {
    ...request,
    signal: signal === undefined ? patience : AbortSignal.any([signal, patience]),
  }).catch((error: unknown) => {
    if (signal?.aborted === true && isAbort(error)) throw error;
    throw new ApiError(0, "The gateway does not answer.");
  });
  if (notifies && response.status === UNAUTHORIZED) for (const listener of unauthorized) listener();
  if (!response.ok) throw new ApiError(response.status, await problemOf(response));
  return response;
}

export const isAbort = (error: unknown): boolean => error instanceof DOMException && error.name === "AbortError";

export function withQuery(path: string, query: Query): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value));
  return search.size > 0 ? `${path}?${search}` : path;
}

async function problemOf(response: Response): Promise<string> {
  const problem = (await response.json().catch(() => ({}))) as { title?: string; detail?: string };
  return problem.detail ?? problem.title ?? `The gateway answered ${response.status}.`;
}
