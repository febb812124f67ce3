import type { SalesRow } from "../../charts/series";
import type { MoneyFormat } from "../../format/money";
import { formatCount } from "../../format/numbers";
import type { Column } from "./ChartPanel";

/** The columns of sales over time; `first` names the bucket's. */
export const salesColumns = (money: MoneyFormat, first: string): Column<SalesRow>[] => [
  { name: first, cell: ({ label }) => label, raw: ({ start }) => new Date(start).toISOString() },
  { name: "Revenue", cell: ({ revenue }) => money.exact(revenue), raw: ({ revenue }) => revenue },
  { name: "Pieces", cell: ({ quantity }) => formatCount(quantity), raw: ({ quantity }) => quantity },
  { name: "Orders", cell: ({ orders }) => formatCount(orders), raw: ({ orders }) => orders },
];
