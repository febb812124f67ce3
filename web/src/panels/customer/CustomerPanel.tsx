import type { Customer } from "../../api/types";
import { formatCount } from "../../format/numbers";
import { formatDate } from "../../format/time";
import { useMoney } from "../../live/ShopContext";
import { CopyableId } from "../../ui/CopyableId";
import { Panel } from "../../ui/Panel";
import styles from "./CustomerPanel.module.css";
import { PurchaseList } from "./PurchaseList";

/** Who a customer is to the shop: their totals. Null where nothing is known of them. */
export function CustomerTotals({ userId, customer }: { userId: string; customer: Customer | null }) {
  const money = useMoney();
  return (
    <Panel title="Customer">
      <div className={styles.customer}>
        <p className={styles.who}>
          <CopyableId id={userId} what="customer id" />
        </p>
        {customer === null ? (
          <p data-testid="unknown-customer">No purchase of this customer is known.</p>
        ) : (
          <dl className={`${styles.totals} number`}>
            <Total name="Spent">{money.exact(customer.revenue)}</Total>
            <Total name="Orders">{formatCount(customer.orders)}</Total>
            <Total name="Pieces">{formatCount(customer.quantity)}</Total>
            {customer.first_seen !== null && <Total name="First bought">{formatDate(customer.first_seen)}</Total>}
            {customer.last_seen !== null && <Total name="Last bought">{formatDate(customer.last_seen)}</Total>}
          </dl>
        )}
      </div>
    </Panel>
  );
}

function Total({ name, children }: { name: string; children: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** A customer's latest purchases, the newest first. */
export function Purchases({ customer }: { customer: Customer }) {
  return (
    <Panel title="Latest purchases" note={`the newest ${formatCount(customer.purchases.length)} lines by time of sale`}>
      <PurchaseList purchases={customer.purchases} />
    </Panel>
  );
}
