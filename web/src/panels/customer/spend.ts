/** What a customer spent a month, and whether the months tell all of it. */
import type { Customer } from "../../api/types";
import { salesRows, type SalesRow } from "../../charts/series";
import { sumMoney, toCents } from "../../format/money";

/** One row a month from the first to the last, empty months among them. */
export const spendRows = (customer: Customer, zone: string, locale?: string): SalesRow[] =>
  salesRows(customer.months, { granularity: "month", zone }, locale);

/** Whether the months add up to the totals: not so where the live tables were filled before they held months. */
export function isWhole({ months, revenue, quantity }: Customer): boolean {
  const pieces = months.reduce((sum, month) => sum + month.quantity, 0);
  return pieces === quantity && toCents(sumMoney(months.map((month) => month.revenue))) === toCents(revenue);
}
