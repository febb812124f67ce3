/** Pure functions from the gateway's answers to the rows that charts and their tables show. */
import type { SalesBucket, Summary, TopEntry } from "../api/types";
import { bucketLabel } from "../format/buckets";
import { approximate, fromCents, sumMoney, toCents, type Money } from "../format/money";
import { categoryLabels, categoryPath } from "../format/product";

export interface MonthRow {
  label: string;
  revenue: Money;
  quantity: number;
  orders: number;
}

export type SpenderRow = Pick<TopEntry, "id" | "revenue" | "quantity">;

export interface CategoryShare {
  label: string;
  name: string;
  revenue: Money;
  share: number | null;
  rest: boolean;
}

/** One row a month from the first to the last; the gateway leaves out months without sales. */
export function monthRows(buckets: readonly SalesBucket[], locale?: string): MonthRow[] {
  const byMonth = new Map(buckets.map((bucket) => [bucket.bucket.slice(0, 7), bucket]));
  const months = [...byMonth.keys()].sort();
  const first = months.at(0);
  const last = months.at(-1);
  if (first === undefined || last === undefined) return [];
  return monthsBetween(first, last).map((month) => {
    const { revenue = "0.00", quantity = 0, orders = 0 } = byMonth.get(month) ?? {};
    return { label: bucketLabel(`${month}-01T00:00:00Z`, "month", locale), revenue, quantity, orders };
  });
}

/** `2020-11`, `2021-01` → 2020-11, 2020-12, 2021-01. */
function monthsBetween(first: string, last: string): string[] {
  const number = (month: string): number => Number(month.slice(0, 4)) * 12 + Number(month.slice(5)) - 1;
  return Array.from({ length: number(last) - number(first) + 1 }, (_, step) => {
    const month = number(first) + step;
    return `${String(Math.floor(month / 12)).padStart(4, "0")}-${String((month % 12) + 1).padStart(2, "0")}`;
  });
}

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
