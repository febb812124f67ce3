import { useCallback } from "react";
import { api, type Span } from "../../api/client";
import type { TopEntry } from "../../api/types";
import { categoriesOption, rankedOption, salesOption, type Scene } from "../../charts/options";
import { bestCategory, categoryShares, salesRows, type CategoryShare } from "../../charts/series";
import { sumMoney, type Money } from "../../format/money";
import { formatCount, formatShare } from "../../format/numbers";
import { categoryPath, known } from "../../format/product";
import { useMay } from "../../live/SessionContext";
import { useMoney, useShop } from "../../live/ShopContext";
import { useFigures, useMapped } from "../../live/useFigures";
import type { Query } from "../../live/useQuery";
import { Link } from "../../router/Link";
import { navigate } from "../../router/location";
import { customerPath, productPath } from "../../router/route";
import { ChartPanel, type Column } from "../chart/ChartPanel";
import { salesColumns } from "../chart/salesColumns";
import { CategoryMap } from "./CategoryMap";
import { categoryFigures, MOST_CATEGORIES, type CategoryFigures } from "./categoryFigures";
import { daysInWords, instantsOf, type Days } from "./choice";

const TOP = 10;
const TOP_CATEGORIES = 15;
const REFRESH_MS = 10_000;
/** The gateway keeps a ranking of products by range for a minute: what is shown is at most two minutes old. */
const PRODUCTS_REFRESH_MS = 60_000;

const NOTHING_RESTATED: ReadonlySet<number> = new Set();

interface RankingsProps {
  days: Days;
  zone: string;
  /** The category that the map shows the inside of. */
  within: string | null;
}

/** Who and what sells most in the chosen days, as far as the shop's tables can tell. */
export function Rankings({ days, zone, within }: RankingsProps) {
  const range = useRange(days, zone);
  const persons = useMay("persons");
  const categories = useFigures(
    `categories:${range.key}`,
    (signal) => readCategories(range.span, signal),
    REFRESH_MS,
  );
  const best = categories.data === undefined ? null : bestCategory(categories.data.top);
  return (
    <>
      <CategoryMap within={within} figures={categories} words={range.words} />
      <Categories figures={categories} words={range.words} />
      <TopProducts range={range} />
      {persons && <TopCustomers ranged={range.words !== null} />}
      <TopBrands ranged={range.words !== null} />
      {best !== null && <CategoryMonths key={best} category={best} words={range.words} />}
    </>
  );
}

interface Ranged {
  key: string;
  /** The days in words; null where all are shown. */
  words: string | null;
  span: Span;
}

function useRange(days: Days, zone: string): Ranged {
  return { key: JSON.stringify([days, zone]), words: daysInWords(days), span: instantsOf(days, "day", zone) };
}

const since = (words: string | null): string => words ?? "since the beginning";

async function readCategories(span: Span, signal: AbortSignal): Promise<CategoryFigures> {
  return categoryFigures(await api.top("categories", MOST_CATEGORIES, signal, span), () => revenueOf(span, signal));
}

async function revenueOf(span: Span, signal: AbortSignal): Promise<Money> {
  if (span.from === undefined && span.to === undefined) return (await api.summary(signal)).revenue;
  const { buckets } = await api.sales({ granularity: "day", ...span }, signal);
  return sumMoney(buckets.map(({ revenue }) => revenue));
}

const sharesOf = ({ top, revenue }: CategoryFigures): CategoryShare[] =>
  categoryShares(top.slice(0, TOP_CATEGORIES), { revenue });

function Categories({ figures, words }: { figures: Query<CategoryFigures>; words: string | null }) {
  const money = useMoney();
  const rows = useMapped(figures, sharesOf);
  const option = useCallback((scene: Scene) => categoriesOption(rows.data ?? [], scene), [rows.data]);
  const columns: Column<CategoryShare>[] = [
    { name: "Category", cell: ({ name }) => name, raw: ({ name }) => name },
    { name: "Revenue", cell: ({ revenue }) => money.exact(revenue), raw: ({ revenue }) => revenue },
    { name: "Share", cell: ({ share }) => formatShare(share), raw: ({ share }) => share },
  ];
  return (
    <ChartPanel
      title="Top fifteen categories"
      note={`and all others, by their share of all revenue, ${since(words)}`}
      rows={rows}
      option={option}
      columns={columns}
      empty="Nothing was sold in this range."
      ranking
    />
  );
}

