import { useMemo } from "react";
import { api } from "../../api/client";
import type { SalesBucket } from "../../api/types";
import { salesRows, type SalesRow } from "../../charts/series";
import { addDays, dayOf, startOfDay } from "../../format/calendar";
import { useShop } from "../../live/ShopContext";
import { useQuery } from "../../live/useQuery";

export const TREND_DAYS = 30;
const REFRESH_MS = 60_000;

/** The thirty days up to the newest event's, which is `today` as it is now; undefined until they are known. */
export function useTrend(today: SalesBucket | null): SalesRow[] | undefined {
  const zone = useShop().timeZone;
  const newest = today === null || zone === null ? null : dayOf(Date.parse(today.bucket), zone);
  const from = newest === null || zone === null ? undefined : startOfDay(addDays(newest, 1 - TREND_DAYS), zone);
  const { data } = useQuery(
    `trend:${newest}:${zone}`,
    async (signal) => (from === undefined ? null : api.sales({ granularity: "day", from }, signal)),
    { everyMs: REFRESH_MS, revision: Date.now },
  );
  return useMemo(() => {
    if (data == null || today === null || zone === null) return undefined;
    const before = data.buckets.filter(({ bucket }) => bucket !== today.bucket);
    const to = Date.parse(today.bucket) + 1;
    return salesRows([...before, today], { granularity: "day", zone, from, to });
  }, [data, today, zone, from]);
}
