import { useCallback, useState } from "react";
import { api, type Series } from "../../api/client";
import { salesOption, type Scene } from "../../charts/options";
import { salesRows } from "../../charts/series";
import { GRANULARITY_NAMES } from "../../format/buckets";
import { useMoney, useShop } from "../../live/ShopContext";
import { useFigures, useMapped } from "../../live/useFigures";
import { Segments } from "../../ui/Field";
import { ChartPanel } from "../chart/ChartPanel";
import { salesColumns } from "../chart/salesColumns";

const CHOICES = ["month", "day"] as const;
const NOTHING_RESTATED: ReadonlySet<number> = new Set();

/** A product's sales, by month or day. */
export function ProductSales({ productId }: { productId: string }) {
  const money = useMoney();
  const zone = useShop().timeZone ?? "UTC";
  const [granularity, setGranularity] = useState<(typeof CHOICES)[number]>("month");
  const rowsOf = useCallback(({ buckets }: Series) => salesRows(buckets, { granularity, zone }), [granularity, zone]);
  const rows = useMapped(
    useFigures(`product-sales:${productId}:${granularity}`, (signal) =>
      api.productSales(productId, { granularity }, signal),
    ),
    rowsOf,
  );
  const option = useCallback(
    (scene: Scene) => salesOption({ rows: rows.data ?? [], before: [], restated: NOTHING_RESTATED }, scene),
    [rows.data],
  );
  return (
    <ChartPanel
      title="Sales over time"
      note={`revenue and pieces by ${granularity}`}
      rows={rows}
      option={option}
      columns={salesColumns(money, GRANULARITY_NAMES[granularity])}
      empty="This product has not been sold."
      above={
        <Segments
          name="By"
          value={granularity}
          options={CHOICES.map((value) => ({ value, label: GRANULARITY_NAMES[value] }))}
          onChange={setGranularity}
        />
      }
    />
  );
}
