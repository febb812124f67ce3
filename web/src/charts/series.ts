/** Pure functions from the gateway's answers to the rows that charts and their tables show. */
import type { SalesBucket, Summary, TopEntry } from "../api/types";
import { bucketLabels, type Granularity } from "../format/buckets";
import { nextBucket } from "../format/calendar";
import { approximate, fromCents, sumMoney, toCents, type Money } from "../format/money";
import { categoryLabels, categoryPath } from "../format/product";

export interface SalesRow {
  /** The bucket's start, epoch milliseconds. */
  start: number;
  label: string;
  revenue: Money;
  quantity: number;
  orders: number;
}

export interface CategoryShare {
  label: string;
  name: string;
  revenue: Money;
  share: number | null;
  rest: boolean;
}

interface Span {
  granularity: Granularity;
  zone: string;
  /** Where the rows begin and end (exclusive), epoch milliseconds; with the first and last sale where not told. */
  from?: number | undefined;
  to?: number | undefined;
}

/** Beyond so many rows, empty buckets are not filled in. */
const MOST_ROWS = 12_000;

/** One row a bucket, oldest first; the gateway leaves out buckets without sales. */
export function salesRows(buckets: readonly SalesBucket[], span: Span, locale?: string): SalesRow[] {
  const label = bucketLabels(span.granularity, span.zone, locale);
  const sold = new Map(buckets.map((bucket) => [Date.parse(bucket.bucket), bucket]));
  // Where clocks change by less than a bucket, a sale may lie between two steps: it keeps its row.
  const starts = [...new Set([...steps([...sold.keys()], span), ...sold.keys()])].sort((a, b) => a - b);
  return starts.map((start) => {
    const { revenue = "0.00", quantity = 0, orders = 0 } = sold.get(start) ?? {};
    return { start, label: label(start), revenue, quantity, orders };
  });
}

function steps(sold: readonly number[], { granularity, zone, from, to }: Span): number[] {
  const first = from ?? Math.min(...sold);
  const last = to === undefined ? Math.max(...sold) : to - 1;
  const starts: number[] = [];
  for (let start = first; start <= last; start = nextBucket(start, granularity, zone)) {
    if (starts.length === MOST_ROWS) return [];
    starts.push(start);
  }
  return starts;
}

/** All of some rows together; orders that span two buckets count in both. */
export function totalOf(rows: readonly SalesRow[]): Pick<SalesRow, "revenue" | "quantity" | "orders"> {
  return {
    revenue: sumMoney(rows.map(({ revenue }) => revenue)),
    quantity: rows.reduce((sum, { quantity }) => sum + quantity, 0),
    orders: rows.reduce((sum, { orders }) => sum + orders, 0),
  };
}

/** By what part of the former value something has grown; null where that was not above 0. */
export const growth = (now: number, before: number): number | null => (before > 0 ? (now - before) / before : null);

/** The top categories, and all others as one row where they are not nothing. */
export function categoryShares(top: readonly TopEntry[], all: Pick<Summary, "revenue">): CategoryShare[] {
  const labels = categoryLabels(top.map(({ id }) => id));
  const rows = top.map(({ id, revenue, share }, index) => ({
    label: labels[index] ?? id,
    name: categoryPath(id),
    revenue,
    share,
    rest: false,
  }));
  const rest = toCents(all.revenue) - toCents(sumMoney(top.map(({ revenue }) => revenue)));
  if (rest === 0n || top.length === 0) return rows;
  const share = toCents(all.revenue) === 0n ? null : approximate(fromCents(rest)) / approximate(all.revenue);
  return [...rows, { label: "all others", name: "All other categories", revenue: fromCents(rest), share, rest: true }];
}

/** The best-selling category that has a name. */
export const bestCategory = (top: readonly TopEntry[]): string | null =>
  top.find(({ id }) => id !== "unknown")?.id ?? null;
