import { useCallback, useMemo } from "react";
import type { Customer } from "../../api/types";
import { salesOption, type Scene } from "../../charts/options";
import { useMoney, useShop } from "../../live/ShopContext";
import { ChartPanel } from "../chart/ChartPanel";
import { salesColumns } from "../chart/salesColumns";
import { isWhole, spendRows } from "./spend";

const NOTHING_RESTATED: ReadonlySet<number> = new Set();
const NOT_WHOLE = "not all they have bought: earlier months appear once the live tables are rebuilt (make rebuild)";

/** What a customer spent, month by month. */
export function Spend({ customer }: { customer: Customer }) {
  const money = useMoney();
  const zone = useShop().timeZone ?? "UTC";
  const rows = useMemo(() => spendRows(customer, zone), [customer, zone]);
  const option = useCallback(
    (scene: Scene) => salesOption({ rows, before: [], restated: NOTHING_RESTATED }, scene),
    [rows],
  );
  return (
    <ChartPanel
      title="Spend over time"
      note={isWhole(customer) ? "all they have bought, by month" : NOT_WHOLE}
      rows={{ data: rows, error: null, retry: () => undefined }}
      option={option}
      columns={salesColumns(money, "Month")}
      empty="No month is known yet."
    />
  );
}
