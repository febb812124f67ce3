import type { Granularity } from "../format/buckets";
import type { Config, Customer, Recommendations, SalesBucket, Summary, TopEntry, TopKind } from "./types";

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

/** The gateway's REST routes. All take a signal that gives up waiting. */
export const api = {
  config: (signal?: AbortSignal) => get<Config>("/v1/config", {}, signal),
  users: (prefix: string, limit: number, signal?: AbortSignal) =>
    get<string[]>("/v1/users", { prefix, limit }, signal),
  customer: (userId: string, signal?: AbortSignal) => get<Customer>(`/v1/users/${segment(userId)}`, {}, signal),
  recommendations: (userId: string, k: number, signal?: AbortSignal) =>
    get<Recommendations>(`/v1/users/${segment(userId)}/recommendations`, { k }, signal),
  summary: (signal?: AbortSignal) => get<Summary>("/v1/stats/summary", {}, signal),
  sales: (granularity: Granularity, category?: string, signal?: AbortSignal) =>
    get<SalesBucket[]>("/v1/stats/sales", { granularity, category }, signal),
  top: (kind: TopKind, n: number, signal?: AbortSignal) => get<TopEntry[]>(`/v1/stats/top/${kind}`, { n }, signal),
};

export const STREAM_PATH = "/v1/stats/stream";

const segment = encodeURIComponent;

async function get<T>(path: string, query: Query, signal: AbortSignal = AbortSignal.timeout(15_000)): Promise<T> {
  const response = await fetch(withQuery(path, query), { signal, headers: { accept: "application/json" } }).catch(
    (error: unknown) => {
      if (signal.aborted && isAbort(error)) throw error;
      throw new ApiError(0, "The gateway does not answer.");
    },
  );
  if (!response.ok) throw new ApiError(response.status, await problemOf(response));
  return (await response.json()) as T;
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
