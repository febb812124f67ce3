/** Pure functions from data to what ECharts draws. They name no colour: see Look. */
import type { BarSeriesOption, LineSeriesOption, TreemapSeriesOption } from "echarts/charts";
import type { GridComponentOption, LegendComponentOption, TooltipComponentOption } from "echarts/components";
import type { ComposeOption } from "echarts/core";
import { approximate, type MoneyFormat } from "../format/money";
import { formatShortShare, formatCompact, formatCount, formatShare } from "../format/numbers";
import type { CategoryShare, SalesRow } from "./series";
import type { Look } from "./look";

export type ChartOption = ComposeOption<
  | BarSeriesOption
  | LineSeriesOption
  | TreemapSeriesOption
  | GridComponentOption
  | LegendComponentOption
  | TooltipComponentOption
>;

/** What a tooltip says: a title and lines of name and value. */
export interface Hint {
  title: string;
  lines: [name: string, value: string][];
}

export interface Scene {
  look: Look;
  money: MoneyFormat;
  /** Too narrow to put labels beside the bars. */
  narrow: boolean;
  /** Whether the viewer likes things to move. */
  motion: boolean;
}

const fontSize = ({ rem }: Look): number => rem * 0.75;

const axisLabel = (look: Look) => ({ color: look.inkFaint, fontSize: fontSize(look), margin: look.rem * 0.5 });

function common({ look, motion }: Scene): ChartOption {
  return {
    animation: motion,
    textStyle: { fontFamily: look.font, color: look.inkSoft, fontSize: fontSize(look) },
    animationDuration: 400,
    animationDurationUpdate: 400,
    aria: { enabled: false },
  };
}

/** The plot and its labels fill the space; the rest below keeps the labels' descenders. */
function withinBounds(look: Look): GridComponentOption {
  const bounds = { left: 0, right: 0, top: 0, bottom: look.rem * 0.25 };
  return { ...bounds, outerBoundsMode: "same", outerBounds: bounds, outerBoundsContain: "axisLabel" };
}

function tooltip({ look }: Scene, trigger: "axis" | "item", hint: (index: number) => Hint | null): TooltipComponentOption {
  return {
    trigger,
    confine: true,
    backgroundColor: look.surface,
    borderColor: look.line,
    textStyle: { color: look.ink, fontSize: look.rem * 0.8125 },
    axisPointer: { type: "shadow", shadowStyle: { color: look.grid, opacity: 0.6 } },
    formatter: (point) => {
      const index = (Array.isArray(point) ? point[0] : point)?.dataIndex;
      const said = index === undefined ? null : hint(index);
      return said === null ? "" : hintElement(said);
    },
  };
}

/** Built of text nodes: names come from the shop's data. */
function hintElement({ title, lines }: Hint): HTMLElement {
  const box = document.createElement("div");
  const heading = box.appendChild(document.createElement("strong"));
  heading.textContent = title;
  for (const [name, value] of lines) {
    const line = box.appendChild(document.createElement("div"));
    line.style.cssText = "display:flex;justify-content:space-between;gap:1.5em;font-variant-numeric:tabular-nums";
    line.append(name, Object.assign(document.createElement("b"), { textContent: value }));
  }
  return box;
}

/** Sales over time as they are drawn. */
export interface SalesPicture {
  rows: readonly SalesRow[];
  /** The rows of the period before, in the same order; empty where there is nothing to compare with. */
  before: readonly SalesRow[];
  /** Starts of the buckets that late events have changed. */
  restated: ReadonlySet<number>;
}

/** Beyond so many buckets, bars are thinner than a pixel or two: a line is drawn instead. */
const MOST_BARS = 130;

