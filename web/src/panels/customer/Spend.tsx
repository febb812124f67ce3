import { useCallback, useMemo } from "react";
import type { Customer } from "../../api/types";
import { salesOption, type Scene } from "../../charts/options";
import { useMoney, useShop } from "../../live/ShopContext";
import { ChartPanel } from "../chart/ChartPanel";
import { salesColumns } from "../chart/salesColumns";
import { LINES_KEPT, spendRows } from "./spend";

const NOTHING_RESTATED: ReadonlySet<number> = new Set();

/** What a customer spent, month by month, as far back as their history is kept. */
export function Spend({ customer }: { customer: Customer }) {
  const money = useMoney();
  const zone = useShop().timeZone ?? "UTC";
  const rows = useMemo(() => spendRows(customer.purchases, zone), [customer.purchases, zone]);
  const option = useCallback(
    (scene: Scene) => salesOption({ rows, before: [], restated: NOTHING_RESTATED }, scene),
    [rows],
  );
  const note =
    customer.purchases.length < LINES_KEPT ? "all they have bought, by month" : `the newest ${LINES_KEPT} lines, by month`;
  return (
    <ChartPanel
      title="Spend over time"
      note={note}
      rows={{ data: rows, error: null, retry: () => undefined }}
      option={option}
      columns={salesColumns(money, "Month")}
    />
  );
}
