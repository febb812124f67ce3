/** What a customer spent a month, from the lines of their history. */
import type { Purchase } from "../../api/types";
import { salesRows, type SalesRow } from "../../charts/series";
import { dayOf, startOfDay } from "../../format/calendar";
import { sumMoney } from "../../format/money";

/** The history holds so many lines at most: with as many, earlier ones are missing. */
export const LINES_KEPT = 50;

/** One row a month from the first to the last, empty months among them. */
export function spendRows(purchases: readonly Purchase[], zone: string, locale?: string): SalesRow[] {
  const months = new Map<string, Purchase[]>();
  for (const purchase of purchases) {
    const month = `${dayOf(Date.parse(purchase.event_time), zone).slice(0, 7)}-01`;
    months.set(month, [...(months.get(month) ?? []), purchase]);
  }
  const buckets = [...months].map(([month, lines]) => ({
    bucket: new Date(startOfDay(month, zone)).toISOString(),
    revenue: sumMoney(lines.map(({ revenue }) => revenue)),
    quantity: lines.reduce((sum, { quantity }) => sum + quantity, 0),
    orders: new Set(lines.map(({ order_id }) => order_id)).size,
  }));
  return salesRows(buckets, { granularity: "month", zone }, locale);
}
