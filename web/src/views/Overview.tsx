import { useCallback, useState } from "react";
import { useLive } from "../live/LiveContext";
import { CustomerPanel } from "../panels/customer/CustomerPanel";
import { Figures } from "../panels/Figures";
import { Ticker } from "../panels/Ticker";
import { chosenCustomer, rememberCustomer } from "./address";
import styles from "./Overview.module.css";

/** The whole shop on one page. */
export default function Overview() {
  const [userId, showCustomer] = useCustomer();
  return (
    <div className={styles.page}>
      <div className={styles.figures}>
        <Figures />
      </div>
      <CustomerPanel className={styles.customer} userId={userId} onCustomer={showCustomer} />
      <Ticker className={styles.ticker} onCustomer={showCustomer} />
    </div>
  );
}

/** The customer of the address or of the viewer's choice; until then whoever led when the page was opened. */
function useCustomer(): [string | null, (userId: string) => void] {
  const [chosen, setChosen] = useState(chosenCustomer);
  const leader = useLive((state) => state.snapshot?.top.spenders[0]?.id ?? null);
  const [firstLeader, setFirstLeader] = useState<string | null>(null);
  if (firstLeader === null && leader !== null) setFirstLeader(leader);

  const choose = useCallback((userId: string) => {
    setChosen(userId);
    rememberCustomer(userId);
  }, []);
  return [chosen ?? firstLeader, choose];
}