/** Revenue on the left axis, pieces as a line on the right one, and the period before as a dashed line. */
export function salesOption(picture: SalesPicture, scene: Scene): ChartOption {
  const { rows, before } = picture;
  const { look, money, narrow } = scene;
  const size = fontSize(look);
  const axisName = { color: look.inkFaint, fontSize: size };
  return {
    ...common(scene),
    grid: { ...withinBounds(look), top: look.rem * 2.75 },
    legend: {
      top: 0,
      left: "center",
      icon: "roundRect",
      itemWidth: look.rem * 0.75,
      itemHeight: look.rem * 0.75,
      textStyle: { color: look.inkSoft, fontSize: size },
      selectedMode: false,
    },
    tooltip: tooltip(scene, "axis", (index) => salesHint(picture, index, money)),
    xAxis: {
      type: "category",
      data: rows.map(({ label }) => label),
      axisLine: { lineStyle: { color: look.line } },
      axisTick: { show: false },
      axisLabel: { ...axisLabel(look), hideOverlap: true },
    },
    yAxis: [
      {
        type: "value",
        name: narrow ? "" : "Revenue",
        nameTextStyle: { ...axisName, align: "left" },
        splitNumber: 4,
        axisLabel: { ...axisLabel(look), formatter: (value: number) => money.compact(value) },
        splitLine: { lineStyle: { color: look.grid } },
      },
      {
        type: "value",
        name: narrow ? "" : "Pieces",
        nameTextStyle: { ...axisName, align: "right" },
        splitNumber: 4,
        alignTicks: true,
        axisLabel: { ...axisLabel(look), formatter: formatCompact },
        splitLine: { show: false },
      },
    ],
    series: [
      revenueSeries(picture, scene),
      {
        name: "Pieces",
        type: "line",
        yAxisIndex: 1,
        showSymbol: rows.length < 40,
        symbol: "circle",
        symbolSize: look.rem * 0.4,
        itemStyle: { color: look.second },
        lineStyle: { color: look.second, width: look.rem * 0.15 },
        data: rows.map(({ quantity }) => quantity),
      },
      ...(before.length === 0 ? [] : [beforeSeries(before, look)]),
    ],
  };
}

function revenueSeries({ rows, restated }: SalesPicture, { look }: Scene): BarSeriesOption | LineSeriesOption {
  const values = rows.map(({ start, revenue }) => ({ value: approximate(revenue), late: restated.has(start) }));
  if (rows.length > MOST_BARS) {
    return {
      name: "Revenue",
      type: "line",
      itemStyle: { color: look.first },
      lineStyle: { color: look.first, width: look.rem * 0.1 },
      areaStyle: { color: look.first, opacity: 0.2 },
      data: values.map(({ value, late }) => ({
        value,
        symbol: late ? "circle" : "none",
        symbolSize: look.rem * 0.45,
        itemStyle: { color: look.warn },
      })),
    };
  }
  return {
    name: "Revenue",
    type: "bar",
    barMaxWidth: look.rem * 2.5,
    itemStyle: { color: look.first, borderRadius: [look.rem / 4, look.rem / 4, 0, 0] },
    data: values.map(({ value, late }) => ({
      value,
      ...(late && { itemStyle: { borderColor: look.warn, borderWidth: look.rem * 0.15 } }),
    })),
  };
}

const beforeSeries = (before: readonly SalesRow[], look: Look): LineSeriesOption => ({
  name: "Revenue, period before",
  type: "line",
  showSymbol: false,
  itemStyle: { color: look.inkFaint },
  lineStyle: { color: look.inkFaint, width: look.rem * 0.1, type: "dashed" },
  data: before.map(({ revenue }) => approximate(revenue)),
});

function salesHint({ rows, before, restated }: SalesPicture, index: number, money: MoneyFormat): Hint | null {
  const row = rows[index];
  if (row === undefined) return null;
  const earlier = before[index];
  return {
    title: row.label,
    lines: [
      ["Revenue", money.exact(row.revenue)],
      ["Pieces", formatCount(row.quantity)],
      ["Orders", formatCount(row.orders)],
      ...(earlier === undefined ? [] : [[earlier.label, money.exact(earlier.revenue)] as [string, string]]),
      ...(restated.has(row.start) ? [["Changed by late events", ""] as [string, string]] : []),
    ],
  };
}

/** A rectangle of a treemap; what has no revenue above 0 has no area. */
export interface Tile {
  name: string;
  revenue: string;
  quantity: number;
  share: number | null;
}

/** The part of the map below which a tile bears no name. */
const SMALLEST_NAMED = 0.01;

export function treemapOption(tiles: readonly Tile[], scene: Scene): ChartOption {
  const { look, money } = scene;
  const total = tiles.reduce((sum, { revenue }) => sum + Math.max(0, approximate(revenue)), 0);
  return {
    ...common(scene),
    tooltip: tooltip(scene, "item", (index) => {
      // ECharts counts from 1 here: the map itself is the first.
      const tile = tiles[index - 1];
      return tile === undefined
        ? null
        : {
            title: tile.name,
            lines: [
              ["Revenue", money.exact(tile.revenue)],
              ["Share", formatShare(tile.share)],
              ["Pieces", formatCount(tile.quantity)],
            ],
          };
    }),
    series: [
      {
        type: "treemap",
        left: 0,
        right: 0,
        top: 0,
        bottom: 0,
        roam: false,
        nodeClick: false,
        breadcrumb: { show: false },
        itemStyle: { borderColor: look.surface, borderWidth: look.rem * 0.1, gapWidth: look.rem * 0.1 },
        label: {
          color: look.onTile,
          fontSize: look.rem * 0.8125,
          overflow: "truncate",
          // On the smallest tiles nothing can be read; their names are in the tooltip and in the table.
          formatter: ({ name, value }) => (Number(value) >= SMALLEST_NAMED * total ? name : ""),
        },
        data: tiles.map(({ name, revenue }, index) => ({
          name,
          value: Math.max(0, approximate(revenue)),
          itemStyle: { color: look.tiles[index % look.tiles.length] ?? look.first },
        })),
      },
    ],
  };
}

