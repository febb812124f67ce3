import { useMemo } from "react";
import { api } from "../api/client";
import { useLive } from "../live/LiveContext";
import { useShop } from "../live/ShopContext";
import { useQuery } from "../live/useQuery";
import { dayOf } from "../format/calendar";
import { choiceOf, shownDays } from "../panels/sales/choice";
import { Rankings } from "../panels/sales/Rankings";
import { SalesOverTime } from "../panels/sales/SalesOverTime";
import { SalesTools } from "../panels/sales/SalesTools";
import { useSearch } from "../router/location";
import { Empty, Failed, Loading } from "../ui/Panel";
import styles from "./Sales.module.css";

/** Sales over time, by category and by customer. The address holds everything that was chosen. */
export default function Sales() {
  const search = useSearch();
  const choice = useMemo(() => choiceOf(search), [search]);
  const zone = useShop().timeZone;
  const live = useLive((state) => state.snapshot?.summary.last_event);
  const asked = useQuery("summary", (signal) => api.summary(signal));
  const lastEvent = live ?? asked.data?.last_event;

  if (zone === null || lastEvent === undefined) {
    return (
      <div className={styles.waiting}>
        {asked.error ? <Failed error={asked.error} retry={asked.retry} /> : <Loading label="Loading the sales" />}
      </div>
    );
  }
  if (lastEvent === null) return <Empty>Nothing has been sold yet.</Empty>;
  const shown = { choice, zone, newest: Date.parse(lastEvent) };
  return (
    <div className={styles.page}>
      <SalesTools {...shown} />
      <SalesOverTime {...shown} />
      <div className={styles.charts}>
        <Rankings days={shownDays(choice, dayOf(shown.newest, zone))} zone={zone} within={search.get("in")} />
      </div>
    </div>
  );
}
