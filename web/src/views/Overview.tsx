import { useLive } from "../live/LiveContext";
import { isLive } from "../live/state";
import { Books } from "../panels/now/Books";
import { Figures } from "../panels/now/Figures";
import { LastMinutes } from "../panels/now/LastMinutes";
import { Ticker } from "../panels/now/Ticker";
import { TopLists } from "../panels/now/TopLists";
import styles from "./Overview.module.css";

/** The shop as of now; nothing on it looks live while it is not. */
export default function Overview() {
  const live = useLive(isLive);
  return (
    <div className={styles.page} data-live={live}>
      <div className={styles.figures}>
        <Figures />
        <Books />
      </div>
      <LastMinutes className={styles.minutes} />
      <TopLists />
      <Ticker className={styles.ticker} />
    </div>
  );
}
