import { useCallback, useMemo } from "react";
import { api } from "../../api/client";
import type { TopEntry } from "../../api/types";
import { categoriesOption, monthsOption, spendersOption, type Scene } from "../../charts/options";
import { bestCategory, categoryShares, monthRows, type CategoryShare, type MonthRow } from "../../charts/series";
import type { MoneyFormat } from "../../format/money";
import { formatCount, formatShare } from "../../format/numbers";
import { categoryPath } from "../../format/product";
import { useLiveConnection } from "../../live/LiveContext";
import { useMoney } from "../../live/ShopContext";
import { useQuery, type Query } from "../../live/useQuery";
import { LinkButton } from "../../ui/Button";
import { ChartPanel, type Column } from "./ChartPanel";

const REFRESH_MS = 3_000;
const TOP_CUSTOMERS = 10;
const TOP_CATEGORIES = 15;

/** Asks again every few seconds while new events are applied. */
function useFigures<T>(key: string, load: (signal: AbortSignal) => Promise<T>): Query<T> {
  const connection = useLiveConnection();
  return useQuery(key, load, {
    everyMs: REFRESH_MS,
    revision: () => connection.getState().snapshot?.summary.events,
  });
}

/** The same query with its answer turned into rows, as long as it is the same answer. */
function useRows<T, Row>(query: Query<T>, rowsOf: (data: T) => readonly Row[]): Query<readonly Row[]> {
  const { data, error, retry } = query;
  const rows = useMemo(() => (data === undefined ? undefined : rowsOf(data)), [data, rowsOf]);
  return { data: rows, error, retry };
}

const monthColumns = (money: MoneyFormat): Column<MonthRow>[] => [
  { name: "Month", cell: ({ label }) => label },
  { name: "Revenue", cell: ({ revenue }) => money.exact(revenue) },
  { name: "Pieces", cell: ({ quantity }) => formatCount(quantity) },
  { name: "Orders", cell: ({ orders }) => formatCount(orders) },
];

const rowsOfMonths = (buckets: Parameters<typeof monthRows>[0]): MonthRow[] => monthRows(buckets);

/** Revenue and pieces per month, of the shop or of one category. */
function Months({ title, note, category }: { title: string; note: string; category?: string }) {
  const money = useMoney();
  const rows = useRows(
    useFigures(`sales:${category ?? ""}`, (signal) => api.sales("month", category, signal)),
    rowsOfMonths,
  );
  const option = useCallback((scene: Scene) => monthsOption(rows.data ?? [], scene), [rows.data]);
  return <ChartPanel title={title} note={note} rows={rows} option={option} columns={monthColumns(money)} />;
}

export const MonthlySales = () => <Months title="Sales by month" note="revenue and pieces" />;

/** The ten customers who have spent the most; picking one shows them. */
export function TopCustomers({ onCustomer }: { onCustomer: (userId: string) => void }) {
  const money = useMoney();
  const rows = useFigures("top:spenders", (signal) => api.top("spenders", TOP_CUSTOMERS, signal));
  const option = useCallback((scene: Scene) => spendersOption(rows.data ?? [], scene), [rows.data]);
  const columns: Column<TopEntry>[] = [
    {
      name: "Customer",
      cell: ({ id }) => (
        <LinkButton
          className="id"
          onClick={() => {
            onCustomer(id);
          }}
        >
          {id}
        </LinkButton>
      ),
    },
    { name: "Spent", cell: ({ revenue }) => money.exact(revenue) },
    { name: "Pieces", cell: ({ quantity }) => formatCount(quantity) },
  ];
  return (
    <ChartPanel
      title="Top ten customers"
      note="by spend, with their pieces"
      rows={rows}
      option={option}
      columns={columns}
      ranking
      onPick={(index) => {
        const picked = rows.data?.[index];
        if (picked !== undefined) onCustomer(picked.id);
      }}
    />
  );
}

interface CategoryFigures {
  top: TopEntry[];
  revenue: string;
}

const rowsOfCategories = ({ top, revenue }: CategoryFigures): CategoryShare[] => categoryShares(top, { revenue });

function Categories({ figures }: { figures: Query<CategoryFigures> }) {
  const money = useMoney();
  const rows = useRows(figures, rowsOfCategories);
  const option = useCallback((scene: Scene) => categoriesOption(rows.data ?? [], scene), [rows.data]);
  const columns: Column<CategoryShare>[] = [
    { name: "Category", cell: ({ name }) => name },
    { name: "Revenue", cell: ({ revenue }) => money.exact(revenue) },
    { name: "Share", cell: ({ share }) => formatShare(share) },
  ];
  return (
    <ChartPanel
      title="Top fifteen categories"
      note="and all others, by their share of revenue"
      rows={rows}
      option={option}
      columns={columns}
      ranking
    />
  );
}

async function categoryFigures(signal: AbortSignal): Promise<CategoryFigures> {
  const [top, { revenue }] = await Promise.all([api.top("categories", TOP_CATEGORIES, signal), api.summary(signal)]);
  return { top, revenue };
}

/** The categories by share, and the months of the best-selling one. */
export function CategoryCharts() {
  const figures = useFigures("categories", categoryFigures);
  const best = figures.data === undefined ? null : bestCategory(figures.data.top);
  return (
    <>
      <Categories figures={figures} />
      {best !== null && (
        <Months key={best} title="Best-selling category" note={`${categoryPath(best)}, by month`} category={best} />
      )}
    </>
  );
}