/** A ranking as horizontal bars, the first at the top, with a column of values at the right end. */
interface Ranking {
  names: readonly string[];
  values: readonly number[];
  ends: readonly string[];
  colours: readonly string[];
  hint: (index: number) => Hint | null;
  axisLabel: (value: number) => string;
  monospace?: boolean;
}

function rankingOption(ranking: Ranking, scene: Scene): ChartOption {
  const { look, narrow } = scene;
  const size = fontSize(look);
  const nameLabel = {
    color: look.inkSoft,
    fontSize: size,
    ...(ranking.monospace === true && { fontFamily: "ui-monospace, monospace" }),
  };
  return {
    ...common(scene),
    grid: { ...withinBounds(look), top: narrow ? look.rem * 0.75 : 0 },
    tooltip: tooltip(scene, "axis", ranking.hint),
    xAxis: {
      type: "value",
      splitNumber: narrow ? 2 : 4,
      axisLabel: { ...axisLabel(look), formatter: ranking.axisLabel, hideOverlap: true },
      splitLine: { lineStyle: { color: look.grid } },
    },
    yAxis: [
      {
        type: "category",
        inverse: true,
        data: [...ranking.names],
        axisLine: { show: false },
        axisTick: { show: false },
        axisLabel: { ...axisLabel(look), ...nameLabel, show: !narrow, width: look.rem * 12, overflow: "truncate" },
      },
      {
        type: "category",
        inverse: true,
        position: "right",
        data: [...ranking.ends],
        axisLine: { show: false },
        axisTick: { show: false },
        axisLabel: { ...axisLabel(look), color: look.ink, fontWeight: 600 },
      },
    ],
    series: [
      {
        type: "bar",
        barWidth: narrow ? look.rem * 0.5 : "62%",
        // Where there is no room beside the bars, a name stands above its bar.
        label: { ...nameLabel, show: narrow, position: [0, -look.rem * 0.95], formatter: "{b}" },
        data: ranking.values.map((value, index) => ({
          value,
          itemStyle: { color: ranking.colours[index] ?? look.first, borderRadius: [0, look.rem / 4, look.rem / 4, 0] },
        })),
      },
    ],
  };
}

/** A place of a ranking. */
export interface RankedRow {
  label: string;
  revenue: string;
  quantity: number;
}

/** Places by revenue, with their pieces at the right; ids stand in monospace. */
export function rankedOption(rows: readonly RankedRow[], scene: Scene, monospace: boolean): ChartOption {
  const { look, money } = scene;
  return rankingOption(
    {
      names: rows.map(({ label }) => label),
      values: rows.map(({ revenue }) => approximate(revenue)),
      ends: rows.map(({ quantity }) => `${formatCompact(quantity)} ${quantity === 1 ? "pc" : "pcs"}`),
      colours: rows.map(() => look.first),
      axisLabel: money.compact,
      monospace,
      hint: (index) => {
        const row = rows[index];
        return row === undefined
          ? null
          : { title: row.label, lines: [["Revenue", money.exact(row.revenue)], ["Pieces", formatCount(row.quantity)]] };
      },
    },
    scene,
  );
}

/** Categories by their share of all revenue, and what is left over in a colour of its own. */
export function categoriesOption(rows: readonly CategoryShare[], scene: Scene): ChartOption {
  const { look, money } = scene;
  return rankingOption(
    {
      names: rows.map(({ label }) => label),
      values: rows.map(({ share }) => share ?? 0),
      ends: rows.map(({ share }) => formatShare(share)),
      colours: rows.map(({ rest }) => (rest ? look.rest : look.first)),
      axisLabel: formatShortShare,
      hint: (index) => {
        const row = rows[index];
        return row === undefined
          ? null
          : { title: row.name, lines: [["Revenue", money.exact(row.revenue)], ["Share", formatShare(row.share)]] };
      },
    },
    scene,
  );
}