const nameOf = ({ id, name }: TopEntry): string => known(name ?? null) ?? id;

function TopProducts({ range }: { range: Ranged }) {
  const rows = useFigures(
    `top:products:${range.key}`,
    (signal) => api.top("products", TOP, signal, range.span),
    range.words === null ? REFRESH_MS : PRODUCTS_REFRESH_MS,
  );
  return (
    <Ranking
      title="Top ten products"
      note={`by revenue, with their pieces, ${range.words === null ? since(null) : `${range.words}; up to two minutes old`}`}
      rows={rows}
      first="Product"
      nameOf={nameOf}
      pathOf={productPath}
    />
  );
}

const idOf = ({ id }: TopEntry): string => id;

/** The ten customers who have spent the most; picking one shows them. */
function TopCustomers({ ranged }: { ranged: boolean }) {
  const rows = useFigures("top:spenders", (signal) => api.top("spenders", TOP, signal), REFRESH_MS);
  return (
    <Ranking
      title="Top ten customers"
      note="by spend, with their pieces, since the beginning"
      remark={ranged ? "What each customer spent is not kept by day: this ranking does not follow the range." : null}
      rows={rows}
      first="Customer"
      nameOf={idOf}
      pathOf={customerPath}
      monospace
    />
  );
}

function TopBrands({ ranged }: { ranged: boolean }) {
  const rows = useFigures("top:brands", (signal) => api.top("brands", TOP, signal), REFRESH_MS);
  return (
    <Ranking
      title="Top ten brands"
      note="by revenue, with their pieces, since the beginning"
      remark={ranged ? "Sales of brands are not kept by day: this ranking does not follow the range." : null}
      rows={rows}
      first="Brand"
      nameOf={idOf}
    />
  );
}

interface RankingProps {
  title: string;
  note: string;
  /** What the viewer should know before reading it. */
  remark?: string | null;
  rows: Query<TopEntry[]>;
  first: string;
  nameOf: (entry: TopEntry) => string;
  /** Where an entry leads. */
  pathOf?: (id: string) => string;
  monospace?: boolean;
}

function Ranking({ title, note, remark = null, rows, first, nameOf, pathOf, monospace = false }: RankingProps) {
  const money = useMoney();
  const option = useCallback(
    (scene: Scene) => rankedOption((rows.data ?? []).map((row) => ({ ...row, label: nameOf(row) })), scene, monospace),
    [rows.data, nameOf, monospace],
  );
  const columns: Column<TopEntry>[] = [
    {
      name: first,
      cell: (row) =>
        pathOf === undefined ? (
          nameOf(row)
        ) : (
          <Link className={monospace ? "id" : undefined} to={pathOf(row.id)}>
            {nameOf(row)}
          </Link>
        ),
      raw: ({ id }) => id,
    },
    { name: "Revenue", cell: ({ revenue }) => money.exact(revenue), raw: ({ revenue }) => revenue },
    { name: "Pieces", cell: ({ quantity }) => formatCount(quantity), raw: ({ quantity }) => quantity },
  ];
  return (
    <ChartPanel
      title={title}
      note={note}
      rows={rows}
      option={option}
      columns={columns}
      empty="Nothing was sold in this range."
      ranking
      below={remark === null ? undefined : <p className="remark">{remark}</p>}
      onPick={(index) => {
        const picked = rows.data?.[index];
        if (picked !== undefined && pathOf !== undefined) navigate(pathOf(picked.id));
      }}
    />
  );
}

/** The months of the best-selling category. */
function CategoryMonths({ category, words }: { category: string; words: string | null }) {
  const money = useMoney();
  const zone = useShop().timeZone ?? "UTC";
  const rowsOf = useCallback(
    ({ buckets }: Awaited<ReturnType<typeof api.sales>>) => salesRows(buckets, { granularity: "month", zone }),
    [zone],
  );
  const rows = useMapped(
    useFigures(`months:${category}`, (signal) => api.sales({ granularity: "month", category }, signal), REFRESH_MS),
    rowsOf,
  );
  const option = useCallback(
    (scene: Scene) => salesOption({ rows: rows.data ?? [], before: [], restated: NOTHING_RESTATED }, scene),
    [rows.data],
  );
  return (
    <ChartPanel
      title="Best-selling category"
      note={`${categoryPath(category)}, all its months${words === null ? "" : `; it sold best ${words}`}`}
      rows={rows}
      option={option}
      columns={salesColumns(money, "Month")}
    />
  );
}
