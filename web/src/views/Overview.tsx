import { Figures } from "../panels/Figures";
import { Ticker } from "../panels/Ticker";
import styles from "./Overview.module.css";

/** The shop as of now. */
export default function Overview() {
  return (
    <div className={styles.page}>
      <div className={styles.figures}>
        <Figures />
      </div>
      <Ticker className={styles.ticker} />
    </div>
  );
}
