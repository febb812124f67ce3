import { Books } from "../panels/now/Books";
import { TopLists } from "../panels/now/TopLists";
import { Figures } from "../panels/Figures";
import { Ticker } from "../panels/Ticker";
import styles from "./Overview.module.css";

/** The shop as of now. */
export default function Overview() {
  return (
    <div className={styles.page}>
      <div className={styles.figures}>
        <Figures />
        <Books />
      </div>
      <TopLists />
      <Ticker className={styles.ticker} />
    </div>
  );
}
