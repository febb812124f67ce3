import { useCallback } from "react";
import { api } from "../../api/client";
import type { TopEntry } from "../../api/types";
import { categoriesOption, salesOption, spendersOption, type Scene } from "../../charts/options";
import { bestCategory, categoryShares, salesRows, type CategoryShare } from "../../charts/series";
import { formatCount, formatShare } from "../../format/numbers";
import { categoryPath } from "../../format/product";
import { useMoney, useShop } from "../../live/ShopContext";
import { useFigures, useMapped } from "../../live/useFigures";
import type { Query } from "../../live/useQuery";
import { Link } from "../../router/Link";
import { navigate } from "../../router/location";
import { customerPath } from "../../router/route";
import { ChartPanel, type Column } from "../chart/ChartPanel";
import { salesColumns } from "../chart/salesColumns";

const TOP_CUSTOMERS = 10;
const TOP_CATEGORIES = 15;

const NOTHING_RESTATED: ReadonlySet<number> = new Set();

/** The ten customers who have spent the most; picking one shows them. */
export function TopCustomers() {
  const money = useMoney();
  const rows = useFigures("top:spenders", (signal) => api.top("spenders", TOP_CUSTOMERS, signal));
  const option = useCallback((scene: Scene) => spendersOption(rows.data ?? [], scene), [rows.data]);
  const columns: Column<TopEntry>[] = [
    {
      name: "Customer",
      cell: ({ id }) => (
        <Link className="id" to={customerPath(id)}>
          {id}
        </Link>
      ),
      raw: ({ id }) => id,
    },
    { name: "Spent", cell: ({ revenue }) => money.exact(revenue), raw: ({ revenue }) => revenue },
    { name: "Pieces", cell: ({ quantity }) => formatCount(quantity), raw: ({ quantity }) => quantity },
  ];
  return (
    <ChartPanel
      title="Top ten customers"
      note="by spend since the beginning, with their pieces"
      rows={rows}
      option={option}
      columns={columns}
      ranking
      onPick={(index) => {
        const picked = rows.data?.[index];
        if (picked !== undefined) navigate(customerPath(picked.id));
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
  const rows = useMapped(figures, rowsOfCategories);
  const option = useCallback((scene: Scene) => categoriesOption(rows.data ?? [], scene), [rows.data]);
  const columns: Column<CategoryShare>[] = [
    { name: "Category", cell: ({ name }) => name, raw: ({ name }) => name },
    { name: "Revenue", cell: ({ revenue }) => money.exact(revenue), raw: ({ revenue }) => revenue },
    { name: "Share", cell: ({ share }) => formatShare(share), raw: ({ share }) => share },
  ];
  return (
    <ChartPanel
      title="Top fifteen categories"
      note="and all others, by their share of all revenue"
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

/** The months of one category. */
function CategoryMonths({ category }: { category: string }) {
  const money = useMoney();
  const zone = useShop().timeZone ?? "UTC";
  const rowsOf = useCallback(
    ({ buckets }: Awaited<ReturnType<typeof api.sales>>) => salesRows(buckets, { granularity: "month", zone }),
    [zone],
  );
  const rows = useMapped(
    useFigures(`months:${category}`, (signal) => api.sales({ granularity: "month", category }, signal)),
    rowsOf,
  );
  const option = useCallback(
    (scene: Scene) => salesOption({ rows: rows.data ?? [], before: [], restated: NOTHING_RESTATED }, scene),
    [rows.data],
  );
  return (
    <ChartPanel
      title="Best-selling category"
      note={`${categoryPath(category)}, by month`}
      rows={rows}
      option={option}
      columns={salesColumns(money, "Month")}
    />
  );
}

/** The categories by share, and the months of the best-selling one. */
export function CategoryCharts() {
  const figures = useFigures("categories", categoryFigures);
  const best = figures.data === undefined ? null : bestCategory(figures.data.top);
  return (
    <>
      <Categories figures={figures} />
      {best !== null && <CategoryMonths key={best} category={best} />}
    </>
  );
}
